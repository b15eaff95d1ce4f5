// Rectifiers: where in a recorded autograd graph the model's ReLUs are.
//
// This header needs LibTorch's autograd nodes, with which one file takes 6 to 8 s to compile instead of 2.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/tensor.h>
#include <torch/csrc/autograd/generated/Functions.h>
#include <torch/csrc/autograd/variable.h>

#include <salience/error.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

namespace autograd = torch::autograd;

/// std::shared_ptr in LibTorch 1.13, c10::intrusive_ptr in 2.13.
using NodePtr = std::remove_cvref_t<decltype(std::declval<const at::Tensor&>().grad_fn())>;

inline bool is_zero(const at::Scalar& bound) { return bound.toDouble() == 0.0; }
template <class Optional>
requires requires(const Optional& bound) { bound.has_value(); }  // std's or, in LibTorch 1.13, c10's
bool is_zero(const Optional& bound) { return bound.has_value() && is_zero(*bound); }
inline bool is_zero(const autograd::SavedVariable& saved) {
  const at::Tensor bound = saved.unpack();
  return bound.defined() && !bound.any().item<bool>();
}

/// Whether this node of one of the kinds that may be max(x, 0), or min(max(x, 0), c), is that: the lower
/// bound, which the kinds name and type differently, is 0.
template <class N>
bool bounds_at_zero(const N& node) {
  if constexpr (requires { node.threshold; }) {
    return is_zero(node.threshold);
  } else if constexpr (requires { node.min_val; }) {
    return is_zero(node.min_val);
  } else if constexpr (requires { node.min; }) {
    return is_zero(node.min);
  } else if constexpr (requires { node.min_; }) {
    return is_zero(node.min_);
  } else {
    return true;
  }
}

template <class... Kinds>
bool bounds_at_zero_as(const autograd::Node& node) {
  const auto as = [&node]<class N>(const N*) {
    const auto* cast = dynamic_cast<const N*>(&node);
    return cast && bounds_at_zero(*cast);
  };
  return (as(static_cast<const Kinds*>(nullptr)) || ...);
}

/// Which of the node's gradients is that of a rectifier, if it is one.
inline std::optional<std::size_t> rectified(const autograd::Node& node) {
  using namespace autograd::generated;
  if (const auto* maximum = dynamic_cast<const MaximumBackward0*>(&node)) {  // of x and zeros, either way
    const bool first = node.next_edge(0).is_valid(), second = node.next_edge(1).is_valid();
    if (first && !second && is_zero(maximum->other_)) return 0;
    if (second && !first && is_zero(maximum->self_)) return 1;
    return {};
  }
  const bool is =
      bounds_at_zero_as<ReluBackward0, ThresholdBackward0, ThresholdBackward1, HardtanhBackward0,
                        ClampBackward0, ClampBackward1, ClampMinBackward0, ClampMinBackward1>(node);
  return is ? std::optional<std::size_t>(0) : std::nullopt;
}

/// Whether a node of that name is the gradient of an activation function: "GeluBackward0".
inline bool is_activation(std::string_view name) {
  static constexpr std::array<std::string_view, 23> kinds = {
      "Celu",       "Clamp",      "ClampMax",    "ClampMin",  "Elu",         "Gelu",
      "Glu",        "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",    "LeakyRelu",
      "LogSigmoid", "Maximum",    "Mish",        "Prelu",     "PreluKernel", "RreluWithNoise",
      "Sigmoid",    "Silu",       "Softplus",    "Tanh",      "Threshold"};
  const std::string_view kind = name.substr(0, name.find("Backward"));
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

/// Calls `visit(node)` for each node on a way from the score to the input, once. Nodes beside it may belong
/// to others: a tensor that the model holds may have a graph of its own, which other threads use too.
template <class Visit>
void visit_between(const RecordedPass& pass, const Visit& visit) {
  const NodePtr input = autograd::impl::try_get_grad_accumulator(pass.leaf);
  const NodePtr root = pass.score.grad_fn();
  if (!input || !root) return;
  std::unordered_map<autograd::Node*, bool> leads = {{input.get(), true}};  // to the input
  struct Step {
    autograd::Node* node;
    std::size_t edge = 0;
    bool leads = false;
  };
  std::vector<Step> way = {{root.get()}};  // instead of a recursion, which a deep graph would not survive
  while (!way.empty()) {
    Step& step = way.back();
    if (step.edge == step.node->next_edges().size()) {
      leads[step.node] = step.leads;
      if (step.leads) visit(step.node);
      way.pop_back();
    } else if (autograd::Node* next = step.node->next_edge(step.edge).function.get(); !next) {
      ++step.edge;
    } else if (const auto known = leads.find(next); known != leads.end()) {
      step.leads = step.leads || known->second;
      ++step.edge;
    } else {
      way.push_back({next});  // and then look at the edge again
    }
  }
}

/// The rectifiers between the input and the score of a recorded pass, each with which of its node's gradients
/// is meant.
struct Rectifiers {
  std::vector<std::pair<autograd::Node*, std::size_t>> nodes;
  std::vector<std::pair<autograd::CopySlices*, std::size_t>> in_views;  ///< worked in place on a view

  /// @throws ModelError if there is none, or if TorchScript's profiling executor hides part of the graph
  explicit Rectifiers(const RecordedPass& pass) {
    std::set<std::string> activations;
    visit_between(pass, [&](autograd::Node* node) {
      auto* slices = dynamic_cast<autograd::CopySlices*>(node);
      const autograd::Node* inner = slices ? slices->fn.get() : node;
      if (!inner) return;  // of a graph that was freed
      const std::string name = inner->name();
      if (name.find("DifferentiableGraph") != std::string::npos) throw hidden();
      if (const auto position = rectified(*inner)) {
        slices ? in_views.emplace_back(slices, *position) : nodes.emplace_back(node, *position);
      } else if (is_activation(name)) {
        activations.insert(name);
      }
    });
    if (nodes.empty() && in_views.empty()) throw none(activations);
  }

 private:
  static ModelError none(const std::set<std::string>& activations) {
    std::string met;
    for (const std::string& name : activations) met += concat(met.empty() ? "" : ", ", name);
    return ModelError(
        concat("a backward rule needs rectifiers (ReLU, ReLU6, threshold or clamp at 0), but there is none "
               "between the input and the score",
               met.empty() ? "" : concat("; the activations there are ", met),
               ": use a method without a rule, such as SmoothGrad"));
  }
  static ModelError hidden() {
    return ModelError(
        "TorchScript's profiling executor fused part of the model (DifferentiableGraph), where its "
        "rectifiers "
        "cannot be seen; wrap the module: salience::ScriptModel{module}");
  }
};

}  // namespace salience::detail
