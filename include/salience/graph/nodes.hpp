// What every pass asks of a graph: its nodes, their kinds, what is known of their values, and what can run
// before what.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

namespace salience::detail {

inline void collect(torch::jit::Block* block, std::vector<torch::jit::Node*>& nodes) {
  for (torch::jit::Node* node : block->nodes()) {
    nodes.push_back(node);
    for (torch::jit::Block* inner : node->blocks()) collect(inner, nodes);
  }
}

/// All nodes of the graph, also those inside of branches and loops, in the order of the program.
inline std::vector<torch::jit::Node*> nodes_of(torch::jit::Graph& graph) {
  std::vector<torch::jit::Node*> nodes;
  collect(graph.block(), nodes);
  return nodes;
}

/// A node and all that is in its blocks, with the nodes by which the blocks return: what these read is what
/// the node reads.
inline std::vector<torch::jit::Node*> with_blocks(torch::jit::Node* node) {
  std::vector<torch::jit::Node*> all{node};
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (torch::jit::Block* block : all[i]->blocks()) {
      all.insert(all.end(), block->nodes().begin(), block->nodes().end());
      all.push_back(block->return_node());
    }
  }
  return all;
}

/// Carries a property of values through a branch or a loop, from what comes in, and what its blocks leave, to
/// what goes on: whether the node is one. `has(value)` says who has it, `add(value)` gives it; of a loop to
/// be repeated until nothing changes.
template <class Has, class Add>
bool carried_through_blocks(const torch::jit::Node* node, const Has& has, const Add& add) {
  const auto outputs = node->outputs();
  if (node->kind() == c10::prim::If) {
    for (const torch::jit::Block* branch : node->blocks()) {
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        if (has(branch->outputs()[i])) add(outputs[i]);
      }
    }
    return true;
  }
  if (node->kind() != c10::prim::Loop) return false;
  const torch::jit::Block* body = node->blocks().at(0);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!has(node->inputs()[i + 2]) && !has(body->outputs()[i + 1])) continue;
    add(body->inputs()[i + 1]);
    add(outputs[i]);
  }
  return true;
}

/// Whether a value of that type may be a tensor, or hold one.
inline bool holds_tensors(const c10::TypePtr& type) {
  const auto parts = type->containedTypes();
  return type->kind() == c10::TypeKind::TensorType || type->kind() == c10::TypeKind::AnyType ||
         std::any_of(parts.begin(), parts.end(), holds_tensors);
}

inline std::string_view kind_of(const torch::jit::Node* node) { return node->kind().toQualString(); }

template <std::size_t N>
bool is_one_of(const torch::jit::Node* node, const std::array<std::string_view, N>& kinds) {
  return std::find(kinds.begin(), kinds.end(), kind_of(node)) != kinds.end();
}

/// Nodes that give their (first) input as it is.
inline bool is_identity(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 3> kinds{"aten::alias", "prim::unchecked_cast",
                                                  "aten::_unwrap_optional"};
  return is_one_of(node, kinds);
}

inline const torch::jit::Value* behind_identities(const torch::jit::Value* value) {
  while (is_identity(value->node())) value = value->node()->input(0);
  return value;
}

/// Whether a value is known to be that flag.
inline bool is_known(const torch::jit::Value* value, bool flag) {
  const auto known = torch::jit::toIValue(value);
  return known && known->isBool() && known->toBool() == flag;
}

/// Whether a list of integers is known to hold nothing but ones.
inline bool all_ones(torch::jit::Value* list) {
  const auto is_one = [](const c10::IValue& value) { return value.isInt() && value.toInt() == 1; };
  if (const auto known = torch::jit::toIValue(list)) {
    const auto elements = known->toListRef();
    return std::all_of(elements.begin(), elements.end(), is_one);
  }
  const auto parts = list->node()->inputs();
  return list->node()->kind() == c10::prim::ListConstruct &&
         std::all_of(parts.begin(), parts.end(), [&is_one](torch::jit::Value* part) {
           const auto known = torch::jit::toIValue(part);
           return known && is_one(*known);
         });
}

/// The object or value that a Value of the graph stands for, if it is read from the module by GetAttr alone.
inline std::optional<c10::IValue> attribute_of(const torch::jit::Value* value, const torch::jit::Graph& graph,
                                               const torch::jit::Module& module) {
  if (value == graph.inputs().at(0)) return module._ivalue();
  const torch::jit::Node* node = value->node();
  if (node->kind() != c10::prim::GetAttr) return std::nullopt;
  const auto owner = attribute_of(node->input(), graph, module);
  if (!owner || !owner->isObject()) return std::nullopt;
  return owner->toObject()->getAttr(node->s(c10::attr::name));
}

/// Whether a loop has both in it: then each of them can run before and after the other.
inline bool in_common_loop(const torch::jit::Node* first, const torch::jit::Node* second) {
  const auto loops_around = [](const torch::jit::Node* node) {
    std::set<const torch::jit::Node*> loops;
    for (node = node->owningBlock()->owningNode(); node; node = node->owningBlock()->owningNode()) {
      if (node->kind() == c10::prim::Loop) loops.insert(node);
    }
    return loops;
  };
  const auto others = loops_around(second);
  const auto loops = loops_around(first);
  return std::any_of(loops.begin(), loops.end(), [&](const auto* loop) { return others.contains(loop); });
}

/// Whether `later` can run once `node` has run.
inline bool may_follow(const torch::jit::Node* later, const torch::jit::Node* node) {
  return later != node && (in_common_loop(later, node) || node->isBefore(later));
}

/// Whether this node runs at most once each time that its input is made: no loop stands between them.
inline bool runs_once_for(const torch::jit::Node* node, const torch::jit::Value* input) {
  const torch::jit::Block* made_in = input->node()->owningBlock();
  for (const torch::jit::Block* block = node->owningBlock(); block != made_in;
       block = block->owningNode()->owningBlock()) {
    if (block->owningNode()->kind() != c10::prim::If) return false;
  }
  return true;
}

}  // namespace salience::detail
