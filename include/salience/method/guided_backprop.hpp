// GuidedBackprop and Deconvnet: gradients whose backward pass keeps positive values only.
#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/backward_rule.hpp>
#include <salience/method/gradient_attributor.hpp>

namespace salience {

/// Guided backpropagation (Springenberg et al.: "Striving for Simplicity: The All Convolutional Net", 2014):
/// the gradient of the target's score at the input, where each rectifier passes back only the positive part
/// of its gradient, see GuidedRule. It gives sharp pictures of the structures that activate the network.
///
///     GuidedBackprop method{model};
///     Attribution a = method(x, ClassIndex{5});
///
/// Not to be used to tell classes apart or to judge what the head has learned: the picture is mostly one of
/// the input's edges and hardly changes when the target does or when the last layers get random weights
/// (Adebayo et al.: "Sanity Checks for Saliency Maps", 2018). GuidedGradCam adds the class.
///
/// Arguments, results and other errors are those of gradient_at_input. The model must have rectifiers: ReLU,
/// ReLU6 or another hardtanh, threshold, clamp, clamp_min or maximum whose lower bound is 0, as functions,
/// modules or in place, wherever in the model; one without (GELU, SiLU, LeakyReLU) is a ModelError. In a
/// model that has both, the others pass back their plain gradient; so does what is not recognised as a
/// rectifier, such as `x * (x > 0)` and torch::where.
template <class M>
class GuidedBackprop : public GradientAttributor<M, GuidedRule> {
 public:
  /// Of any Model that has rectifiers.
  explicit GuidedBackprop(M model) : GradientAttributor<M, GuidedRule>(std::move(model)) {}
};

/// Deconvolution (Zeiler, Fergus: "Visualizing and Understanding Convolutional Networks", 2014): as
/// GuidedBackprop, but each rectifier passes back the positive part of the incoming gradient, whatever its
/// input was, see DeconvnetRule. Without max pooling the result hardly depends on the input (Springenberg et
/// al. 2014); the same warning applies.
///
///     Deconvnet method{model};
template <class M>
class Deconvnet : public GradientAttributor<M, DeconvnetRule> {
 public:
  /// Of any Model that has rectifiers.
  explicit Deconvnet(M model) : GradientAttributor<M, DeconvnetRule>(std::move(model)) {}
};

}  // namespace salience
