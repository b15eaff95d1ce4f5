// What a front end makes of a model: the graph that all passes start from.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <torch/script.h>

#include <salience/graph/held_inputs.hpp>
#include <salience/graph/input_sizes.hpp>
#include <salience/graph/layer_channels.hpp>
#include <salience/graph/writes.hpp>
#include <salience/tensor/parts.hpp>

namespace salience::detail {

/// A model as a graph, wherever it came from. A value: its copies share the graph, which nobody changes, and
/// the object.
///
/// The graph is never run, copies of it are. It has no calls left and is simplified (graph/simplify.hpp). Its
/// first input is the object, whose attributes it reads by `prim::GetAttr`, the second what is explained, and
/// the others are held fixed. What its layers take and give is marked (graph/marks.hpp).
struct MarkedGraph {
  std::shared_ptr<torch::jit::Graph> graph;
  torch::jit::Module object;      ///< parameters, buffers and constants; nobody else writes to them
  InputShape input;               ///< what the file says of the input
  HeldInputs held;                ///< the further inputs, if nothing else is given
  std::optional<Parts> parts;     ///< of an input that holds several tensors
  std::set<std::string> written;  ///< attributes that the graph writes to
  LayerChannels channels;         ///< where the channels of its layers are

  MarkedGraph(std::shared_ptr<torch::jit::Graph> marked, torch::jit::Module owner, InputShape shape = {},
              HeldInputs others = {}, std::optional<Parts> packed = {})
      : graph(std::move(marked)),
        object(std::move(owner)),
        input(std::move(shape)),
        held(std::move(others)),
        parts(std::move(packed)),
        written(written_attributes(*graph, object)),
        channels(*graph, object) {}
};

}  // namespace salience::detail
