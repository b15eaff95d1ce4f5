// The layers of a graph: their list, which of them ran, and the shapes of what they gave.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/collector.hpp>
#include <salience/graph/convolutions.hpp>
#include <salience/graph/marks.hpp>
#include <salience/tensor/layer.hpp>

namespace salience::detail {

inline std::string convolution_name(std::size_t index) { return concat("convolution.", index); }

/// Where a layer's output stands in a graph.
struct LayerNode {
  std::string path;
  std::string type;
  torch::jit::Value* output;

  bool gives_tensor() const { return output->type()->kind() == c10::TypeKind::TensorType; }
};

/// Every use of every layer, in the order of the program; of a graph that has none left, as a frozen file's,
/// the convolutions by number.
inline std::vector<LayerNode> layer_nodes(torch::jit::Graph& graph) {
  std::vector<LayerNode> layers;
  for (torch::jit::Node* mark : marks_of(graph)) {
    if (mark->hasAttribute(Mark::input())) continue;
    layers.push_back({mark->s(Mark::path()), mark->s(Mark::type()), mark->input(0)});
  }
  if (!layers.empty()) return layers;
  for (torch::jit::Node* node : convolutions_of(graph)) {
    layers.push_back({convolution_name(layers.size()), "Convolution", node->output()});
  }
  return layers;
}

/// Whether `path` is inside of the layer `container`.
inline bool is_inside(std::string_view path, std::string_view container) {
  return path.size() > container.size() && path.starts_with(container) && path[container.size()] == '.';
}

/// Each layer once, in the order in which they begin: a container stands before what is in it, though it ends
/// after it. `layers` are in the order in which they end.
inline std::vector<Layer> in_order(std::span<const Layer> layers) {
  std::vector<Layer> result;
  for (const Layer& layer : layers) {
    const auto same = [&layer](const Layer& other) { return other.path == layer.path; };
    const auto before = std::find_if(result.begin(), result.end(), same);
    if (before != result.end()) {
      before->shape = layer.shape;  // its last use
      continue;
    }
    const auto inner = std::find_if(result.begin(), result.end(), [&layer](const Layer& other) {
      return is_inside(other.path, layer.path);
    });
    result.insert(inner, layer);
  }
  return result;
}

inline std::vector<Layer> listed(torch::jit::Graph& graph) {
  std::vector<Layer> layers;
  for (const LayerNode& layer : layer_nodes(graph)) layers.push_back({layer.path, layer.type});
  return in_order(layers);
}

inline ArgumentError unknown_layer(std::string_view name, torch::jit::Graph& graph) {
  std::vector<std::string> names;
  for (const Layer& layer : listed(graph)) names.push_back(layer.path);
  if (names.empty())
    return ArgumentError(concat("there is no layer '", shortened(name), "': the model has none"));
  const std::string what = ArgumentError::unknown_name("layer", name, names).what();
  if (!marks_of(graph).empty()) return ArgumentError(what);
  return ArgumentError(concat(what, "; the file was frozen, which left no names: its convolutions are '",
                              names.front(), "' to '", names.back(), "', and '' is the last"));
}

/// A graph that also gives which layers ran, as positions among `layer_nodes`, and the shapes of their
/// outputs.
inline std::shared_ptr<torch::jit::Graph> listing_graph(torch::jit::Graph& marked) {
  std::shared_ptr<torch::jit::Graph> graph = marked.copy();
  Collector positions(*graph, c10::IntType::get());
  Collector shapes(*graph, c10::ListType::ofInts());
  std::int64_t position = 0;
  for (const LayerNode& layer : layer_nodes(*graph)) {
    const torch::jit::WithInsertPoint after(layer.output->node()->next());
    positions.append(graph->insertConstant(position++));
    shapes.append(layer.gives_tensor()
                      ? graph->insert(c10::aten::size, {layer.output})
                      : graph->insertNode(graph->createList(c10::IntType::get(), {}))->output());
  }
  remove_marks(graph);
  return graph;
}

/// The layers of a stack that a listing graph left.
inline std::vector<Layer> listed(torch::jit::Graph& marked, const torch::jit::Stack& stack) {
  const std::vector<LayerNode> all = layer_nodes(marked);
  const c10::List<std::int64_t> positions = stack.at(1).toIntList();
  const c10::impl::GenericList shapes = stack.at(2).toList();
  std::vector<Layer> layers;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const LayerNode& layer = all.at(static_cast<std::size_t>(positions[i]));
    layers.push_back({layer.path, layer.type, shapes.get(i).toIntVector()});
  }
  return in_order(layers);
}

}  // namespace salience::detail
