// What can be computed before the model runs: constants, and BatchNorm in convolutions.
#pragma once

#include <algorithm>
#include <memory>
#include <string_view>

#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/frozen_conv_folding.h>
#include <torch/script.h>

#include <salience/graph/constants.hpp>
#include <salience/graph/convolutions.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// Keeps LibTorch's pass from folding a BatchNorm that runs in a loop into a convolution that runs before it:
/// what the BatchNorm gives is new each time, the convolution's output is not.
inline void keep_apart_in_loops(torch::jit::Graph& graph) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (kind_of(node) != "aten::batch_norm") continue;
    if (!is_convolution(node->input(0)->node()) || runs_once_for(node, node->input(0))) continue;
    const torch::jit::WithInsertPoint before(node);
    node->replaceInput(0, graph.insert(c10::aten::alias, {node->input(0)}));
  }
}

/// Whether no BatchNorm uses the batch's own statistics. LibTorch's pass does not look.
inline bool has_fixed_statistics(torch::jit::Graph& graph) {
  const auto nodes = nodes_of(graph);
  return std::all_of(nodes.begin(), nodes.end(), [](const torch::jit::Node* node) {
    return kind_of(node) != "aten::batch_norm" || is_known(node->input(5), false);
  });
}

/// Asks a convolution's input, not its output, how many dimensions it has, which is the same: a scripted
/// BatchNorm asks, and LibTorch's pass wants it to be all that reads the convolution.
inline void ask_inputs_of_convolutions(torch::jit::Graph& graph) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (kind_of(node) != "aten::dim") continue;
    torch::jit::Node* maker = node->input(0)->node();
    if (is_convolution(maker)) node->replaceInput(0, maker->input(0));
  }
}

/// Turns what is read from the module into constants, computes what follows from constants, and folds
/// BatchNorm in evaluation mode into the convolution before it. For a graph that writes to nothing that it
/// reads from the module.
inline void fold(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object) {
  make_constant(*graph, object, [](const c10::IValue&) { return true; });
  const WritesHeld held(graph);
  torch::jit::EliminateDeadCode(graph);
  torch::jit::ConstantPropagation(graph);
  torch::jit::EliminateDeadCode(graph);
  keep_apart_in_loops(*graph);
  ask_inputs_of_convolutions(*graph);
  if (has_fixed_statistics(*graph)) torch::jit::FoldFrozenConvBatchnorm(graph);
  torch::jit::EliminateDeadCode(graph);
}

}  // namespace salience::detail
