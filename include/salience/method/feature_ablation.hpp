// FeatureAblation: what happens to the score when a feature of the input is replaced.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/coalition_scores.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

namespace detail {

/// The change of the score without each feature, on average over the baselines.
template <class M, class T>
Attribution ablate_features(M& model, const at::Tensor& input, const T& target,
                            const CoalitionOptions& options) {
  CoalitionScores scores(model, input, target, options);
  const std::int64_t baselines = scores.baselines(), steps = scores.features().most() * baselines;
  std::vector<Variant> variants;  // what all samples have in common stays together
  for (const Variant& variant : all_variants(input.size(0), steps)) {
    if (variant.step < scores.features().count(variant.sample) * baselines) variants.push_back(variant);
  }
  scores.expect(static_cast<std::int64_t>(variants.size()));
  const at::Tensor table = scores.without_one(variants, steps);
  std::vector<at::Tensor> values, errors;
  for (std::int64_t n = 0; n < input.size(0); ++n) {
    const std::int64_t count = scores.features().count(n);
    const at::Tensor changes =
        table[n].slice(0, 0, count * baselines).view({count, baselines}).neg().add(scores.all(n));
    // After a stop those that there are.
    values.push_back(scores.stopped() ? changes.nanmean({1}).nan_to_num(0.0) : changes.mean({1}));
    if (baselines > 1) {
      errors.push_back(changes.var({1}, /*unbiased=*/true).div(static_cast<double>(baselines)).sqrt());
    }
  }
  return scores.attribution(values, errors);
}

}  // namespace detail

/// What can be chosen of FeatureAblation.
struct FeatureAblationOptions {
  FeatureMask mask{};                    ///< which feature each element belongs to; by default each is one
  Baseline baseline = Baseline::zero();  ///< what replaces a feature; of several, the mean of the changes
  std::int64_t chunk = 0;                ///< evaluations at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};           ///< told after each feature; false stops and gives what there is
};

/// Feature ablation: each element of a feature gets \f$ s_c(x) - s_c(x_i) \f$, where x_i is x with feature i
/// as in the baseline. The same as Captum's FeatureAblation.
///
///     FeatureAblation method{model, {.mask = superpixels}};  // (1, 1, H, W), whole numbers
///     Attribution a = method(x);
///
/// It is a forward pass for each feature, of which nothing is recorded: any model will do, and the target
/// needs no gradient. The class is chosen once, on the input. Of several baselines, `values_error` and
/// `standard_error` are those of the mean over them. What a run that is stopped did not reach is 0.
/// Throws ArgumentError for options out of range, a mask or a baseline that does not fit, and what the model
/// throws.
template <class M>
class FeatureAblation {
 public:
  /// `model` is any Model.
  explicit FeatureAblation(M model, FeatureAblationOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
  }

  /// The change for each element of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      return detail::ablate_features(model_, input, wanted,
                                     {options_.mask, options_.baseline, options_.chunk, options_.progress});
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  mutable M model_;  // a model's call operator may be non-const
  FeatureAblationOptions options_;
};

}  // namespace salience
