// What a model writes to itself while it runs. For model/script_model.hpp alone.
#pragma once

#include <set>
#include <string>
#include <utility>

#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/script_front_end.hpp>
#include <salience/graph/script_view.hpp>
#include <salience/graph/simplify.hpp>

namespace salience::detail {

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

/// The module that a run starts with. A model that changes itself (a counter, a moving average) gets, for
/// each run, copies of what it may change, so that every run begins alike and threads do not meet.
class State {
 public:
  State(torch::jit::Graph& graph, const torch::jit::Module& module)
      : written_(written_attributes(graph, module)) {}

  /// What `module` is for one run.
  torch::jit::Module begin(const torch::jit::Module& module) const {
    if (written_.empty()) return module;
    return ObjectCopy([this](const std::string& name) { return written_.contains(name); })(module);
  }

 private:
  std::set<std::string> written_;
};

}  // namespace salience::detail
