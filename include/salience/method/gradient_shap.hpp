// GradientShap and LayerGradientShap: gradients at random places between random baselines and noisy copies.
#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/detail/shap_draws.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/gradient_shap_options.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Gradient SHAP (Lundberg, Lee: "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017; Erion
/// et al.: "Improving performance of deep learning models with axiomatic attribution priors and expected
/// gradients", 2021): the mean of \f$ (x + \varepsilon - b) \, \nabla s_c(b + t (x + \varepsilon - b)) \f$
/// over random baselines b, t uniform in (0, 1) and noise. Without noise its expectation sums to the score's
/// mean change.
///
///     GradientShap shap{model, {.samples = 50, .baseline = Baseline::each(photos), .seed = 7}};
///     Attribution a = shap(x);  // a.standard_error, a.copies
///
/// The target is chosen once, on the input. The k-th draw of every sample of a batch is the same, whatever
/// the chunk, the batch and the number of threads. Sums are in float32 (float64 for float64); memory does not
/// grow with the number of draws. Throws ArgumentError for an option out of range or a baseline that does not
/// fit the input, and what GradientAttributor throws.
template <class M>
class GradientShap {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit GradientShap(M model, GradientShapOptions options = {})
      : gradient_(std::move(model)), draws_(std::move(options)) {}

  /// The mean for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(gradient_, input, target, [&](const auto& wanted) {
      Attribution result{predict(input, wanted)};
      const auto selector = detail::read_as(wanted, result.output_type);
      return draws_(std::move(result), input, selector, [&](const detail::ShapRows& rows, const auto& fixed) {
        const at::Tensor g = gradient_(rows.between.to(input.scalar_type()), fixed).values;
        return detail::widened(g).mul(rows.input.sub(rows.baseline));
      });
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return gradient_.predict(input, target);
  }

 private:
  GradientAttributor<M> gradient_;
  detail::ShapDraws draws_;
};

/// Gradient SHAP at a layer, as Captum defines it: the mean of \f$ (a(x + \varepsilon) - a(b)) \, \partial
/// s_c / \partial a \f$, with the gradient at the layer for the *input* b + t (x + noise - b). (The line at
/// the layer itself, from a(b) to a(x), is GradientShap of GraphModel::from.) `values` has the layer's shape.
/// Otherwise as GradientShap.
template <class M>
class LayerGradientShap {
 public:
  /// `model` is a LayeredModel. Throws ArgumentError for an option out of range.
  explicit LayerGradientShap(const M& model, const LayerOptions& layer, GradientShapOptions options = {})
      : gradient_(model, layer), activation_(model, layer), draws_(std::move(options)) {}

  /// The mean for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(gradient_.model(), input, target, [&](const auto& wanted) {
      Attribution result{predict(input, wanted)};
      result.values_of = ValuesOf::layer;
      const auto selector = detail::read_as(wanted, result.output_type);
      return draws_(std::move(result), input, selector, [&](const detail::ShapRows& rows, const auto& fixed) {
        const auto at = [&](const auto& method, const at::Tensor& points) {
          return detail::widened(method(points.to(input.scalar_type()), fixed).values);
        };
        const at::Tensor change = at(activation_, rows.input).sub(at(activation_, rows.baseline));
        return at(gradient_, rows.between).mul(change);
      });
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return gradient_.predict(input, target);
  }

 private:
  LayerGradient<M> gradient_;
  LayerActivation<M> activation_;
  detail::ShapDraws draws_;
};

}  // namespace salience
