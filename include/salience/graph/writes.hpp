// What a graph writes to, and that LibTorch's passes leave that alone.
#pragma once

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// The names of the attributes that the graph assigns to.
inline std::set<std::string> assigned(torch::jit::Graph& graph) {
  std::set<std::string> names;
  for (const torch::jit::Node* node : nodes_of(graph)) {
    if (node->kind() == c10::prim::SetAttr) names.insert(node->s(c10::attr::name));
  }
  return names;
}

/// The names of the attributes that a graph assigns to, or writes into.
inline std::set<std::string> written_attributes(torch::jit::Graph& graph, const torch::jit::Module& module) {
  std::set<std::string> names = assigned(graph);
  const Aliases aliases(graph, module);
  for (const torch::jit::Node* node : nodes_of(graph)) {
    if (node->kind() != c10::prim::GetAttr) continue;
    if (!aliases.writers(node->output()).empty()) names.insert(node->s(c10::attr::name));
  }
  return names;
}

/// As long as it lives, LibTorch's passes take no write for dead. They ask who else may read what is written,
/// and believe the schemas (see Aliases); nor do they see that a list holds it. So everything that writes is
/// followed by a `prim::Print`, which no pass removes.
class WritesHeld {
 public:
  explicit WritesHeld(std::shared_ptr<torch::jit::Graph>& graph) : graph_(graph) {
    for (torch::jit::Node* node : nodes_of(*graph)) {
      if (!writes(node)) continue;
      torch::jit::Node* held = graph->create(c10::prim::Print, 0);
      held->i_(mark(), 1)->insertAfter(node)->addInput(node->outputs().empty() ? node->input(0)
                                                                               : node->output(0));
    }
  }
  WritesHeld(const WritesHeld&) = delete;
  WritesHeld& operator=(const WritesHeld&) = delete;
  ~WritesHeld() {
    for (torch::jit::Node* node : nodes_of(*graph_)) {
      if (node->hasAttribute(mark())) node->destroy();
    }
  }

 private:
  static c10::Symbol mark() { return c10::Symbol::attr("salience_held"); }

  static bool writes(const torch::jit::Node* node) {
    const c10::FunctionSchema* schema = node->maybeSchema();
    return schema &&
           std::any_of(schema->arguments().begin(), schema->arguments().end(), [](const auto& argument) {
             return argument.alias_info() && argument.alias_info()->isWrite();
           });
  }

  std::shared_ptr<torch::jit::Graph>& graph_;
};

}  // namespace salience::detail
