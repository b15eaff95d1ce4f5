// Marks say which value of a graph is a layer's output. A front end puts them in.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/script.h>

#include <salience/graph/nodes.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// What says which layer gave a value: a `prim::Print` of it, which gives nothing and which no pass removes.
/// It stands where the layer's call stood and never runs: marks are taken out of every graph before. A tensor
/// goes through an `aten::alias` first, and all that comes after the layer reads that.
struct Mark {
  static c10::Symbol path() { return c10::Symbol::attr("salience_path"); }
  static c10::Symbol type() { return c10::Symbol::attr("salience_type"); }

  static bool is_alias(const torch::jit::Node* node) {
    return node->kind() == c10::aten::alias && node->hasAttribute(path());
  }
};

/// Marks a value, behind the node `end`, as the output of a layer: a tensor goes through an `aten::alias`
/// from there on. Gives the mark, and what it marks as its input.
inline torch::jit::Node* mark_value(torch::jit::Value* value, torch::jit::Node* end, const std::string& path,
                                    const std::string& type) {
  torch::jit::Graph& graph = *end->owningGraph();
  const auto create = [&](c10::Symbol kind, std::size_t outputs) {
    torch::jit::Node* created = graph.create(kind, outputs);
    created->s_(Mark::path(), path)->s_(Mark::type(), type);
    return created;
  };
  if (value->type()->kind() == c10::TypeKind::TensorType) {
    end = create(c10::aten::alias, 1)->insertAfter(end);
    end->output()->setType(value->type());
    value->replaceAllUsesAfterNodeWith(end, end->output());
    end->addInput(value);
    value = end->output();
  }
  torch::jit::Node* mark = create(c10::prim::Print, 0)->insertAfter(end);
  mark->addInput(value);
  return mark;
}

/// Marks what `node` gives as the output of a layer.
inline void mark_output(torch::jit::Node* node, const std::string& path, const std::string& type) {
  mark_value(node->output(), node, path, type);
}

inline std::vector<torch::jit::Node*> marks_of(torch::jit::Graph& graph) {
  std::vector<torch::jit::Node*> marks = nodes_of(graph);
  std::erase_if(marks, [](const torch::jit::Node* node) {
    return node->kind() != c10::prim::Print || !node->hasAttribute(Mark::path());
  });
  return marks;
}

/// Takes the marks out, and what was only alive through them.
inline void remove_marks(std::shared_ptr<torch::jit::Graph>& graph) {
  bool kept_alive = false;
  for (torch::jit::Node* mark : marks_of(*graph)) {
    const torch::jit::Value* value = mark->input(0);
    mark->destroy();
    kept_alive = kept_alive || value->uses().empty();
  }
  for (torch::jit::Node* node : nodes_of(*graph)) {
    if (!Mark::is_alias(node)) continue;
    node->output()->replaceAllUsesWith(node->input());
    node->destroy();
  }
  if (!kept_alive) return;
  const WritesHeld held(graph);
  torch::jit::EliminateDeadCode(graph);
}

}  // namespace salience::detail
