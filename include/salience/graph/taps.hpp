// Graphs that also give what some of their layers give.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/aliases.hpp>
#include <salience/graph/collector.hpp>
#include <salience/graph/convolutions.hpp>
#include <salience/graph/layers.hpp>
#include <salience/graph/marks.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/tensor/last_convolution_rule.hpp>

namespace salience::detail {

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
    std::size_t position = outputs.size() - 1;
    if (name.empty()) position = last_convolution(outputs.vec(), stack.at(next++).toIntVector());
    layers.push_back(outputs[position]);
  }
  return layers;
}

}  // namespace salience::detail
