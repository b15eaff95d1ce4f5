// Explanation: several methods from one forward pass.
#pragma once

#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/backward_rule.hpp>
#include <salience/method/cam_weighting.hpp>
#include <salience/method/class_activation_map.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/model/concepts.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

namespace detail {

inline void require_upsampling(const CamOptions& options) {
  if (!options.upsample) throw ArgumentError::out_of_range("upsample", "false", "true in Guided Grad-CAM");
}

}  // namespace detail

/// One forward pass, and from it whatever is asked for: each gradient is computed at its first use, by one
/// backward pass over the same graph, and the results are those of the methods of the same names, bit for
/// bit.
///
///     Explanation explanation{model, x};                                         // the predicted class
///     Attribution v = explanation.vanilla(), i = explanation.input_x_gradient();  // one backward pass
///     Explanation with_layer{model, x, ClassIndex{5}, CamOptions{.layer = "features.28"}};
///     Attribution c = with_layer.grad_cam(), g = with_layer.guided_grad_cam();
///
/// It keeps the graph, with the activations of the whole network, as long as it lives. One thread may use it
/// at a time.
class Explanation {
 public:
  /// Without layers, for any Model. Throws as gradient_at_input.
  template <class M, class T = TargetSelector<>>
  Explanation(M&& model, const at::Tensor& input, const T& target = T{}) {
    detail::require_model<std::remove_cvref_t<M>>();
    pass_ = record(model, input, target);
  }

  /// With the layers of `options`, for a LayeredModel. Throws as GradCam.
  template <class M, class T>
  Explanation(M&& model, const at::Tensor& input, const T& target, CamOptions options)
      : options_(std::move(options)) {
    detail::require_layered_model<std::remove_cvref_t<M>>();
    detail::require_gradient_at(model, input, target);
    pass_ = record(model, input, target, *options_.layer);
  }

  /// What is explained.
  Explained explained() const { return pass_.explained(); }

  /// The gradient at the input; by a rule other than PlainGradient it is computed anew at each call.
  template <class Rule = PlainGradient>
  Attribution gradient(const Rule& rule = Rule{}) const {
    detail::require_rule<Rule>();
    return pass_.explained_by(detail::gradients(pass_, pass_.leaf, rule, /*keep=*/true).front());
  }
  /// What GradientAttributor gives.
  Attribution vanilla() const {
    return enter([&] { return pass_.explained_by(plain().clone()); });
  }
  /// What InputXGradient gives.
  Attribution input_x_gradient() const {
    return enter([&] { return pass_.explained_by(plain().mul(pass_.leaf.detach())); });
  }
  /// What GuidedBackprop gives. Throws ModelError if the model has no rectifiers.
  Attribution guided_backprop() const {
    return enter([&] { return pass_.explained_by(guided().clone()); });
  }
  /// What Deconvnet gives; computed anew at each call. Throws ModelError if the model has no rectifiers.
  Attribution deconvnet() const { return gradient(DeconvnetRule{}); }

  /// The class activation map by any CamWeighting, as ClassActivationMap gives it. Throws ArgumentError if no
  /// layers were asked for.
  template <class Weighting = MeanGradient>
  Attribution cam(const Weighting& weighting = {}) const {
    detail::require_cam_weighting<Weighting>();
    if (pass_.layers.empty()) {
      throw ArgumentError("this Explanation has no layers: give it CamOptions after the target");
    }
    return enter([&] {
      if (layer_gradients_.empty()) layer_gradients_ = detail::layer_gradients(pass_, /*keep=*/true);
      return detail::class_activation_map(pass_, layer_gradients_, weighting, options_);
    });
  }
  /// What GradCam gives: see cam.
  Attribution grad_cam() const { return cam(); }
  /// Throws ArgumentError if the options leave the map at the layer's size.
  Attribution guided_grad_cam() const {
    detail::require_upsampling(options_);
    return enter([&] {
      Attribution result = cam();
      result.values = guided().mul(result.values);
      result.values_of = ValuesOf::elements;
      return result;
    });
  }

 private:
  const at::Tensor& plain() const {
    if (!plain_.defined()) plain_ = pass_.gradient(/*keep=*/true);
    return plain_;
  }
  const at::Tensor& guided() const {
    if (!guided_.defined()) {
      guided_ = detail::gradients(pass_, pass_.leaf, GuidedRule{}, /*keep=*/true).front();
    }
    return guided_;
  }

  RecordedPass pass_;
  CamOptions options_;
  mutable at::Tensor plain_, guided_;
  mutable std::vector<at::Tensor> layer_gradients_;
};

}  // namespace salience
