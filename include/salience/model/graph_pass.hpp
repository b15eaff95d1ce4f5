// GraphPass: a change to the graph of a model.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/script.h>

#include <salience/graph/layers.hpp>
#include <salience/graph/nodes.hpp>

namespace salience {

/// Which graph a pass is given.
enum class PassStage {
  /// The marked graph, once for a model: layers that are listed or tapped later are those that it leaves. The
  /// outputs of layers are marked by nodes of their own, which it keeps; layer_nodes finds a layer.
  before_taps,
  /// Each graph that is going to run, as the model's authors wrote it: what layers give is appended to lists,
  /// which are outputs too, and weights are attributes of the first input.
  before_folding,
  /// The same after Prepare::fast has worked on it: weights are constants and BatchNorm is in convolutions,
  /// as far as that could be done. With Prepare::none the same as before_folding.
  after_folding,
};

/// A change to the graph of a model, for GraphModel::rewritten.
///
/// A graph has no calls, its first input is the object that holds the parameters, the others are the model's
/// inputs, and its first output is the model's. A pass may replace, add and remove operators anywhere, also
/// in the blocks of branches and loops (nodes_of lists them all); what it adds writes into nothing
/// that was there before. One pass may be run on several graphs, and by several threads at once.
struct GraphPass {
  std::string name;  ///< for messages
  /// Changes `graph`. `object` has the values of the attributes that the graph reads, which must not be
  /// changed. What it throws: an Error of this library reaches the user as it is, and anything else as a
  /// ModelError with the pass's name, in which it is nested. A pass without is an ArgumentError.
  std::function<void(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object)> run;
  PassStage stage = PassStage::before_folding;  ///< which graph it is given
};

/// All nodes of a graph, also those inside of branches and loops, in the order of the program. The list stays
/// as it is while the graph is changed, so a pass may walk it and add and destroy nodes.
///
///     for (torch::jit::Node* node : nodes_of(*graph)) {
///       if (node->kind() == c10::aten::relu) ...
///     }
inline std::vector<torch::jit::Node*> nodes_of(torch::jit::Graph& graph) { return detail::nodes_of(graph); }

/// Where a graph has the output of a layer: `path`, its name in Python, `type`, and `output`, the
/// `torch::jit::Value*` that all later nodes read.
using LayerNode = detail::LayerNode;

/// Every use of every layer of the marked graph (PassStage::before_taps), in the order of the program: a
/// layer that is called twice is there twice. A graph of another stage has no marks left, nor has a frozen
/// file's: there it is the convolutions, named "convolution.0" and so on.
inline std::vector<LayerNode> layer_nodes(torch::jit::Graph& graph) { return detail::layer_nodes(graph); }

}  // namespace salience
