// LayerActivation, LayerGradient and LayerGradXActivation: a layer's output, the gradient of the score there,
// and their product.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

namespace detail {

inline constexpr std::span<const std::string> no_layers{};

/// The gradients at the pass's layers. Two names may stand for one tensor, which is then asked for once.
inline std::vector<at::Tensor> layer_gradients(const RecordedPass& pass, bool keep = false) {
  std::vector<at::Tensor> once;
  std::vector<std::size_t> place;
  for (const at::Tensor& layer : pass.layers) {
    const auto same = std::find_if(once.begin(), once.end(),
                                   [&layer](const at::Tensor& other) { return other.is_same(layer); });
    place.push_back(static_cast<std::size_t>(same - once.begin()));
    if (same == once.end()) once.push_back(layer);
  }
  const std::vector<at::Tensor> gradients = pass.gradients(once, keep);
  std::vector<at::Tensor> result;
  result.reserve(place.size());
  for (const std::size_t i : place) result.push_back(gradients[i]);
  return result;
}

/// In the dtype and on the device of the input, as every result is; of integers in the layer's dtype.
inline at::Tensor as_input(const at::Tensor& values, const at::Tensor& input) {
  const bool follows = values.is_floating_point() && input.is_floating_point();
  return values.to(input.device(), follows ? input.scalar_type() : values.scalar_type());
}

struct ActivationOnly {
  static constexpr bool needs_gradient = false;
  at::Tensor operator()(const at::Tensor& activation, const at::Tensor&) const { return activation; }
};
struct GradientOnly {
  static constexpr bool needs_gradient = true;
  at::Tensor operator()(const at::Tensor&, const at::Tensor& gradient) const { return gradient; }
};
struct GradientTimesActivation {
  static constexpr bool needs_gradient = true;
  at::Tensor operator()(const at::Tensor& activation, const at::Tensor& gradient) const {
    return gradient.mul(activation);
  }
};

/// A method whose values come from one layer's output and the gradient there.
template <class M, class Values>
class LayerMethod {
 public:
  LayerMethod(M model, std::string layer) : model_(std::move(model)), layers_{std::move(layer)} {
    require_layered_model<M>();
  }

  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter([&] {
      const auto& wanted = as_target(target);
      RecordedPass pass;
      at::Tensor gradient;
      if constexpr (Values::needs_gradient) {
        pass = record(model_, input, wanted, layers_);
        gradient = layer_gradients(pass).front();
      } else {
        pass = observe(model_, input, wanted, layers_);
      }
      Attribution result =
          pass.explained_by(as_input(Values{}(pass.layers.front().detach(), gradient), input));
      result.values_of = ValuesOf::layer;
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target, no_layers).explained();
  }

  /// The model that is asked.
  const M& model() const { return model_; }

 private:
  M model_;
  std::vector<std::string> layers_;
};

}  // namespace detail

/// What can be chosen of LayerActivation, LayerGradient and LayerGradXActivation.
struct LayerOptions {
  std::string layer{};  ///< the layer's name, as the model names it; empty: the last convolution
};

/// What a layer gives: `values` is its output, in the layer's shape and the input's dtype. The target only
/// says what else the result tells (`target`, `score`). No backward pass is done.
///
///     LayerActivation activation{model, {.layer = "features.28"}};
///     at::Tensor a = activation(x).values;  // (N, C, h, w)
///
/// As all methods it takes a target, `activation(x, ClassIndex{5})`, and has `predict(x, target)`, which
/// gives what is explained. The model is a LayeredModel. Throws, as those below do, what the
/// model's `tapped` throws for the layer, and what GradientAttributor throws.
template <class M>
class LayerActivation : public detail::LayerMethod<M, detail::ActivationOnly> {
 public:
  /// `model` is a LayeredModel.
  explicit LayerActivation(M model, LayerOptions options = {})
      : detail::LayerMethod<M, detail::ActivationOnly>(std::move(model), std::move(options.layer)) {}
};

/// The gradient of the score with respect to a layer's output, \f$ \partial s_c / \partial a \f$; `values`
/// has the layer's shape. The input may hold integers if the model is a CuttableModel and the layer is named;
/// the values then have the layer's dtype. Throws ModelError if the score does not depend on the layer.
template <class M>
class LayerGradient : public detail::LayerMethod<M, detail::GradientOnly> {
 public:
  /// `model` is a LayeredModel.
  explicit LayerGradient(M model, LayerOptions options = {})
      : detail::LayerMethod<M, detail::GradientOnly>(std::move(model), std::move(options.layer)) {}
};

/// A layer's output times the gradient there, \f$ a \, \partial s_c / \partial a \f$: the first-order share
/// of each of its elements in the score; Captum's LayerGradientXActivation. Otherwise as LayerGradient.
template <class M>
class LayerGradXActivation : public detail::LayerMethod<M, detail::GradientTimesActivation> {
 public:
  /// `model` is a LayeredModel.
  explicit LayerGradXActivation(M model, LayerOptions options = {})
      : detail::LayerMethod<M, detail::GradientTimesActivation>(std::move(model), std::move(options.layer)) {}
};

}  // namespace salience
