// Marks say which value of a graph is a layer's output. A front end puts them in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/script.h>

#include <salience/graph/nodes.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// What says which layer gave or took a value: a `prim::Print` of it, which gives nothing and which no pass
/// removes. It stands where the layer's call ended or began and never runs: marks are taken out of every
/// graph before. A tensor goes through an `aten::alias` first. Of an output all that comes after the layer
/// reads that, of an input the layer alone does.
struct Mark {
  static c10::Symbol path() { return c10::Symbol::attr("salience_path"); }
  static c10::Symbol type() { return c10::Symbol::attr("salience_type"); }
  /// Of an input its position among the layer's; the mark of an output has none.
  static c10::Symbol input() { return c10::Symbol::attr("salience_input"); }

  static bool is_alias(const torch::jit::Node* node) {
    return node->kind() == c10::aten::alias && node->hasAttribute(path());
  }
};

/// The layer that a mark names.
struct MarkedLayer {
  std::string path, type;
};

/// Gives tensors new names, by nodes behind `end`, the last of which `end` becomes: a tensor goes through an
/// alias, and so does each tensor of a tuple. `made` is told of every node. Nothing reads the new names yet.
template <class Made>
torch::jit::Value* renamed(torch::jit::Value* value, torch::jit::Node*& end, const MarkedLayer& layer,
                           const Made& made) {
  torch::jit::Graph& graph = *end->owningGraph();
  const auto put = [&](torch::jit::Node* node) {
    end = node->insertAfter(end);
    made(node);
    return node;
  };
  if (value->type()->kind() == c10::TypeKind::TensorType) {
    torch::jit::Node* alias = put(graph.create(c10::aten::alias, {value}, 1));
    alias->s_(Mark::path(), layer.path)->s_(Mark::type(), layer.type);
    return alias->output()->setType(value->type());
  }
  const auto tuple = value->type()->cast<c10::TupleType>();
  if (!tuple) return value;
  torch::jit::Node* unpacked = put(graph.createTupleUnpack(value));
  std::vector<torch::jit::Value*> parts;
  for (torch::jit::Value* part : unpacked->outputs()) parts.push_back(renamed(part, end, layer, made));
  return put(graph.createTuple(parts, tuple->schema() ? tuple : nullptr))->output();
}

/// Puts a mark of `value` behind the node `end`.
template <class Made>
torch::jit::Node* put_mark(torch::jit::Value* value, torch::jit::Node* end, const MarkedLayer& layer,
                           const Made& made) {
  torch::jit::Node* mark = end->owningGraph()->create(c10::prim::Print, {value}, 0)->insertAfter(end);
  mark->s_(Mark::path(), layer.path)->s_(Mark::type(), layer.type);
  made(mark);
  return mark;
}

/// Marks a value, behind the node `end`, as the output of a layer. `made` is told of every node that is put
/// in.
template <class Made>
void mark_output(torch::jit::Value* value, torch::jit::Node* end, const MarkedLayer& layer,
                 const Made& made) {
  torch::jit::Value* named = renamed(value, end, layer, made);
  if (named != value) value->replaceAllUsesAfterNodeWith(end, named);
  put_mark(named, end, layer, made);
}

/// Marks a tensor, behind the node `end`, as the input of a layer, in that position. Gives what the layer has
/// to read.
template <class Made>
torch::jit::Value* mark_input(torch::jit::Value* tensor, torch::jit::Node* end, const MarkedLayer& layer,
                              std::int64_t position, const Made& made) {
  torch::jit::Value* named = renamed(tensor, end, layer, made);
  put_mark(named, end, layer, made)->i_(Mark::input(), position);
  return named;
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
