// Rise: the mean of random masks, each weighed by the score of the input under it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/grid_masks.hpp>
#include <salience/method/detail/moments.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of RISE.
struct RiseOptions {
  std::int64_t samples = 8000;  ///< masks for each sample, at most; the paper's for ResNet-50
  /// How many cells a mask has along each dimension of the input's places, one number for all or one for
  /// each, at least 1; a dimension of fewer places has a cell for each. The paper's is 7.
  std::vector<std::int64_t> grid{7};
  double probability = 0.5;  ///< that a cell is kept, above 0 and below 1; the paper's
  /// What is seen where the mask is 0; of several, each mask draws one. The paper's is zero.
  Baseline baseline = Baseline::zero();
  std::uint64_t seed = 0;  ///< the same seed gives the same masks, bit for bit
  /// Above 0: a sample stops early, after 10 masks or more, once the standard error of its map relative to
  /// the map (both as L2 norms) is at most this. `Attribution::converged` says whether it is.
  double tolerance = 0.0;
  std::int64_t chunk = 0;       ///< masks evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each evaluation; false stops and gives what there is
};

/// RISE (Petsiuk, Das, Saenko: "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018):
/// \f$ \frac{1}{n p} \sum_{k=1}^n s_c(x \odot m_k + b \odot (1 - m_k)) \, m_k \f$ over random masks m.
///
///     Rise method{model, {.samples = 4000, .seed = 7}};
///     Attribution a = method(x);  // a.values (N, 1, H, W); a.copies, a.values_error
///     Attribution b = method(x, TargetSelector{ArgMax{}, Probability{}});  // the paper's score
///
/// A mask's cells are kept with probability p each. It is upsampled linearly (align_corners=false) to one
/// cell more than the input, a cell being \f$ \lceil size / cells \rceil \f$ places, and a part of the
/// input's size is taken at a random offset below a cell, drawn for each mask. The mean of a mask is p at
/// every place. The values are in the score's unit: the mean score given that the place is seen, so that
/// they have a part in common, and only their differences tell places apart.
///
/// The input is a signal (N, C, L), a picture (N, C, H, W) or a volume (N, C, D, H, W); the values are (N, 1,
/// places...), ValuesOf::regions. It is a forward pass for each mask, of which nothing is recorded: any model
/// will do, and the target needs no gradient. The class is chosen once, on the input. The k-th mask is the
/// same for every sample of a batch, whatever the chunk, the batch and the number of threads. Masks are made
/// when they are due, sums are in float64, and memory does not grow with the number of masks. The result has,
/// per sample, `copies`: how many masks were taken, `standard_error`: that of the map, relative (L2), and
/// `values_error` of each value, both NaN after a single mask; with a tolerance also `converged`. A sample
/// that a run that is stopped did not reach is 0. Throws ArgumentError for options out of range, an input
/// without places and a baseline that does not fit, and what the model throws.
template <class M>
class Rise {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit Rise(M model, RiseOptions options = {}) : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_draws(options_.samples, options_.tolerance);
    detail::require_grid(options_.grid, "Rise");
    if (!(options_.probability > 0.0 && options_.probability < 1.0)) {
      throw ArgumentError::out_of_range("probability", options_.probability, "above 0 and below 1");
    }
    require_chunk(options_.chunk);
  }

  /// The map for each sample of `input`, (N, C, places...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      detail::PlaceGrid grid = detail::place_grid(input, options_.grid, "Rise");
      const VariantScores scores(model_, input, at::Tensor(), wanted);
      Attribution result{scores.explained()};
      result.values_of = ValuesOf::regions;
      const detail::MaskedInput masked(input, options_.baseline, detail::samples_of(wanted));
      const detail::RiseMasks masks(std::move(grid), options_.probability, options_.seed,
                                    input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
      std::vector<Sample> samples(static_cast<std::size_t>(input.size(0)));
      result.stopped = !draw(scores, masked, masks, chunk_size(options_.chunk, input), samples);
      detail::fill_in_draws(result, samples, input);
      if (options_.tolerance > 0.0) result.converged = detail::finished_of(samples);
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  static constexpr std::int64_t fewest_to_stop = 10;

  struct Sample : detail::Moments {
    bool finished = false;
  };
  /// A mask where the sums are and where the input is.
  struct Mask {
    at::Tensor mask, laid;
  };

  /// False if the callback stopped it.
  template <class Scores>
  bool draw(const Scores& scores, const detail::MaskedInput& masked, const detail::RiseMasks& masks,
            std::int64_t chunk, std::vector<Sample>& samples) const {
    const auto batch = static_cast<std::int64_t>(samples.size());
    const std::int64_t total = batch * options_.samples;
    std::int64_t done = 0, kept_number = -1;
    Mask kept;  // the last chunk's last one, which this one's first samples may need, too
    for (std::int64_t next = 0; next < total;) {
      const std::int64_t first = next / batch;
      std::vector<Variant> rows;  // the step counts masks from `first`
      rows.reserve(static_cast<std::size_t>(chunk));
      for (; next < total && static_cast<std::int64_t>(rows.size()) < chunk; ++next) {
        if (samples[static_cast<std::size_t>(next % batch)].finished) {
          if (all_finished(samples)) break;
          continue;
        }
        rows.push_back({.sample = next % batch, .step = next / batch - first});
      }
      if (rows.empty()) break;

      std::vector<Mask> own(static_cast<std::size_t>(rows.back().step + 1));
      const auto mask_of = [&](std::int64_t step) -> const Mask& {
        Mask& mask = own[static_cast<std::size_t>(step)];
        if (!mask.mask.defined() && first + step == kept_number) mask = kept;
        if (!mask.mask.defined()) {
          mask.mask = masks(first + step);
          mask.laid = masked.fitted(mask.mask);
        }
        return mask;
      };
      const at::Tensor table =
          scores(rows, rows.back().step + 1, chunk, [&](const Variant& row, const at::Tensor& out) {
            masked.write(row.sample, masks.choice(first + row.step, masked.baselines()),
                         mask_of(row.step).laid, out);
          });
      const double* score = table.data_ptr<double>();
      at::Tensor summed;
      std::int64_t summed_step = -1;
      for (const Variant& row : rows) {
        Sample& sample = samples[static_cast<std::size_t>(row.sample)];
        ++done;
        if (sample.finished) continue;  // drawn in the chunk in which the sample became good enough
        if (row.step != summed_step) summed = mask_of(row.step).mask.to(at::kDouble);
        summed_step = row.step;
        sample.add(summed.mul(score[row.sample * table.size(1) + row.step] / options_.probability));
        double error = -1.0;
        if (options_.tolerance > 0.0 && sample.count >= fewest_to_stop) {
          error = sample.standard_error();
          sample.finished = error <= options_.tolerance;
        }
        if (options_.progress && !options_.progress({.done = done, .total = total, .error = error}))
          return false;
      }
      kept_number = first + rows.back().step;
      kept = own.back();
    }
    return true;
  }

  static bool all_finished(const std::vector<Sample>& samples) {
    return std::all_of(samples.begin(), samples.end(), [](const Sample& one) { return one.finished; });
  }

  mutable M model_;  // a model's call operator may be non-const
  RiseOptions options_;
};

}  // namespace salience
