// The primitive gradient_at_input, and GradientAttributor: vanilla gradients.
#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

namespace detail {

inline void require_input(const at::Tensor& input) {
  if (!input.defined() || input.dim() < 1 || input.size(0) < 1) {
    throw ArgumentError::out_of_range("input", shape(input), "a batch (N, ...) of at least one sample");
  }
  if (!at::isFloatingType(input.scalar_type())) {
    throw ArgumentError::out_of_range("input", input.scalar_type(), "of a floating type");
  }
}

/// A leaf of our own with the input's values: the caller's tensor keeps its flags and its `.grad`.
inline at::Tensor private_leaf(const at::Tensor& input) {
  return (input.is_inference() ? input.clone() : input.detach()).requires_grad_(true);
}

/// The target's choice and scores for a model's output; what LibTorch throws in a target becomes a
/// TargetError.
template <Target T>
std::pair<at::Tensor, at::Tensor> choose_and_score(const T& target, const at::Tensor& output,
                                                   const at::Tensor& input) {
  const auto samples = input.size(0);
  at::Tensor chosen, score;
  try {
    chosen = target.choose(output.detach());
    score = target.score(output, chosen);
  } catch (const c10::Error& error) {
    std::throw_with_nested(TargetError(
        concat("the target fails on an output of shape ", shape(output), ": ", first_cause(error))));
  }
  if (!score.defined() || score.numel() != samples) {
    throw TargetError(concat("the target must give one score per sample, (", samples, "), got ", shape(score),
                             " for an input of shape ", shape(input), " and an output of shape ",
                             shape(output),
                             "; the first dimension of both must be the batch (x.unsqueeze(0) adds one)"));
  }
  return {chosen, score};
}

inline void require_gradient(const at::Tensor& output, const at::Tensor& score) {
  if (score.requires_grad()) return;
  if (output.requires_grad()) {
    throw TargetError("the target's score has no gradient: it is constant, detached, or made of integers");
  } else {
    throw ModelError(
        "the model's output has no gradient: it does not depend on the input, or was computed under no_grad, "
        "detached, or from integers (a graph from optimize_for_inference has none either)");
  }
}

}  // namespace detail

/// The gradient of a score with respect to the input, \f$ \partial s_c(x) / \partial x \f$, and with it the
/// output, the target and the score: one forward and one backward pass. All else in this library stands on
/// it.
///
/// @param model   any Model; it is called once. Its parameters' `.grad` and flags are not touched, and no
///                gradient of a weight is computed.
/// @param input   (N, ...), floating (float32, float64, bfloat16), on the model's device. It may require a
///                gradient or not, be a leaf or not, be an inference tensor; it is not changed, also if the
///                model writes into its argument. The caller may be under no_grad or in inference mode.
/// @param target  a TargetSelector, a bare choice (`ClassIndex{5}`), or a callable from output to (N) scores.
/// @return        `values` has the input's shape, dtype and device; the rest is as the model's output is.
///                Sample n's gradient is that of sample n's score, if the model treats the rows of a batch
///                independently.
/// @throws ArgumentError for an input that is empty or not floating; TargetError for a target that the output
///         does not have or that fails or has no gradient; ModelError if the output has no gradient, does not
///         depend on the input, or if LibTorch lacks a backward operator (1.13 has no bfloat16 one for
///         ReLU6). What the model throws in its forward passes through.
template <class M, class T = TargetSelector<>>
Attribution gradient_at_input(M&& model, const at::Tensor& input, const T& target = T{}) {
  detail::require_model<std::remove_cvref_t<M>>();
  detail::require_input(input);
  const c10::InferenceMode recording(false);  // outside of it gradients are on, whatever the caller had set
  const at::Tensor leaf = detail::private_leaf(input);
  // The clone lets a model write into its input, which is forbidden on a leaf.
  const at::Tensor output = detail::call(model, leaf.clone());
  const auto& selector = detail::as_target(target);
  const auto [chosen, score] = detail::choose_and_score(selector, output, input);
  detail::require_gradient(output, score);

  try {
    score.sum().backward({}, /*retain_graph=*/false, /*create_graph=*/false, at::TensorList(&leaf, 1));
  } catch (const c10::Error& error) {
    std::throw_with_nested(ModelError(detail::concat("the model's backward pass fails for an input of type ",
                                                     input.scalar_type(), ": ", detail::first_cause(error))));
  }
  if (!leaf.grad().defined()) throw ModelError("the explained score does not depend on the input");
  return {.values = leaf.grad(),
          .target = chosen,
          .score = score.detach().reshape({-1}),
          .logits = output.detach()};
}

/// Vanilla gradients (Simonyan, Vedaldi, Zisserman: "Deep Inside Convolutional Networks", 2014): the gradient
/// of the target's score with respect to the input, see gradient_at_input.
///
///     GradientAttributor vanilla{model};
///     Attribution a = vanilla(x);                // the predicted class
///     Attribution b = vanilla(x, ClassIndex{5});
///
/// It holds a copy of the model: a ScriptModel, a module holder and a shared pointer copy cheaply, and
/// std::ref shares any callable. Several threads may call it at once if they may call the model at once, as
/// they may a ScriptModel.
template <class M>
class GradientAttributor {
 public:
  explicit GradientAttributor(M model) : model_(std::move(model)) { detail::require_model<M>(); }

  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return gradient_at_input(model_, input, target);
  }

  /// What the call above would explain, by the forward pass alone: the result without `values`.
  template <class T = TargetSelector<>>
  Attribution predict(const at::Tensor& input, const T& target = T{}) const {
    detail::require_input(input);
    const c10::InferenceMode no_inference(false);
    const c10::NoGradGuard no_grad;
    const at::Tensor output = detail::call(model_, input.detach().clone());
    const auto& selector = detail::as_target(target);
    const auto [chosen, score] = detail::choose_and_score(selector, output, input);
    return {.target = chosen, .score = score.reshape({-1}), .logits = output};
  }

 private:
  mutable M model_;  // a model's call operator may be non-const
};

}  // namespace salience
