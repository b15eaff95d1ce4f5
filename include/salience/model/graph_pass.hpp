// GraphPass: a change to the graph of a model.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <torch/script.h>

namespace salience {

/// Which graph a pass is given.
enum class PassStage {
  /// The marked graph, once for a model: layers that are listed or tapped later are those that it leaves. The
  /// outputs of layers go through marks, which it keeps (graph/marks.hpp; detail::layer_nodes finds a layer).
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
/// in the blocks of branches and loops (detail::nodes_of lists them all); what it adds writes into nothing
/// that was there before. One pass may be run on several graphs, and by several threads at once.
struct GraphPass {
  std::string name;  ///< for messages
  /// Changes `graph`. `object` has the values of the attributes that the graph reads, which must not be
  /// changed. What it throws: an Error of this library reaches the user as it is, and anything else as a
  /// ModelError with the pass's name, in which it is nested.
  std::function<void(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object)> run;
  PassStage stage = PassStage::before_folding;  ///< which graph it is given
};

}  // namespace salience
