// The primitive gradient_at_input, and GradientAttributor: vanilla gradients.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

/// A callable that replaces the gradient of a rectifier (ReLU, ReLU6, a clamp or threshold at 0). It is
/// called with the rectifier's plain gradient and with the incoming gradient of its output, both of the
/// rectifier's shape, and returns a tensor of that shape. Several threads may call it at once. Rules other
/// than PlainGradient, the user's own included, need method/backward_rule.hpp.
template <class R>
concept BackwardRule = requires(const R& rule, const at::Tensor& plain, const at::Tensor& incoming) {
  { rule(plain, incoming) } -> std::convertible_to<at::Tensor>;
};

/// The rule that changes nothing.
struct PlainGradient {
  /// The rectifier's own gradient.
  const at::Tensor& operator()(const at::Tensor& plain, const at::Tensor&) const { return plain; }
};

namespace detail {

template <class Rule>
class RuleOnGraph;  // in method/backward_rule.hpp, which costs more to compile

/// Fails to compile with one sentence unless R is a backward rule that can be used here.
template <class R>
constexpr void require_rule() {
  static_assert(
      BackwardRule<R>,
      "Salience: a backward rule must take what a rectifier passes back and what comes in from above, "
      "two const at::Tensor&, and return an at::Tensor");
  if constexpr (BackwardRule<R> && !std::is_same_v<R, PlainGradient>) {
    static_assert(
        requires { sizeof(RuleOnGraph<R>); },
        "Salience: a backward rule needs #include <salience/method/backward_rule.hpp>");
  }
}

/// RecordedPass::gradients, with a rule for the rectifiers.
template <class Rule>
std::vector<at::Tensor> gradients(const RecordedPass& pass, at::TensorList wrt, const Rule& rule,
                                  bool keep = false) {
  if constexpr (std::is_same_v<Rule, PlainGradient>) {
    return pass.gradients(wrt, keep);
  } else {
    const RuleOnGraph<Rule> while_walked(pass, rule);
    return pass.gradients(wrt, keep);
  }
}

}  // namespace detail

/// The gradient of a score with respect to the input, \f$ \partial s_c(x) / \partial x \f$, and with it the
/// output, the target and the score: one forward and one backward pass. The other methods are built on it.
///
/// @param model   any Model; it is called once. Its parameters' `.grad` and flags are not touched, and no
///                gradient of a weight is computed.
/// @param input   (N, ...), floating (float32, float64, bfloat16), on the model's device. It may require a
///                gradient or not, be a leaf or not, be an inference tensor; it is not changed, also if the
///                model writes into its argument. The caller may be under no_grad or in inference mode.
/// @param target  a TargetSelector, a bare choice (`ClassIndex{5}`), or a callable from output to (N) scores.
/// @param rule    what the model's rectifiers pass back: a BackwardRule
/// @return        `values` has the input's shape, dtype and device; the rest is as the model's output is.
///                Sample n's gradient is that of sample n's score, if the model treats the rows of a batch
///                independently.
/// @throws ArgumentError for an input that is empty, sparse or not floating; TargetError for a target that
///         the output does not have or that fails or has no gradient; ModelError if the output has no
///         gradient, does not depend on the input, or if LibTorch lacks a backward operator (1.13 has no
///         bfloat16 one for ReLU6), and with a rule, if the model has no rectifier or TorchScript's
///         profiling executor hides it. What the model throws in its forward passes through, and what a rule
///         throws in the backward pass.
template <class M, class T = TargetSelector<>, class Rule = PlainGradient>
Attribution gradient_at_input(M&& model, const at::Tensor& input, const T& target = T{},
                              const Rule& rule = Rule{}) {
  detail::require_model<std::remove_cvref_t<M>>();
  detail::require_rule<Rule>();
  return enter(model, input, target, [&](const auto& wanted) {
    const RecordedPass pass = record(model, input, wanted);
    return pass.explained_by(detail::gradients(pass, pass.leaf, rule).front());
  });
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
///
/// With a BackwardRule it is the gradient that the rule makes of it: `GradientAttributor{model,
/// GuidedRule{}}`.
template <class M, class Rule = PlainGradient>
class GradientAttributor {
 public:
  /// `model` is any Model, `rule` what its rectifiers pass back.
  explicit GradientAttributor(M model, Rule rule = {}) : model_(std::move(model)), rule_(std::move(rule)) {
    detail::require_model<M>();
    detail::require_rule<Rule>();
  }

  /// The gradient at each sample of `input`, (N, ...): see gradient_at_input.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return gradient_at_input(model_, input, target, rule_);
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  mutable M model_;  // a model's call operator may be non-const
  [[no_unique_address]] Rule rule_;
};

}  // namespace salience
