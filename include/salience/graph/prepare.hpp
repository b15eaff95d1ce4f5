// What Prepare::fast does to a graph: its passes, in their order.
#pragma once

#include <memory>
#include <set>
#include <string>

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/script.h>

#include <salience/graph/channels_last.hpp>
#include <salience/graph/fold.hpp>
#include <salience/graph/kernels.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// Rewrites a private graph for speed. `written` are the names of the attributes that it writes to: a graph
/// that has any is left alone. Gives whether the graph wants channels-last pictures.
inline bool prepare(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object,
                    const std::set<std::string>& written) {
  if (!written.empty()) return false;
  fold(graph, object);
  if (!make_channels_last(graph, object)) return false;
  prefer_onednn(*graph);
  widen_depthwise(*graph);
  const WritesHeld held(graph);
  torch::jit::EliminateDeadCode(graph);
  return true;
}

}  // namespace salience::detail
