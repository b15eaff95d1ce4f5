// DeepLIFT's rule RevealCancel: what rises and what falls goes back by multipliers of its own.
#pragma once

#include <cstddef>
#include <vector>

#include <torch/script.h>

#include <salience/graph/deep_lift_rules.hpp>
#include <salience/graph/rising_parts.hpp>
#include <salience/graph/rule_node.hpp>
#include <salience/graph/tensor_values.hpp>
#include <salience/graph/twin.hpp>

namespace salience::detail {

/// The multipliers of an activation y = f(u) for what falls and for what rises, (2, ...): with u - u0 = p +
/// n, the mean of the part's effect before the other one and after it; where that has no value, or is more
/// than 1000 times the slope of the whole change and 1, that slope. The call's inputs are the operator's, and
/// beside stand those of its twin, its output and, last, p.
inline at::Tensor reveal_cancel_multipliers(const RuleCall& call, bool smooth) {
  const at::Tensor u = call.tensor(0), u0 = call.beside.at(0).toTensor(), p = call.beside.back().toTensor();
  const at::Tensor y = call.output, y0 = call.beside.at(call.beside.size() - 2).toTensor();
  const auto at_point = [&](const at::Tensor& point) {
    torch::jit::Stack there = call.inputs;
    there[0] = point;
    return there;
  };
  const auto slope = [&](const at::Tensor& to, const at::Tensor& from, const at::Tensor& y_to,
                         const at::Tensor& y_from) {
    return curve_multiplier(to, from, y_to, y_from, smooth, [&](const at::Tensor& at) {
      return call.derivative(at_point(at), at::ones_like(call.output)).front();
    });
  };
  const at::Tensor risen = u0.add(p), fallen = u.sub(p);
  const at::Tensor y_risen = call.run(at_point(risen)), y_fallen = call.run(at_point(fallen));
  at::Tensor of_p = slope(risen, u0, y_risen, y0).add_(slope(u, fallen, y, y_fallen)).mul_(0.5);
  at::Tensor of_n = slope(fallen, u0, y_fallen, y0).add_(slope(u, risen, y, y_risen)).mul_(0.5);
  // With one part alone f may have no value, or one beside which the change of y is lost by rounding.
  const at::Tensor whole = slope(u, u0, y, y0), most = whole.abs().clamp_min(1.0).mul_(1e3);
  const at::Tensor usable = of_p.abs().le(most).logical_and_(of_n.abs().le(most));
  of_p = at::where(usable, of_p, whole);
  of_n = at::where(usable, of_n, whole);
  return at::stack({of_n, of_p});
}

/// Follows the part of each value's change that rises, p, through a graph with twins. With multipliers m+ and
/// m- of the two parts, the change p + n contributes m+ p + m- n = m- (p + n) + (m+ - m-) p: so a value hands
/// back m-, and its p, which is computed beside it, the difference.
class RevealCancel {
 public:
  RevealCancel(torch::jit::Graph& graph, const Twin& twin) : graph_(graph), parts_(graph, twin) {}

  /// Computes, before a linear operator without a rule, the part of its output that rises.
  void linear(torch::jit::Node* node) { parts_.linear(node); }

  /// The same before an activation; gives the rule that it gets, and what stands beside.
  torch::jit::Value* activation(torch::jit::Node* node, torch::jit::Node* twin, bool smooth, Rule& rule,
                                std::vector<torch::jit::Value*>& beside) {
    const torch::jit::WithInsertPoint here(node);
    torch::jit::Value* p = parts_.rising(node->input(0));
    std::vector<torch::jit::Value*> more(twin->inputs().begin(), twin->inputs().end());
    more.push_back(twin->output(0));
    more.push_back(p);
    torch::jit::Value* multipliers = multipliers_of(node, more, smooth);
    const auto one = [&](std::int64_t i) {
      return graph_.insert(c10::aten::select, {multipliers, std::int64_t{0}, i});
    };
    torch::jit::Value *of_n = one(0), *of_p = one(1);
    beside = {of_n, of_p, p};
    rule = Rule::by([](const RuleCall& call) {
      std::vector<at::Tensor> factors(call.wanted.size());
      const at::Tensor down = call.beside.at(0).toTensor();
      factors.front() = down;
      factors.back() = call.beside.at(1).toTensor().sub(down);
      return factors;
    });
    return graph_.insert(c10::aten::mul, {of_p, p});
  }

  /// Tells of the part of a value that rises.
  void tell(const torch::jit::Value* value, torch::jit::Value* part) { parts_.tell(value, part); }

 private:
  torch::jit::Value* multipliers_of(torch::jit::Node* node, const std::vector<torch::jit::Value*>& more,
                                    bool smooth) {
    const std::size_t count = node->inputs().size();
    // It computes numbers that are held fixed: nothing goes back through it.
    Rule nothing([](const RuleCall&) { return std::vector<at::Tensor>(); }, false, false);
    const auto compute = [operation = node->getOperation(), count, smooth](torch::jit::Stack& stack) mutable {
      const torch::jit::Stack inputs(stack.begin(), stack.begin() + static_cast<std::ptrdiff_t>(count));
      const torch::jit::Stack beside(stack.begin() + static_cast<std::ptrdiff_t>(count), stack.end());
      torch::jit::Stack run = inputs;
      operation(run);
      const at::Tensor output = run.front().toTensor(), none;
      std::vector<bool> wanted(tensors_in(inputs).size(), false);
      wanted.front() = true;
      const RuleCall call{operation, inputs, beside, output, none, wanted, nullptr};
      stack = {reveal_cancel_multipliers(call, smooth)};
    };
    std::vector<torch::jit::Value*> all(node->inputs().begin(), node->inputs().end());
    all.insert(all.end(), more.begin(), more.end());
    torch::jit::Node* made = graph_.insertNode(ruled_node(graph_, compute, std::move(nothing), all, {}));
    return graph_.insert(c10::aten::detach, {made->output()});
  }

  torch::jit::Graph& graph_;
  RisingParts parts_;
};

}  // namespace salience::detail
