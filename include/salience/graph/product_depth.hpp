// Which values of a graph come behind a product with weights, so that they are not at its beginning.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <torch/script.h>

#include <salience/graph/dependence.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/tensor/operator_algebra.hpp>

namespace salience::detail {

/// Follows what products give through a graph, through branches and loops: the second round of a loop comes
/// behind the first. A product number by number is none.
class BehindProducts {
 public:
  BehindProducts(torch::jit::Graph& graph, const Dependence& depends) {
    const std::vector<torch::jit::Node*> nodes = nodes_of(graph);
    std::size_t before = 0;
    do {
      before = values_.size();
      for (const torch::jit::Node* node : nodes) visit(node, depends);
    } while (values_.size() != before);
  }

  bool operator()(const torch::jit::Value* value) const { return values_.contains(value); }

  /// Tells of a value that has come into the graph since.
  void add(const torch::jit::Value* value) { values_.insert(value); }

 private:
  void visit(const torch::jit::Node* node, const Dependence& depends) {
    if (carried_through_blocks(node, *this, [this](const torch::jit::Value* value) { add(value); })) return;
    const std::string_view kind = kind_of(node);
    const bool product =
        multiplies_operands(kind) && kind != "aten::mul" && kind != "aten::multiply" && depends.reads(node);
    if (product || std::any_of(node->inputs().begin(), node->inputs().end(), std::cref(*this)))
      values_.insert(node->outputs().begin(), node->outputs().end());
  }

  std::unordered_set<const torch::jit::Value*> values_;
};

}  // namespace salience::detail
