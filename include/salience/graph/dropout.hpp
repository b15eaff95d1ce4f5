// Dropouts, and that one which drops nothing is its input.
#pragma once

#include <array>
#include <string_view>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/nodes.hpp>

namespace salience::detail {

constexpr std::array<std::string_view, 8> dropouts{"aten::dropout",
                                                   "aten::dropout_",
                                                   "aten::feature_dropout",
                                                   "aten::feature_dropout_",
                                                   "aten::alpha_dropout",
                                                   "aten::alpha_dropout_",
                                                   "aten::feature_alpha_dropout",
                                                   "aten::feature_alpha_dropout_"};

/// Whether a dropout is known to drop nothing.
inline bool drops_nothing(const torch::jit::Node* dropout) {
  const auto share = torch::jit::toIValue(dropout->input(1));
  return is_known(dropout->input(2), false) || (share && share->isDouble() && share->toDouble() == 0.0);
}

/// Outside of training a dropout gives its input, the very same tensor.
inline void remove_dropout(torch::jit::Graph& graph) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (!is_one_of(node, dropouts) || !drops_nothing(node)) continue;
    node->output()->replaceAllUsesWith(node->input(0));
    node->destroy();
  }
}

}  // namespace salience::detail
