// The private graph of a module's forward, and what may be folded in it. For model/script_model.hpp alone.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/frozen_conv_folding.h>
#include <torch/script.h>

#include <salience/detail/script_file.hpp>
#include <salience/detail/script_inline.hpp>
#include <salience/detail/script_view.hpp>
#include <salience/error.hpp>

namespace salience::detail {

/// Fails unless forward can be called with one input.
inline void require_one_input(const torch::jit::Method& forward) {
  std::size_t inputs = 0, required = 0;
  std::string names;
  for (const c10::Argument& argument : forward.function().getSchema().arguments()) {
    if (inputs++ == 0) continue;  // self
    if (argument.default_value()) continue;
    ++required;
    names += concat(names.empty() ? "" : ", ", argument.name());
  }
  if (inputs < 2) throw ModelError("the model's forward takes no input, an attribution needs one tensor");
  if (required > 1) {
    throw ModelError(
        concat("the model's forward takes ", required, " inputs (", names,
               "), an attribution needs exactly one tensor; wrap it in a module that fixes the others"));
  }
}

/// A copy of forward's graph with all calls inlined, its layers marked and its tensor constants placed.
inline std::shared_ptr<torch::jit::Graph> forward_graph(const torch::jit::Module& module,
                                                        const Placement& place) {
  const auto method = module.find_method("forward");
  if (!method) throw ModelError(concat("the module has no method 'forward'; ", how_to_export));
  require_one_input(*method);
  auto graph = method->graph()->copy();
  Inliner(*graph, module).run();
  for (torch::jit::Node* node : nodes_of(*graph)) {
    if (node->kind() != c10::prim::Constant || !node->hasAttribute(c10::attr::value)) continue;
    if (node->kindOf(c10::attr::value) != torch::jit::AttributeKind::t) continue;
    const at::Tensor& constant = node->t(c10::attr::value);
    // A number that became a tensor of no dimension takes no part in type promotion and keeps its precision.
    if (constant.dim() > 0) node->t_(c10::attr::value, place(constant));
  }
  return graph;
}

/// Turns what is read from the module into constants, where `wanted` says so.
template <class Wanted>
void make_constant(torch::jit::Graph& graph, const torch::jit::Module& module, const Wanted& wanted) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (node->kind() != c10::prim::GetAttr) continue;
    const auto value = attribute_of(node->output(), graph, module);
    if (!value || value->isObject() || !wanted(*node, *value)) continue;
    const torch::jit::WithInsertPoint before(node);
    if (const auto constant = torch::jit::tryInsertConstant(graph, *value)) {
      node->output()->replaceAllUsesWith(*constant);
    }
  }
}

inline void simplify(std::shared_ptr<torch::jit::Graph>& graph) {
  torch::jit::EliminateDeadCode(graph);
  torch::jit::ConstantPropagation(graph);
  torch::jit::EliminateDeadCode(graph);
}

/// Convolution weights channels-last, and views as reshapes, since a channels-last tensor cannot be viewed
/// flat. False, and nothing done, if something is written through such a view.
inline bool make_channels_last(std::shared_ptr<torch::jit::Graph>& graph) {
  const torch::jit::AliasDb aliases(graph);
  std::vector<torch::jit::Node*> views, convolutions;
  for (torch::jit::Node* node : nodes_of(*graph)) {
    const std::string_view kind = node->kind().toQualString();
    const bool by_size = kind == "aten::view" && node->inputs().size() == 2 &&
                         node->input(1)->type()->kind() == c10::TypeKind::ListType;
    if (by_size && aliases.hasWriters(node->output())) return false;
    if (by_size) views.push_back(node);
    if (kind == "aten::conv2d" || kind == "aten::_convolution") convolutions.push_back(node);
  }
  for (torch::jit::Node* view : views) {
    const torch::jit::WithInsertPoint before(view);
    torch::jit::Value* reshaped = graph->insert(c10::aten::reshape, {view->input(0), view->input(1)});
    view->output()->replaceAllUsesWith(reshaped);
  }
  for (torch::jit::Node* node : convolutions) {
    const auto weight = torch::jit::toIValue(node->input(1));
    if (!weight || !weight->isTensor() || weight->toTensor().dim() != 4) continue;
    const torch::jit::WithInsertPoint before(node);
    node->replaceInput(1,
                       graph->insertConstant(weight->toTensor().contiguous(at::MemoryFormat::ChannelsLast)));
  }
  torch::jit::EliminateDeadCode(graph);
  return true;
}

/// Rewrites a private graph for speed: what is read from the module and never written becomes constant, what
/// follows from constants is computed, BatchNorm in evaluation mode is folded into the convolution before it.
/// Gives whether the graph wants channels-last pictures. A graph that writes to what it reads from the module
/// is left alone after the first step.
inline bool fold(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& module) {
  const auto assigned = [&graph] {
    std::set<std::string> names;
    for (const torch::jit::Node* node : nodes_of(*graph)) {
      if (node->kind() == c10::prim::SetAttr) names.insert(node->s(c10::attr::name));
    }
    return names;
  };
  // Flags and numbers first: without the branches of training mode, most modules write to nothing.
  make_constant(*graph, module, [names = assigned()](const torch::jit::Node& node, const c10::IValue& value) {
    return (value.isBool() || value.isInt() || value.isDouble()) && !names.contains(node.s(c10::attr::name));
  });
  simplify(graph);
  if (!assigned().empty()) return false;
  {
    const torch::jit::AliasDb aliases(graph);
    for (const torch::jit::Node* node : nodes_of(*graph)) {
      if (node->kind() == c10::prim::GetAttr && aliases.hasWriters(node->output())) return false;
    }
  }
  make_constant(*graph, module, [](const torch::jit::Node&, const c10::IValue&) { return true; });
  simplify(graph);

  bool evaluation =
      true;  // LibTorch's pass does not look whether a BatchNorm uses the batch's own statistics
  for (const torch::jit::Node* node : nodes_of(*graph)) {
    if (std::string_view(node->kind().toQualString()) != "aten::batch_norm") continue;
    const auto training = torch::jit::toIValue(node->input(5));
    evaluation = evaluation && training && !training->toBool();
  }
  if (evaluation) torch::jit::FoldFrozenConvBatchnorm(graph);
  torch::jit::EliminateDeadCode(graph);
  return make_channels_last(graph);
}

}  // namespace salience::detail
