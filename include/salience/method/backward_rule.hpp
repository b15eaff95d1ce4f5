// Backward rules, which replace the gradients of rectifiers: GuidedRule and DeconvnetRule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/functions/tensor.h>

#include <salience/error.hpp>
#include <salience/method/detail/rectifiers.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Guided backpropagation (Springenberg et al.: "Striving for Simplicity: The All Convolutional Net", 2014):
/// a rectifier \f$ y = \max(x, 0) \f$ passes back \f$ R = [x > 0] \, [R' > 0] \, R' \f$ of the incoming
/// gradient R': its own gradient where that is positive.
struct GuidedRule {
  /// The positive part of the rectifier's own gradient.
  at::Tensor operator()(const at::Tensor& plain, const at::Tensor&) const { return plain.relu(); }
};

/// The "deconvnet" (Zeiler, Fergus: "Visualizing and Understanding Convolutional Networks", 2014): a
/// rectifier passes back \f$ R = [R' > 0] \, R' \f$ of the incoming gradient R', whatever its input was in
/// the forward pass.
struct DeconvnetRule {
  /// The positive part of what comes in.
  at::Tensor operator()(const at::Tensor&, const at::Tensor& incoming) const { return incoming.relu(); }
};

namespace detail {

template <class N, class... Arguments>
NodePtr make_node(Arguments&&... arguments) {
  if constexpr (std::is_same_v<NodePtr, std::shared_ptr<autograd::Node>>) {
    return std::make_shared<N>(std::forward<Arguments>(arguments)...);
  } else {
    return c10::make_intrusive<N>(std::forward<Arguments>(arguments)...);
  }
}

/// What the rule gives, checked.
template <class Rule>
at::Tensor passed_back(const Rule& rule, const at::Tensor& plain, const at::Tensor& incoming) {
  at::Tensor ruled;
  try {
    ruled = rule(plain, incoming);
  } catch (const c10::Error& error) {
    std::throw_with_nested(ModelError(
        concat("the backward rule fails on a gradient of shape ", shape(plain), ": ", first_cause(error))));
  } catch (const std::exception&) {
    throw;
  } catch (...) {  // autograd's engine hands on nothing else
    std::throw_with_nested(ModelError("the backward rule throws something that is no std::exception"));
  }
  // LibTorch checks no more what comes out of a hook.
  if (!ruled.defined() || ruled.sizes() != plain.sizes()) {
    throw ArgumentError::out_of_range("the backward rule's result", shape(ruled),
                                      concat("of shape ", shape(plain)));
  }
  return ruled.to(plain.scalar_type());
}

/// Puts a rule in the place of one of the gradients of a node.
template <class Rule>
struct RuleHook final : autograd::FunctionPostHook {
  RuleHook(const Rule& of, std::size_t at) : rule(of), position(at) {}

  autograd::variable_list operator()(const autograd::variable_list& gradients,
                                     const autograd::variable_list& incoming) override {
    autograd::variable_list result = gradients;
    at::Tensor& plain = result[position];
    if (plain.defined() && incoming[0].defined()) plain = passed_back(rule, plain, incoming[0]);
    return result;
  }

  const Rule& rule;
  std::size_t position;
};

/// Takes the place of a rectifier that worked in place on a view: CopySlices calls that one itself, past its
/// hooks.
template <class Rule>
struct RuledNode final : autograd::Node {
  RuledNode(NodePtr node, const Rule& rule, std::size_t position)
      : autograd::Node(autograd::edge_list(node->next_edges())),
        inner(std::move(node)),
        hook(rule, position) {}

  autograd::variable_list apply(autograd::variable_list&& incoming) override {
    return hook((*inner)(autograd::variable_list(incoming)), incoming);
  }
  std::string name() const override { return inner->name(); }

  NodePtr inner;
  RuleHook<Rule> hook;
};

/// During its lifetime the rectifiers of one recorded graph pass back the result of the rule; afterwards they
/// are as before, so that one graph can be walked plain, guided and plain again.
///
/// It hooks the nodes of this graph alone and does not affect the model, other calls or other threads. Throws
/// what Rectifiers throws, without having changed anything.
template <class Rule>
class RuleOnGraph {
 public:
  RuleOnGraph(const RecordedPass& pass, const Rule& rule) : rule_(rule), root_(pass.score.grad_fn()) {
    const Rectifiers rectifiers(pass);
    for (const auto& [node, position] : rectifiers.nodes) {
      hooks_.emplace_back(node, node->add_post_hook(std::make_unique<RuleHook<Rule>>(rule_, position)));
    }
    for (const auto& [slices, position] : rectifiers.in_views) {
      NodePtr ruled = make_node<RuledNode<Rule>>(slices->fn, rule_, position);
      replaced_.emplace_back(slices, std::exchange(slices->fn, std::move(ruled)));
    }
  }
  RuleOnGraph(const RuleOnGraph&) = delete;
  RuleOnGraph& operator=(const RuleOnGraph&) = delete;

  ~RuleOnGraph() {
    for (const auto& [node, key] : hooks_) node->del_post_hook(key);
    for (auto& [slices, inner] : replaced_) {
      if (slices->fn) slices->fn = std::move(inner);  // a graph that was freed has none
    }
  }

 private:
  Rule rule_;
  NodePtr root_;  // keeps all nodes alive
  std::vector<std::pair<autograd::Node*, std::uintptr_t>> hooks_;
  std::vector<std::pair<autograd::CopySlices*, NodePtr>> replaced_;
};

}  // namespace detail

}  // namespace salience
