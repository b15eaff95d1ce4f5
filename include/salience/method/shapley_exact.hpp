// ShapleyExact: Shapley values of few features, by their definition.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/coalition_scores.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of ShapleyExact.
struct ShapleyExactOptions {
  FeatureMask mask{};                    ///< which feature each element belongs to; at most 20 features
  Baseline baseline = Baseline::zero();  ///< what replaces a feature; of several, the mean
  std::int64_t chunk = 0;                ///< evaluations at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};           ///< told after each evaluation; false stops and gives what there is
};

/// Shapley values (Shapley: "A Value for n-Person Games", 1953) by their definition, \f$ \phi_i = \sum_{S
/// \not\ni i} \frac{|S|! \, (n - |S| - 1)!}{n!} (v(S \cup i) - v(S)) \f$, with v(S) the score of the features
/// in S, the rest as in the baseline, on average over the baselines: \f$ 2^n \f$ evaluations for n features,
/// at most 20, and for each baseline.
///
///     ShapleyExact method{model, {.mask = grid}};  // 3 x 3 cells: 512 evaluations
///     Attribution a = method(x);
///
/// The values sum to \f$ s_c(x) - s_c(b) \f$. Each element of a feature gets the feature's value. After a
/// stop a feature's value is the weighted mean over those S of which both scores are known, 0 if there is
/// none. Otherwise as ShapleySampling. Throws ArgumentError for more than 20 features.
template <class M>
class ShapleyExact {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit ShapleyExact(M model, ShapleyExactOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
  }

  /// The Shapley value of the feature of each element of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      detail::CoalitionScores scores(model_, input, wanted,
                                     {options_.mask, options_.baseline, options_.chunk, options_.progress});
      const std::int64_t most = scores.features().most(), baselines = scores.baselines();
      if (most > 20) {
        throw ArgumentError(detail::concat("ShapleyExact takes at most 20 features, and the mask has ", most,
                                           ": give a coarser one; ShapleySampling takes any number"));
      }
      // The bits of a coalition's number say who is there.
      const auto coalitions = [&](std::int64_t n) { return std::int64_t{1} << scores.features().count(n); };
      std::vector<Variant> variants;
      for (const Variant& variant : all_variants(input.size(0), (std::int64_t{1} << most) * baselines)) {
        const std::int64_t coalition = variant.step / baselines;
        if (coalition > 0 && coalition < coalitions(variant.sample) - 1) variants.push_back(variant);
      }
      scores.begin(static_cast<std::int64_t>(variants.size()));
      const at::Tensor table = scores(
          variants, (std::int64_t{1} << most) * baselines, [&](std::int64_t n, std::int64_t coalition) {
            std::vector<std::uint8_t> there(static_cast<std::size_t>(scores.features().count(n)));
            for (std::size_t i = 0; i < there.size(); ++i) there[i] = coalition >> i & 1;
            return there;
          });
      std::vector<at::Tensor> values;
      for (std::int64_t n = 0; n < input.size(0); ++n) {
        const at::Tensor means = table[n].view({-1, baselines}).mean({1});
        double* known = means.template data_ptr<double>();
        known[0] = scores.none(n);
        known[coalitions(n) - 1] = scores.all(n);
        values.push_back(of_coalitions(known, scores.features().count(n), scores.stopped()));
      }
      Attribution result = scores.attribution(values, {});
      scores.fill_in_completeness(result, [&](std::size_t n) -> const at::Tensor& { return values[n]; });
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// The values of all features, by the scores of all coalitions.
  static at::Tensor of_coalitions(const double* score, std::int64_t count, bool stopped) {
    std::vector<double> weight;  // |S|! (n - |S| - 1)! / n!, by |S|
    double subsets = 1.0;        // of the others, of that size
    for (std::int64_t size = 0; size < count; ++size) {
      weight.push_back(1.0 / (static_cast<double>(count) * subsets));
      subsets *= static_cast<double>(count - 1 - size) / static_cast<double>(size + 1);
    }
    std::vector<double> values;
    for (std::int64_t i = 0; i < count; ++i) {
      double sum = 0.0, weights = 0.0;
      for (std::int64_t s = 0; s < std::int64_t{1} << count; ++s) {
        if ((s >> i & 1) != 0) continue;
        const double gain = score[s | std::int64_t{1} << i] - score[s];
        if (stopped && !std::isfinite(gain)) continue;
        const double w = weight[static_cast<std::size_t>(std::popcount(static_cast<std::uint64_t>(s)))];
        sum += w * gain;
        weights += w;
      }
      values.push_back(!stopped ? sum : weights > 0.0 ? sum / weights : 0.0);
    }
    return detail::vector_tensor<double>(values);
  }

  mutable M model_;  // a model's call operator may be non-const
  ShapleyExactOptions options_;
};

}  // namespace salience
