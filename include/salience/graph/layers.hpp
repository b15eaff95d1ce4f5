// The layers of a module's graph: their list, and graphs that also give what they give. For
// model/script_model.hpp alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/aliases.hpp>
#include <salience/graph/convolutions.hpp>
#include <salience/graph/script_front_end.hpp>
#include <salience/graph/simplify.hpp>
#include <salience/tensor/layer.hpp>
#include <salience/tensor/tensor.hpp>

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

/// Whether what this node gives has another name, which does not come from it, through which the program goes
/// on to read it, and whether it is written to: as the input of a layer that only hands it on.
inline bool has_another_name(const torch::jit::Node* node, torch::jit::Graph& graph, const Aliases& aliases) {
  if (!aliases.written_after(node, node->output())) return false;
  std::set<const torch::jit::Value*> derived{node->output()};
  for (const torch::jit::Node* next : nodes_of(graph)) {
    const auto inputs = next->inputs();
    if (std::any_of(inputs.begin(), inputs.end(), [&](const auto* input) { return derived.contains(input); }))
      derived.insert(next->outputs().begin(), next->outputs().end());
    for (const torch::jit::Value* input : inputs) {
      if (next != node && !derived.contains(input) && aliases.share(input, node->output()) &&
          may_follow(next, node))
        return true;
    }
  }
  return false;
}

/// Hands the output of `node` to `take`, and lets nothing that follows write into that: what comes from it
/// gets a copy. Where the memory has another name, so that a copy would miss what is written through that, a
/// copy is taken instead, and goes back into the memory. A layer that only hands on its input gives that very
/// tensor, as in eager PyTorch: its gradient is that of all who read it.
template <class Take>
void tap(torch::jit::Node* node, const Aliases& aliases, const Take& take) {
  torch::jit::Graph& graph = *node->owningGraph();
  const torch::jit::WithInsertPoint after(node->next());
  torch::jit::Value* output = node->output();
  torch::jit::Value* rest = nullptr;
  if (has_another_name(node, graph, aliases)) {
    torch::jit::Value* copy = graph.insert(c10::aten::clone, {output});
    take(copy);
    rest = graph.insert(c10::Symbol::fromQualString("aten::copy_"), {output, copy});
  } else {
    take(output);
    rest = graph.insert(c10::aten::clone, {output});
  }
  rest->setType(output->type());
  output->replaceAllUsesAfterNodeWith(rest->node(), rest);
}

/// Makes `graph` give the layer of that name: one more output, a list of what its uses gave; for the last
/// convolution another one, the depths of the candidates that ran.
inline void tap_layer(torch::jit::Graph& graph, const std::string& name, const Aliases& aliases) {
  Collector outputs(graph, c10::TensorType::get());
  if (name.empty()) {
    Collector depths(graph, c10::IntType::get());
    const auto candidates = LastConvolutionSearch(graph).candidates();
    if (candidates.empty()) throw ModelError("the model has no convolution: name the layer to look at");
    for (const LastCandidate& candidate : candidates) {
      tap(candidate.node, aliases, [&](torch::jit::Value* output) {
        outputs.append(output);
        depths.append(graph.insertConstant(candidate.depth));
      });
    }
    return;
  }
  bool known = false;
  const auto take = [&](const LayerNode& layer) {
    if (layer.path != name) return;
    known = true;
    if (!layer.gives_tensor()) {
      throw ModelError(concat("the layer '", name, "' gives ", layer.output->type()->repr_str(),
                              ", not a tensor: name a layer inside or around it"));
    }
    tap(layer.output->node(), aliases, [&outputs](torch::jit::Value* output) { outputs.append(output); });
  };
  for (const LayerNode& layer : layer_nodes(graph)) take(layer);
  if (known) return;
  const std::vector<torch::jit::Node*> convolutions = convolutions_of(graph);
  for (std::size_t i = 0; i < convolutions.size(); ++i)
    take({convolution_name(i), "", convolutions[i]->output()});
  if (!known) throw unknown_layer(name, graph);
}

/// A graph, made from one with marks, that also gives these layers; see taken.
inline std::shared_ptr<torch::jit::Graph> tapped_graph(torch::jit::Graph& marked,
                                                       const torch::jit::Module& module,
                                                       std::span<const std::string> names) {
  std::shared_ptr<torch::jit::Graph> graph = marked.copy();
  if (!names.empty()) {
    const Aliases aliases(*graph, module);
    for (const std::string& name : names) tap_layer(*graph, name, aliases);
  }
  remove_marks(graph);
  return graph;
}

/// Of the convolutions that ran, the deepest with more than one position; of equal ones the last.
inline at::Tensor last_convolution(const c10::List<at::Tensor>& outputs,
                                   const c10::List<std::int64_t>& depths) {
  const auto rank = [&](std::size_t i) {
    const at::IntArrayRef sizes = at::Tensor(outputs[i]).sizes();
    const bool grid = std::any_of(sizes.begin() + std::min<std::ptrdiff_t>(2, std::ssize(sizes)), sizes.end(),
                                  [](std::int64_t size) { return size > 1; });
    return std::pair(grid, std::int64_t{depths[i]});
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < outputs.size(); ++i) {
    if (rank(i) >= rank(best)) best = i;
  }
  return outputs[best];
}

/// The layers of a stack that a tapped graph left; its first entry is the model's output.
inline std::vector<at::Tensor> taken(const torch::jit::Stack& stack, std::span<const std::string> names) {
  std::vector<at::Tensor> layers;
  std::size_t next = 1;
  for (const std::string& name : names) {
    const c10::List<at::Tensor> outputs = stack.at(next++).toTensorList();
    if (outputs.empty()) {
      throw ModelError(name.empty() ? "no convolution was reached for this input"
                                    : concat("the layer '", name, "' was not reached for this input"));
    }
    layers.push_back(name.empty() ? last_convolution(outputs, stack.at(next++).toIntList())
                                  : at::Tensor(outputs[outputs.size() - 1]));
  }
  return layers;
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
