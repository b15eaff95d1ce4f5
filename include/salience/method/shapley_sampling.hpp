// ShapleySampling: Shapley values of features, by random orders.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/coalition_scores.hpp>
#include <salience/method/detail/hashed_draw.hpp>
#include <salience/method/detail/moments.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of ShapleySampling.
struct ShapleySamplingOptions {
  FeatureMask mask{};         ///< which feature each element belongs to: see FeatureMask
  std::int64_t samples = 25;  ///< permutations, at most; Captum's choice
  /// Permutations come in pairs, one being the other backwards (Mitchell et al.: "Sampling Permutations for
  /// Shapley Value Estimation", 2022), which lowers the variance; the number of samples is rounded up to
  /// pairs.
  bool antithetic = true;
  /// What replaces a feature. Of several the draws take one after the other, and are so many that each has
  /// its turn as often.
  Baseline baseline = Baseline::zero();
  std::uint64_t seed = 0;  ///< the same seed gives the same permutations
  /// Above 0: a sample stops early, after 10 draws or more, once the standard error of its map relative to
  /// the map (both as L2 norms) is at most this. A draw is a permutation, or a pair of them.
  double tolerance = 0.0;
  std::int64_t chunk = 0;       ///< evaluations at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each evaluation; false stops and gives what there is
};

/// Shapley values by sampling (Castro, Gomez, Tejada: "Polynomial calculation of the Shapley value based on
/// sampling", 2009; Strumbelj, Kononenko 2010): features join the baseline one by one in random orders, and
/// each gets the mean of what the score gains as it joins.
///
///     ShapleySampling method{model, {.mask = superpixels, .samples = 50, .seed = 7}};
///     Attribution a = method(x);  // a.values_error, a.standard_error, a.copies
///
/// Each order takes one evaluation less than there are features. Every draw sums to \f$ s_c(x) - s_c(b) \f$,
/// so do the values (`completeness_error` tells the rounding). Each element of a feature gets the feature's
/// value. The k-th order is the same for every sample with as many features, whatever the chunk, the batch
/// and the number of threads. Draws that a stop leaves unfinished do not count; with none at all the values
/// are 0. Nothing is recorded: any model will do, and the target needs no gradient. The class is chosen once,
/// on the input. Same as Captum's ShapleyValueSampling without `antithetic`, for the same orders. Throws
/// ArgumentError for an option out of range, a mask or a baseline that does not fit, and what the model
/// throws.
template <class M>
class ShapleySampling {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit ShapleySampling(M model, ShapleySamplingOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
    require_draws(options_.samples, options_.tolerance);
  }

  /// The Shapley value of the feature of each element of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      detail::CoalitionScores scores(model_, input, wanted,
                                     {options_.mask, options_.baseline, options_.chunk, options_.progress});
      std::vector<Sample> samples(static_cast<std::size_t>(input.size(0)));
      for (std::size_t n = 0; n < samples.size(); ++n) {
        samples[n].number = static_cast<std::int64_t>(n);
        samples[n].count = scores.features().count(samples[n].number);
      }
      draw(scores, samples);
      return collected(scores, samples);
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  static constexpr std::int64_t fewest_to_stop = 10;

  struct Sample {
    std::int64_t number = 0, count = 0;  ///< count of its features
    detail::Moments moments;
    bool finished = false;
  };

  std::int64_t orders() const { return options_.antithetic ? 2 : 1; }  // of a draw

  /// The order in which the features of a sample of `count` join.
  std::vector<std::int64_t> order(std::int64_t draw, std::int64_t which, std::int64_t count) const {
    std::vector<std::int64_t> order = detail::HashedDraw(options_.seed, draw).permutation(count);
    if (which == 1) std::reverse(order.begin(), order.end());
    return order;
  }

  template <class Scores>
  void draw(Scores& scores, std::vector<Sample>& samples) const {
    const std::int64_t baselines = scores.baselines(), cycle = orders() * baselines;
    const std::int64_t draws = (options_.samples + cycle - 1) / cycle * baselines;  // each baseline as often
    const std::int64_t most = scores.features().most();
    std::int64_t evaluations = 0;
    for (const Sample& sample : samples) evaluations += draws * orders() * (sample.count - 1);
    scores.begin(evaluations);
    // As many draws at a time as fill a few chunks, so that a sample that is good enough is left out of the
    // next.
    const std::int64_t rows = std::max<std::int64_t>(1, scores.samples() * orders() * (most - 1));
    const std::int64_t at_once = std::max<std::int64_t>(1, 4 * scores.chunk() / rows);
    for (std::int64_t first = 0; first < draws && !scores.stopped(); first += at_once) {
      const std::int64_t here = std::min(at_once, draws - first);
      // A coalition is numbered by its draw, the order in it, and how many features joined.
      const auto coalition = [&](std::int64_t k, std::int64_t which, std::int64_t joined) {
        return (k * orders() + which) * most + joined;
      };
      std::vector<Variant> variants;
      for (std::int64_t number = 0; number < coalition(here, 0, 0); ++number) {
        const std::int64_t joined = number % most, draw = first + number / most / orders();
        for (const Sample& sample : samples) {
          if (sample.finished || joined == 0 || joined >= sample.count) continue;
          variants.push_back({.sample = sample.number, .step = number * baselines + draw % baselines});
        }
      }
      std::map<std::int64_t, std::pair<std::int64_t, std::vector<std::int64_t>>>
          last;  // by the count of features
      const at::Tensor table =
          scores(variants, coalition(here, 0, 0) * baselines, [&](std::int64_t n, std::int64_t number) {
            const std::int64_t count = samples[static_cast<std::size_t>(n)].count;
            auto& [kept, joining] = last.try_emplace(count, -1, std::vector<std::int64_t>()).first->second;
            if (kept != number / most) {
              kept = number / most;
              joining = order(first + kept / orders(), kept % orders(), count);
            }
            std::vector<std::uint8_t> there(static_cast<std::size_t>(count));
            for (std::int64_t j = 0; j < number % most; ++j)
              there[static_cast<std::size_t>(joining[static_cast<std::size_t>(j)])] = 1;
            return there;
          });
      const double* known = table.data_ptr<double>();
      for (Sample& sample : samples) {
        for (std::int64_t k = 0; k < here && !sample.finished; ++k) {
          const auto score = [&](std::int64_t which, std::int64_t joined) {
            const std::int64_t b = (first + k) % baselines;
            if (joined == 0) return scores.none(sample.number, b);
            if (joined == sample.count) return scores.all(sample.number);
            return known[sample.number * table.size(1) + coalition(k, which, joined) * baselines + b];
          };
          if (scores.stopped() && !std::isfinite(score(orders() - 1, sample.count - 1))) break;
          take(scores, sample, first + k, score);
        }
      }
    }
  }

  /// One draw of a sample: what each feature gained the score as it joined.
  template <class Scores, class Score>
  void take(const Scores& scores, Sample& sample, std::int64_t draw, const Score& score) const {
    std::vector<double> gains(static_cast<std::size_t>(sample.count));
    for (std::int64_t which = 0; which < orders(); ++which) {
      const std::vector<std::int64_t> joining = order(draw, which, sample.count);
      for (std::int64_t j = 0; j < sample.count; ++j) {
        gains[static_cast<std::size_t>(joining[static_cast<std::size_t>(j)])] +=
            (score(which, j + 1) - score(which, j)) / static_cast<double>(orders());
      }
    }
    sample.moments.add(detail::vector_tensor<double>(gains));
    sample.finished = options_.tolerance > 0.0 && sample.moments.count >= fewest_to_stop &&
                      sample.moments.count % scores.baselines() == 0 &&
                      scores.relative_error(sample.number, sample.moments.mean, sample.moments.errors()) <=
                          options_.tolerance;
  }

  template <class Scores>
  Attribution collected(const Scores& scores, const std::vector<Sample>& samples) const {
    std::vector<detail::Estimate> estimates;
    for (const Sample& sample : samples) {
      const bool any = sample.moments.count > 0;
      estimates.push_back({any ? sample.moments.mean : detail::empty({sample.count}, at::kDouble).zero_(),
                           any ? sample.moments.errors() : detail::unknown({sample.count}),
                           sample.moments.count * orders(), sample.finished});
    }
    Attribution result = scores.attribution(estimates, options_.tolerance);
    scores.fill_in_completeness(result,
                                [&](std::size_t n) -> const at::Tensor& { return estimates[n].values; });
    return result;
  }

  mutable M model_;  // a model's call operator may be non-const
  ShapleySamplingOptions options_;
};

}  // namespace salience
