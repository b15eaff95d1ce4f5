// Lrp: layer-wise relevance propagation.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/detail/completeness.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/model/relevance_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/ledger.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Layer-wise relevance propagation (Bach et al.: "On Pixel-Wise Explanations for Non-Linear Classifier
/// Decisions by Layer-Wise Relevance Propagation", 2015): the score is shared out over what an operator read,
/// from the last to the first, by the rules of a Composite.
///
///     Lrp method{model, Composite::epsilon_plus_flat()};
///     Attribution a = method(x);  // a.bias_share, a.epsilon_share
///
/// What is explained is the score itself, which should be a logit: with a probability, softmax's own rule
/// comes first. The values sum to the score but for what biases and epsilon take, which the figures say, and
/// what constants do: `completeness_error` is the sum minus the score.
///
/// It works on the operators of a model's file, so residual sums, concatenations, functional and reused
/// activations are seen without a canonizer; BatchNorm is merged with the convolution before it, whatever
/// ModelOptions::prepare says. "First" operators (see Composite::Entry) are the first in the graph. Costs
/// 2 to 3 gradients with epsilon and z-plus, up to 5 with alpha-beta and gamma. Throws ArgumentError for a
/// number out of range, ModelError, which names them, for operators without a rule, both from the
/// constructor, and what GradientAttributor throws.
template <class M>
class Lrp {
 public:
  /// `model` is a RelevanceModel: a ScriptModel, an ExportedModel, a GraphModel.
  explicit Lrp(const M& model, const Composite& composite = Composite::epsilon_plus())
      : model_(relevant(model, composite)) {}

  /// The relevance of each element, for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      const auto ledger = std::make_shared<detail::Ledger>(input.size(0));
      const RecordedPass pass = [&] {
        const detail::OpenLedger open(ledger);
        return record(model_, input, wanted);
      }();
      Attribution result = pass.explained_by(pass.gradient());
      detail::fill_in_completeness(result, result.score.mul(0.0));
      if (!ledger->bias().defined()) return result;
      const at::Tensor score = result.score.to(at::kCPU, at::kDouble);
      result.bias_share = ledger->bias().div(score);
      result.epsilon_share = ledger->epsilon().div(score);
      result.constant_share =
          result.completeness_error.add(ledger->bias()).add_(ledger->epsilon()).div_(score).neg_();
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  static auto relevant(const M& model, const Composite& composite) {
    detail::require_relevance_model<M>();
    if constexpr (RelevanceModel<M>) {
      return model.relevant(composite);
    } else {
      return model;
    }
  }

  mutable decltype(relevant(std::declval<const M&>(), std::declval<const Composite&>())) model_;
};

}  // namespace salience
