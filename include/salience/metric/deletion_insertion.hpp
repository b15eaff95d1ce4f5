// Deletion and Insertion: how the score changes while pixels are removed or added, the most relevant first.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Scores along the share of pixels that were changed. All float64 on the CPU.
struct PerturbationCurve {
  at::Tensor fraction;  ///< (S + 1), from 0 to 1
  at::Tensor score;     ///< (N, S + 1)
  at::Tensor area;      ///< (N), under the score, by the trapezoid rule: the AUC
};

/// The options of Deletion.
struct DeletionOptions {
  Baseline baseline = Baseline::zero();  ///< what a pixel becomes; the paper's choice, after normalisation
  std::int64_t steps = 100;              ///< S; the paper takes 224, of 224 pixels each
  PixelMapOptions map{};                 ///< how values become one number a pixel
  std::int64_t chunk = 0;       ///< variants evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each variant; false stops, and what is not known is NaN
};

/// The options of Insertion.
struct InsertionOptions {
  Baseline baseline = Baseline::blurred(5.0);  ///< what is filled up; the paper's sigma
  std::int64_t steps = 100;                    ///< as for the deletion, as are those below
  PixelMapOptions map{};                       ///< as for the deletion
  std::int64_t chunk = 0;                      ///< as for the deletion
  ProgressCallback progress{};                 ///< as for the deletion
};

namespace detail {

/// What Deletion and Insertion have in common: of the input and its baseline one becomes the other, pixel by
/// pixel, in the order of the attribution.
template <class M, class Options>
class Replacement {
 public:
  Replacement(M model, Options options) : model_(std::move(model)), options_(std::move(options)) {
    require_model<M>();
    if (options_.steps < 1) throw ArgumentError::out_of_range("steps", options_.steps, "at least 1");
    require_chunk(options_.chunk);
  }

  /// The curves of a batch: see the class.
  template <class T = ArgMax>
  PerturbationCurve operator()(const at::Tensor& input, const Attribution& attribution,
                               const T& target = T{}) const {
    return enter([&] {
      require_input(input);
      const at::Tensor clean = input.detach(), baseline = only_baseline(options_.baseline, input);
      constexpr bool deletes = std::is_same_v<Options, DeletionOptions>;
      const at::Tensor& from = deletes ? clean : baseline;
      const at::Tensor& to = deletes ? baseline : clean;
      const at::Tensor map = pixel_map_of(input, attribution.values, options_.map);
      const at::Tensor rank = ranks(map).to(input.device());
      const std::int64_t pixels = map[0].numel();
      // How many pixels are replaced after so many steps, rounded.
      const auto replaced = [&](std::int64_t step) {
        return (2 * step * pixels + options_.steps) / (2 * options_.steps);
      };
      const auto point = [&](const Variant& row, const at::Tensor& out) {
        const at::Tensor kept = rank[row.sample].ge(replaced(row.step));
        out.copy_(from[row.sample].where(kept, to[row.sample]));
      };
      const auto selector = judged_by<Probability>(target, attribution);
      const VariantScores scores(model_, input, attribution.target, selector);
      PerturbationCurve curve;
      curve.score = scores(options_.steps + 1, options_.chunk, point, options_.progress);
      curve.fraction = empty({options_.steps + 1}, at::kDouble);
      for (std::int64_t step = 0; step <= options_.steps; ++step) {
        curve.fraction.data_ptr<double>()[step] =
            static_cast<double>(replaced(step)) / static_cast<double>(pixels);
      }
      const at::Tensor width = curve.fraction.diff();
      const at::Tensor sums = curve.score.slice(1, 1).add(curve.score.slice(1, 0, options_.steps));
      curve.area = sums.matmul(width).mul_(0.5);
      return curve;
    });
  }

 private:
  mutable M model_;
  Options options_;
};

}  // namespace detail

/// The deletion curve (Petsiuk, Das, Saenko: "RISE", 2018): the score of the input with its most relevant
/// pixels replaced (the places of a signal, the voxels of a volume), \f$ D(p) = s_c(x \text{ without the
/// first } p \text{ of its pixels}) \f$, and its area \f$ \int_0^1 D(p)\,dp \f$.
///
///     Deletion deletion{model, {.steps = 100}};
///     PerturbationCurve curve = deletion(x, attribution);  // curve.area: (N)
///
/// Lower is better: the score falls at once if the map ranks the pixels that it depends on first. In [0, 1]
/// for the probability, as in the paper, which is the score of the attribution alone and of a bare class,
/// `ClassIndex{5}`; a whole TargetSelector or a score function has its own. The class is
/// `attribution.target`; where that is undefined (a score function, a map from elsewhere), what `target`
/// chooses on the clean input. The output is read as the attribution's target read it
/// (`Attribution::output_type`). Pixels of equal relevance go in the order of rows. Throws ArgumentError for
/// an option out of range, a map that does not cover the input or a target whose class is not the
/// attribution's, and what the model, the target and the progress callback throw.
///
/// A sample whose curve was stopped by `progress` has NaN for its area and for the missing scores.
template <class M>
class Deletion : public detail::Replacement<M, DeletionOptions> {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Deletion(M model, DeletionOptions options = {})
      : detail::Replacement<M, DeletionOptions>(std::move(model), std::move(options)) {}
};

/// The insertion curve of the same paper: the score of the baseline, a blurred input, with the most relevant
/// pixels put back. Higher is better; for all else see Deletion.
template <class M>
class Insertion : public detail::Replacement<M, InsertionOptions> {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Insertion(M model, InsertionOptions options = {})
      : detail::Replacement<M, InsertionOptions>(std::move(model), std::move(options)) {}
};

}  // namespace salience
