// Activations in place or not, whichever costs less.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <torch/script.h>

#include <salience/graph/convolutions.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Whether this node's input is a new tensor that its operator does not keep for its backward pass, and that
/// nothing but this node reads, once.
inline bool may_overwrite_its_input(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 4> fresh{"aten::batch_norm", "aten::linear", "aten::addmm",
                                                  "aten::add"};
  const torch::jit::Value* input = node->input(0);
  return input->uses().size() == 1 && runs_once_for(node, input) &&
         (is_convolution(input->node()) || is_one_of(input->node(), fresh));
}

/// A ReLU goes on with its result: in place, it saves a tensor. A hardtanh (ReLU6) goes back over its input:
/// in place, LibTorch copies that first. Neither changes a bit.
inline void choose_in_place(torch::jit::Graph& graph) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> cheaper{
      {{"aten::relu", "aten::relu_"},
       {"aten::hardtanh_", "aten::hardtanh"},
       {"aten::relu6_", "aten::relu6"}}};
  for (torch::jit::Node* node : nodes_of(graph)) {
    for (const auto& [kind, other] : cheaper) {
      if (kind_of(node) != kind || !may_overwrite_its_input(node)) continue;
      const torch::jit::WithInsertPoint before(node);
      torch::jit::Node* replacement =
          graph.insertNode(graph.create(c10::Symbol::fromQualString(std::string(other)), node->inputs(), 1));
      replacement->output()->setType(node->output()->type());
      node->output()->replaceAllUsesWith(replacement->output());
      node->destroy();
      break;
    }
  }
}

}  // namespace salience::detail
