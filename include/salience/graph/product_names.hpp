// The names of the layers that products of a graph belong to.
#pragma once

#include <string>

#include <torch/script.h>

#include <salience/graph/layers.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/tensor/operator_algebra.hpp>
#include <salience/tensor/operator_kinds.hpp>

namespace salience::detail {

/// Where an operator has the name of the layer of which it gives the output.
inline c10::Symbol layer_attribute() { return c10::Symbol::attr("salience_layer"); }

/// Whether a layer is that one, or inside of it.
inline bool is_in(const std::string& layer, const std::string& name) {
  return layer == name ||
         (layer.size() > name.size() && layer.starts_with(name) && layer[name.size()] == '.');
}

/// Writes the names of layers, which a graph loses with its marks, on the products that give their outputs.
inline void name_products(torch::jit::Graph& marked) {
  for (const LayerNode& layer : layer_nodes(marked)) {
    torch::jit::Node* node = const_cast<torch::jit::Value*>(behind_identities(layer.output))->node();
    if (!multiplies_operands(out_of_place(kind_of(node)))) continue;
    const bool inner =
        !node->hasAttribute(layer_attribute()) || node->s(layer_attribute()).size() < layer.path.size();
    if (inner) node->s_(layer_attribute(), layer.path);
  }
}

}  // namespace salience::detail
