// Which values of a graph depend on what is explained.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Whether this node asks where its input is infinite or no number: where a mask has been put on it.
inline bool looks_for_infinities(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 3> kinds{"aten::isnan", "aten::isinf", "aten::isfinite"};
  constexpr std::array<std::string_view, 2> comparisons{"aten::eq", "aten::ne"};
  if (is_one_of(node, kinds)) return true;
  if (!is_one_of(node, comparisons)) return false;
  const auto known = torch::jit::toIValue(node->input(1));
  return known && known->isDouble() && std::isinf(known->toDouble());
}

/// Whether what this node gives follows from the sizes, types and places of its inputs, not from what they
/// hold.
inline bool ignores_contents(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 32> kinds{"aten::size",          "aten::sym_size",
                                                   "aten::dim",           "aten::numel",
                                                   "aten::sym_numel",     "aten::len",
                                                   "aten::stride",        "aten::sym_stride",
                                                   "aten::is_complex",    "aten::is_floating_point",
                                                   "aten::is_contiguous", "aten::storage_offset",
                                                   "prim::dtype",         "prim::device",
                                                   "prim::layout",        "prim::is_cuda",
                                                   "prim::requires_grad", "prim::shape",
                                                   "prim::type",          "aten::__is__",
                                                   "aten::__isnot__",     "aten::zeros_like",
                                                   "aten::ones_like",     "aten::empty_like",
                                                   "aten::full_like",     "aten::rand_like",
                                                   "aten::randn_like",    "aten::new_zeros",
                                                   "aten::new_ones",      "aten::new_empty",
                                                   "aten::new_full",      "aten::is_same_size"};
  return is_one_of(node, kinds) || looks_for_infinities(node);
}

/// Follows the explained input through a graph, through lists, branches, loops and what is written in place.
/// Careful where memory is shared, it may say too much of what is read from the module.
class Dependence {
 public:
  Dependence(torch::jit::Graph& graph, const torch::jit::Module& object, const torch::jit::Value* input)
      : aliases_(graph, object) {
    values_.insert(input);
    const std::vector<torch::jit::Node*> nodes = nodes_of(graph);
    for (std::size_t before = 0; before != values_.size();) {
      before = values_.size();
      for (const torch::jit::Node* node : nodes) visit(node);
    }
  }

  /// Whether it is a tensor, or holds one, that depends on the input.
  bool operator()(const torch::jit::Value* value) const { return values_.contains(value); }

  /// Whether one of the inputs of a node does.
  bool reads(const torch::jit::Node* node) const {
    return std::any_of(node->inputs().begin(), node->inputs().end(), std::cref(*this));
  }

  /// Tells of a value that has come into the graph in the place of another one that depends on the input.
  void add(const torch::jit::Value* value, const torch::jit::Value* in_place_of) {
    add(value);
    aliases_.add(value, in_place_of);
  }

  const Aliases& aliases() const noexcept { return aliases_; }

 private:
  void add(const torch::jit::Value* value) {
    if (holds_tensors(value->type())) values_.insert(value);
  }

  void visit(const torch::jit::Node* node) {
    const bool blocks =
        carried_through_blocks(node, *this, [this](const torch::jit::Value* value) { add(value); });
    if (!blocks && reads(node) && !ignores_contents(node)) {
      for (const torch::jit::Value* output : node->outputs()) add(output);
    }
    for (const torch::jit::Value* output : node->outputs()) {
      if (!holds_tensors(output->type()) || (*this)(output)) continue;
      const auto& writers = aliases_.writers(output);
      if (std::any_of(writers.begin(), writers.end(), [&](const auto* writer) { return reads(writer); }))
        add(output);
    }
  }

  Aliases aliases_;
  std::unordered_set<const torch::jit::Value*> values_;
};

}  // namespace salience::detail
