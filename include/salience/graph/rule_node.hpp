// An operator that hands back what a rule says instead of its derivative.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/jit/runtime/operator.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/tensor_values.hpp>
#include <salience/tensor/ledger.hpp>

namespace salience::detail {

/// What a rule works with: one call of an operator, once the gradient of its output is known. Nothing in it
/// is part of an autograd graph.
struct RuleCall {
  torch::jit::Operation& operation;
  const torch::jit::Stack& inputs;  ///< of the operator
  const torch::jit::Stack& beside;  ///< what the pass gave besides
  const at::Tensor& output;
  const at::Tensor& gradient;  ///< of the output
  const std::vector<bool>&
      wanted;      ///< of which of tensors_in(inputs), and then of `beside`, a result is used
  Ledger* ledger;  ///< where a rule of relevance notes what it keeps; may be nullptr

  const c10::IValue& argument(std::size_t i) const { return inputs.at(i); }
  at::Tensor tensor(std::size_t i) const { return inputs.at(i).toTensor(); }

  /// The first output of the operator for these inputs.
  at::Tensor run(torch::jit::Stack stack) const {
    operation(stack);
    return stack.front().toTensor();
  }

  /// The derivative of the operator at these inputs, applied to `incoming`: one for each wanted tensor of
  /// the inputs, undefined for the others.
  std::vector<at::Tensor> derivative(const torch::jit::Stack& at, const at::Tensor& incoming) const {
    const c10::AutoGradMode recording(true);
    std::vector<at::Tensor> leaves, result(tensors_in(at).size());
    std::vector<std::size_t> places;
    const at::Tensor output = run(with_tensors(at, [&](const at::Tensor& tensor, std::size_t i) {
      if (!wanted[i]) return tensor;
      leaves.push_back(tensor.detach().requires_grad_(true));
      places.push_back(i);
      return leaves.back();
    }));
    const std::vector<at::Tensor> gradients =
        torch::autograd::grad({output}, leaves, {incoming}, {}, false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < places.size(); ++i) result[places[i]] = gradients[i];
    return result;
  }
};

/// What an operator hands back instead of its derivative.
struct Rule {
  /// Gives what goes to each of tensors_in(inputs), and then of `beside`; fewer, or undefined ones: nothing.
  using HandBack = std::function<std::vector<at::Tensor>(const RuleCall&)>;
  /// Gives, before there is a gradient, by what that will be multiplied for each of them.
  using Factors = std::function<std::vector<at::Tensor>(const RuleCall&)>;

  HandBack hand_back{};
  Factors factors{};  ///< in the place of the other: then nothing else is kept
  // What it looks at when the gradient comes back.
  bool keeps_inputs = true;
  bool keeps_output = true;
  bool keeps_beside = true;

  Rule() = default;
  template <class F>
  requires std::is_convertible_v<F, HandBack> Rule(F hand_back_by, bool inputs = true,
                                                   bool output = true)  // NOLINT: a rule is what it does
      : hand_back(std::move(hand_back_by)),
        keeps_inputs(inputs),
        keeps_output(output),
        keeps_beside(inputs) {}
  static Rule by(Factors factors) {
    Rule rule;
    rule.factors = std::move(factors);
    return rule;
  }

  explicit operator bool() const { return hand_back || factors; }
};

/// The node of LibTorch's autograd graph that runs a rule.
class RuleNode final : public torch::autograd::Node {
 public:
  RuleNode(torch::autograd::edge_list edges, torch::jit::Operation operation, const Rule& rule,
           const torch::jit::Stack& inputs, const torch::jit::Stack& beside, const at::Tensor& output)
      : torch::autograd::Node(std::move(edges)),
        operation_(std::move(operation)),
        hand_back_(rule.hand_back) {
    for (std::size_t i = 0; i < num_outputs(); ++i) wanted_.push_back(next_edge(i).is_valid());
    if (rule.factors) {
      factors_ = rule.factors({operation_, inputs, beside, output, output_, wanted_, ledger_.get()});
      return;
    }
    if (rule.keeps_inputs) inputs_ = inputs;
    if (rule.keeps_beside) beside_ = beside;
    if (rule.keeps_output) output_ = output;
    versions_ = versions();
  }

  std::string name() const override { return "SalienceRule"; }

  void release_variables() override {
    inputs_.clear();
    beside_.clear();
    output_.reset();
    factors_.clear();
    released_ = true;
  }

 private:
  /// Of all that is kept, to see that nothing was written over.
  std::vector<std::int64_t> versions() const {
    std::vector<std::int64_t> all;
    const auto add = [&all](const at::Tensor& tensor) {
      const bool counted = tensor.defined() && !tensor.is_inference();
      all.push_back(counted ? static_cast<std::int64_t>(tensor._version()) : 0);
    };
    for (const auto* stack : {&inputs_, &beside_}) {
      for (const at::Tensor& tensor : tensors_in(*stack)) add(tensor);
    }
    add(output_);
    return all;
  }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    torch::autograd::variable_list result(num_outputs());
    const at::Tensor& gradient = gradients.at(0);
    if (!gradient.defined()) return result;
    TORCH_CHECK(!released_, "a rule was run whose values were freed");
    if (!hand_back_) {
      for (std::size_t i = 0; i < std::min(result.size(), factors_.size()); ++i) {
        if (wanted_[i] && factors_[i].defined()) result[i] = factors_[i].mul(gradient);
      }
      return result;
    }
    TORCH_CHECK(versions() == versions_, "a value that a rule needs was written over");
    std::vector<at::Tensor> handed_back =
        hand_back_({operation_, inputs_, beside_, output_, gradient, wanted_, ledger_.get()});
    for (std::size_t i = 0; i < std::min(result.size(), handed_back.size()); ++i) {
      if (wanted_[i]) result[i] = std::move(handed_back[i]);
    }
    return result;
  }

  torch::jit::Operation operation_;
  Rule::HandBack hand_back_;
  torch::jit::Stack inputs_, beside_;
  at::Tensor output_;
  std::vector<at::Tensor> factors_;
  std::vector<bool> wanted_;
  std::shared_ptr<Ledger> ledger_ = OpenLedger::current();
  std::vector<std::int64_t> versions_;
  bool released_ = false;
};

/// A RuleNode in the kind of pointer that this LibTorch has for nodes.
template <class Pointer, class... Arguments>
Pointer shared_node(Arguments&&... arguments) {
  if constexpr (std::is_same_v<Pointer, std::shared_ptr<torch::autograd::Node>>) {
    return std::make_shared<RuleNode>(std::forward<Arguments>(arguments)...);
  } else {
    return c10::make_intrusive<RuleNode>(std::forward<Arguments>(arguments)...);
  }
}

/// What stands in a graph for an operator with a rule.
class RuledOperator final : public torch::CustomClassHolder {
 public:
  /// The operator has `inputs` inputs, and `beside` more stand beside.
  RuledOperator(torch::jit::Operation operation, Rule rule, std::size_t inputs, std::size_t beside)
      : operation_(std::move(operation)), rule_(std::move(rule)), inputs_(inputs), beside_(beside) {}

  /// Runs it: takes its inputs from the stack and leaves the operator's first output there.
  void operator()(torch::jit::Stack& stack) const {
    const std::size_t count = stack.size() - inputs_ - beside_;
    const torch::jit::Stack all(stack.begin() + static_cast<std::ptrdiff_t>(count), stack.end());
    stack.resize(count);
    const auto own = c10::ArrayRef<c10::IValue>(all).slice(0, inputs_);
    const auto beside = c10::ArrayRef<c10::IValue>(all).slice(inputs_);
    at::Tensor output;
    {
      const c10::AutoGradMode unrecorded(false);
      torch::jit::Stack values(own.begin(), own.end());
      operation_(values);
      output = values.front().toTensor();
    }
    const std::vector<at::Tensor> tensors = tensors_in(all);
    bool recorded = false;
    for (const at::Tensor& tensor : tensors)
      recorded = recorded || (tensor.defined() && tensor.requires_grad());
    if (recorded && c10::GradMode::is_enabled()) {
      TORCH_CHECK(!c10::isIntegralType(output.scalar_type(), /*includeBool=*/true),
                  "whole numbers are made of values that depend on the input, which has no rule");
      output = output.detach();
      torch::autograd::create_gradient_edge(
          output, shared_node<decltype(torch::autograd::Edge::function)>(
                      torch::autograd::collect_next_edges(tensors), operation_, rule_, detached(own),
                      detached(beside), output.detach()));
    }
    stack.emplace_back(std::move(output));
  }

 private:
  mutable torch::jit::Operation operation_;  // a function: LibTorch's own threads call it at once, too
  Rule rule_;
  std::size_t inputs_, beside_;
};

/// The value, with a factor by which what comes back is multiplied: the beginning of relevance, where the
/// gradient of a score becomes the share of what is explained in it.
inline at::Tensor begun(const at::Tensor& output) {
  const auto itself = [](torch::jit::Stack&) {};
  torch::jit::Stack stack{output};
  RuledOperator(itself, Rule::by([](const RuleCall& call) { return std::vector{call.output}; }), 1, 0)(stack);
  return stack.front().toTensor();
}

/// The operator `salience::ruled`, which LibTorch's interpreter finds by its name. It is registered once in a
/// program, since a graph that has it must find it; what it does stands in each node.
inline c10::Symbol ruled_operator() {
  static const c10::Symbol name = [] {
    const c10::Symbol symbol = c10::Symbol::fromQualString("salience::ruled");
    if (torch::jit::getAllOperatorsFor(symbol).empty()) {
      torch::jit::registerOperator(torch::jit::Operator(
          symbol,
          [](const torch::jit::Node* node) -> torch::jit::Operation {
            const auto ruled =
                c10::static_intrusive_pointer_cast<RuledOperator>(node->ival(c10::attr::value).toCapsule());
            return [ruled](torch::jit::Stack& stack) { (*ruled)(stack); };
          },
          c10::AliasAnalysisKind::PURE_FUNCTION));
    }
    return symbol;
  }();
  return name;
}

/// A node that does `operation` of `inputs` with a rule, which stands nowhere yet; `beside` is what the rule
/// needs besides.
inline torch::jit::Node* ruled_node(torch::jit::Graph& graph, torch::jit::Operation operation, Rule rule,
                                    c10::ArrayRef<torch::jit::Value*> inputs,
                                    c10::ArrayRef<torch::jit::Value*> beside) {
  auto ruled =
      c10::make_intrusive<RuledOperator>(std::move(operation), std::move(rule), inputs.size(), beside.size());
  torch::jit::Node* node = graph.create(ruled_operator(), inputs, 1);
  for (torch::jit::Value* value : beside) node->addInput(value);
  node->ival_(c10::attr::value, c10::IValue::make_capsule(std::move(ruled)));
  node->output()->setType(c10::TensorType::get());
  return node;
}

/// Puts an operator with a rule in the place of `node`, of which only the first output may be read.
inline torch::jit::Value* put_rule(torch::jit::Node* node, Rule rule,
                                   c10::ArrayRef<torch::jit::Value*> beside) {
  torch::jit::Node* replacement =
      ruled_node(*node->owningGraph(), node->getOperation(), std::move(rule), node->inputs(), beside);
  replacement->insertBefore(node);
  node->output(0)->replaceAllUsesWith(replacement->output());
  node->destroy();
  return replacement->output();
}

}  // namespace salience::detail
