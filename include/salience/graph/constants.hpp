// What is constant in every run: attributes that are never assigned to, and constants that are written to.
#pragma once

#include <set>
#include <string>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// Turns what is read from the module and never assigned to into constants, where `wanted` says so.
template <class Wanted>
void make_constant(torch::jit::Graph& graph, const torch::jit::Module& module, const Wanted& wanted) {
  const std::set<std::string> names = assigned(graph);
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (node->kind() != c10::prim::GetAttr || names.contains(node->s(c10::attr::name))) continue;
    const auto value = attribute_of(node->output(), graph, module);
    if (!value || value->isObject() || !wanted(*value)) continue;
    const torch::jit::WithInsertPoint before(node);
    if (const auto constant = torch::jit::tryInsertConstant(graph, *value)) {
      node->output()->replaceAllUsesWith(*constant);
    }
  }
}

/// A constant that is written to is written anew in each run.
inline void copy_written_constants(torch::jit::Graph& graph, const torch::jit::Module& module) {
  std::vector<torch::jit::Node*> constants = nodes_of(graph);
  std::erase_if(constants, [](const torch::jit::Node* node) {
    return node->kind() != c10::prim::Constant ||
           node->output()->type()->kind() != c10::TypeKind::TensorType ||
           !torch::jit::toIValue(node->output());
  });
  if (constants.empty()) return;
  const Aliases aliases(graph, module);
  std::erase_if(constants,
                [&](const torch::jit::Node* node) { return aliases.writers(node->output()).empty(); });
  for (torch::jit::Node* constant : constants) {
    constant->moveAfter(graph.block()->param_node());
    const torch::jit::WithInsertPoint after(constant->next());
    torch::jit::Value* copy = graph.insert(c10::aten::clone, {constant->output()});
    constant->output()->replaceAllUsesAfterNodeWith(copy->node(), copy);
  }
}

}  // namespace salience::detail
