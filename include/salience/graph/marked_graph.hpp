// What a front end makes of a model: the graph that all passes start from.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>

#include <torch/script.h>

#include <salience/graph/input_sizes.hpp>
#include <salience/graph/layer_channels.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// A model as a graph, wherever it came from. A value: its copies share the graph, which nobody changes, and
/// the object.
///
/// The graph is never run, copies of it are. It has no calls left and is simplified (graph/simplify.hpp). Its
/// first input is the object, whose attributes it reads by `prim::GetAttr`, and the others are the model's
/// inputs. The outputs of its layers are marked (graph/marks.hpp).
struct MarkedGraph {
  std::shared_ptr<torch::jit::Graph> graph;
  torch::jit::Module object;      ///< parameters, buffers and constants; nobody else writes to them
  c10::FunctionSchema schema;     ///< how the graph is called: the object and the inputs, with their defaults
  InputShape input;               ///< what the file says of the input
  std::set<std::string> written;  ///< attributes that the graph writes to
  LayerChannels channels;         ///< where the channels of its layers are

  MarkedGraph(std::shared_ptr<torch::jit::Graph> marked, torch::jit::Module owner, c10::FunctionSchema call,
              InputShape shape = {})
      : graph(std::move(marked)),
        object(std::move(owner)),
        schema(std::move(call)),
        input(std::move(shape)),
        written(written_attributes(*graph, object)),
        channels(*graph, object) {}
};

}  // namespace salience::detail
