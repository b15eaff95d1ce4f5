// One more output of a graph, a list that is filled while it runs.
#pragma once

#include <torch/script.h>

namespace salience::detail {

/// Gives a graph one more output, a list, and fills it.
class Collector {
 public:
  Collector(torch::jit::Graph& graph, const c10::TypePtr& element) : graph_(graph) {
    const torch::jit::WithInsertPoint first(graph.block()->param_node()->next());
    list_ = graph.insertNode(graph.createList(element, {}))->output();
    graph.registerOutput(list_);
  }

  /// Appends where the graph's insert point is.
  void append(torch::jit::Value* value) { graph_.insert(c10::aten::append, {list_, value}); }

 private:
  torch::jit::Graph& graph_;
  torch::jit::Value* list_;
};

}  // namespace salience::detail
