// Which nodes of a graph its outputs need, and the removal of the others.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/marks.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// The node around this one that stands in the graph itself, not in a block of a branch or loop.
inline torch::jit::Node* outermost(torch::jit::Node* node, const torch::jit::Graph& graph) {
  while (node->owningBlock() != graph.block()) node = node->owningBlock()->owningNode();
  return node;
}

/// Finds the nodes that the outputs of a graph need: those that give what they read, and those that write
/// into it beforehand. A node with blocks is needed as a whole. LibTorch's own pass keeps every write, or
/// loses some (see WritesHeld).
class NeededNodes {
 public:
  using Given = std::function<bool(const torch::jit::Value*)>;

  /// `given`: values that are there without their nodes.
  NeededNodes(torch::jit::Graph& graph, const Aliases& aliases, Given given = {})
      : graph_(graph), aliases_(aliases), given_(std::move(given)) {
    for (const torch::jit::Value* output : graph.outputs()) need(output);
    while (needs_writers() || needs_assignments()) {
    }
  }

  /// Whether a node of the graph itself is needed.
  bool operator()(const torch::jit::Node* node) const { return needed_.contains(node); }

  /// The values that were given and are read by what is needed, in the order in which they were met.
  const std::vector<torch::jit::Value*>& read() const noexcept { return read_; }

 private:
  void need(const torch::jit::Value* value) {
    if (given_ && given_(value)) {
      if (std::find(read_.begin(), read_.end(), value) == read_.end())
        read_.push_back(const_cast<torch::jit::Value*>(value));
      return;
    }
    if (value->node()->kind() != c10::prim::Param) need(value->node());
  }

  /// By a list of what is to do: a file may have chains of any length.
  void need(const torch::jit::Node* node) {
    std::vector<torch::jit::Node*> left{outermost(const_cast<torch::jit::Node*>(node), graph_)};
    while (!left.empty()) {
      torch::jit::Node* const next = left.back();
      left.pop_back();
      if (!needed_.insert(next).second) continue;
      for (const torch::jit::Node* reader : with_blocks(next)) {
        for (const torch::jit::Value* input : reader->inputs()) {
          reads_.emplace_back(reader, input);
          if (given_ && given_(input)) {
            need(input);
          } else if (input->node()->kind() != c10::prim::Param) {
            left.push_back(outermost(const_cast<torch::jit::Node*>(input->node()), graph_));
          }
        }
      }
    }
  }

  /// Those that write into what is read before it is read.
  bool needs_writers() {
    const std::size_t before = needed_.size();
    for (const torch::jit::Value* output : graph_.outputs()) {
      for (const torch::jit::Node* writer : aliases_.writers(output)) need(writer);
    }
    for (std::size_t i = 0; i < reads_.size(); ++i) {
      const auto [node, value] = reads_[i];
      for (const torch::jit::Node* writer : aliases_.writers(value)) {
        if (node->kind() == c10::prim::Return || may_follow(node, writer)) need(writer);
      }
    }
    return needed_.size() > before;
  }

  /// Those that assign to attributes that are read.
  bool needs_assignments() {
    std::set<std::string> names;
    std::vector<torch::jit::Node*> assignments;
    for (torch::jit::Node* node : nodes_of(graph_)) {
      const bool there = needed_.contains(outermost(node, graph_));
      if (there && node->kind() == c10::prim::GetAttr) names.insert(node->s(c10::attr::name));
      if (!there && node->kind() == c10::prim::SetAttr) assignments.push_back(node);
    }
    const std::size_t before = needed_.size();
    for (const torch::jit::Node* node : assignments) {
      if (names.contains(node->s(c10::attr::name))) need(node);
    }
    return needed_.size() > before;
  }

  torch::jit::Graph& graph_;
  const Aliases& aliases_;
  Given given_;
  std::set<const torch::jit::Node*> needed_;
  std::vector<torch::jit::Value*> read_;
  std::vector<std::pair<const torch::jit::Node*, const torch::jit::Value*>> reads_;
};

/// Removes the nodes of the graph that are not needed. A mark stays where `kept` says so of the value that it
/// marks, which must then be there.
template <class Kept>
void remove_the_rest(torch::jit::Graph& graph, const NeededNodes& needed, const Kept& kept) {
  std::vector<torch::jit::Node*> nodes(graph.nodes().begin(), graph.nodes().end());
  std::reverse(nodes.begin(), nodes.end());
  for (torch::jit::Node* node : nodes) {
    const bool mark = node->kind() == c10::prim::Print && node->hasAttribute(Mark::path());
    if (mark ? !kept(node->input(0)) : !needed(node)) node->destroy();
  }
}

}  // namespace salience::detail
