// Cuts chains of operators that are too long for LibTorch's interpreter.
#pragma once

#include <torch/script.h>

#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// LibTorch makes code of a chain, each node of which gives what only the next one reads, by recursion: tens
/// of thousands of nodes, which a file may have, are deeper than the stack. Something that does nothing, now
/// and then between two nodes, makes two chains of one.
inline void cut_chains(torch::jit::Graph& graph) {
  constexpr int longest = 1000;
  int length = 0;
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (node->kind() == c10::prim::Constant || ++length < longest) continue;
    length = 0;
    torch::jit::Node* nothing = graph.create(c10::Symbol::fromQualString("aten::is_grad_enabled"), 1);
    nothing->output()->setType(c10::BoolType::get());
    nothing->insertBefore(node);
  }
}

}  // namespace salience::detail
