// The part of each value's change that rises, through a graph with twins.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/conversions.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/twin.hpp>
#include <salience/tensor/operator_algebra.hpp>
#include <salience/tensor/operator_kinds.hpp>

namespace salience::detail {

/// Computes, beside values, the part of their change that rises, by ordinary operators. It comes apart from
/// the part that falls in products with weights, by their signs, and both go on through sums, scales and
/// moves. Of all else it is the whole change where that is positive.
class RisingParts {
 public:
  RisingParts(torch::jit::Graph& graph, const Twin& twin) : graph_(graph), twin_(twin) {}

  /// Computes, before a linear operator without a rule, the part of its output that rises.
  void linear(torch::jit::Node* node) {
    const torch::jit::WithInsertPoint here(node);
    const auto outputs = node->outputs();
    if (std::any_of(outputs.begin(), outputs.end(), [&](const torch::jit::Value* output) {
          return twin_.aliases().written_after(node, output);
        }))
      return;  // it will be another value
    if (node->kind() == c10::prim::ListUnpack) {
      if (!known(node->input(0))) return;
      torch::jit::Node* parts =
          graph_.insertNode(graph_.createListUnpack(parts_.at(node->input(0)), node->outputs().size()));
      for (std::size_t i = 0; i < node->outputs().size(); ++i)
        parts_[node->outputs()[i]] = parts->outputs()[i];
    } else if (torch::jit::Value* part = part_of(node)) {
      parts_[node->output(0)] = part;
    }
  }

  /// Tells of the part of a value that rises.
  void tell(const torch::jit::Value* value, torch::jit::Value* part) { parts_[value] = part; }

  /// The part of a value's change that rises: what is known of it, else the change where that is positive.
  torch::jit::Value* rising(torch::jit::Value* value) {
    const auto part = parts_.find(value);
    return part == parts_.end() ? upward(change(value)) : part->second;
  }

 private:
  /// Nothing where both are masked by minus infinity.
  torch::jit::Value* change(torch::jit::Value* value) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    torch::jit::Value* difference = graph_.insert(c10::aten::sub, {value, twin_.of(value)});
    return graph_.insert(c10::aten::nan_to_num, {difference, 0.0, infinity, -infinity});
  }
  bool known(const torch::jit::Value* value) const { return parts_.contains(value); }

  torch::jit::Value* falling(torch::jit::Value* value) {
    return graph_.insert(c10::aten::sub, {change(value), rising(value)});
  }
  /// Where a change is positive, and half of one that is zero, as the paper has it: its parts may cancel.
  torch::jit::Value* upward(torch::jit::Value* change) {
    torch::jit::Value* half = graph_.insert(c10::aten::mul, {graph_.insert(c10::aten::sign, {change}), 0.5});
    return graph_.insert(c10::aten::mul, {change, graph_.insert(c10::aten::add, {half, 0.5})});
  }
  torch::jit::Value* positive(torch::jit::Value* value) {
    return graph_.insert(c10::aten::clamp_min, {value, 0.0});
  }
  torch::jit::Value* negative(torch::jit::Value* value) {
    return graph_.insert(c10::aten::clamp_max, {value, 0.0});
  }
  torch::jit::Value* sum(torch::jit::Value* a, torch::jit::Value* b) {
    return graph_.insert(c10::aten::add, {a, b});
  }

  /// The operator with other inputs in some places.
  torch::jit::Value* again(torch::jit::Node* node,
                           const std::vector<std::pair<std::size_t, torch::jit::Value*>>& others) {
    torch::jit::Node* clone = graph_.createClone(node, [](torch::jit::Value* value) { return value; });
    for (const auto& [i, value] : others) clone->replaceInput(i, value);
    return graph_.insertNode(clone)->output(0);
  }

  bool changes(const torch::jit::Node* node, std::size_t i) const { return twin_.changes(node, i); }

  /// nullptr: what rises is what is positive of the whole change.
  torch::jit::Value* part_of(torch::jit::Node* node) {
    const std::string_view kind = kind_of(node);
    const std::size_t changing = twin_.changing(node);
    const bool first = changes(node, 0);
    if (node->kind() == c10::prim::ListConstruct) return list_of_parts(node);
    if (kind == "aten::constant_pad_nd" || kind == "aten::pad") return part_of_padded(node);
    if (moves_numbers(kind) && !chooses_or_writes(kind))
      return first && known(node->input(0)) ? again(node, {{0, rising(node->input(0))}}) : nullptr;
    const bool positive_sum = sums_numbers(kind) && kind.find("bicubic") == std::string_view::npos;
    if (positive_sum) return first ? again(node, {{0, rising(node->input(0))}}) : nullptr;
    if (kind == "aten::add" || kind == "aten::sub" || kind == "aten::subtract" || kind == "aten::rsub")
      return part_of_sum(node, kind);
    if ((kind == "aten::neg" || kind == "aten::negative") && known(node->input(0)))
      return graph_.insert(c10::aten::neg, {falling(node->input(0))});
    if (kind == "aten::batch_norm" && known(node->input(0))) return part_of_batch_norm(node);
    const bool quotient = kind == "aten::div" || kind == "aten::true_divide" || kind == "aten::divide";
    if ((kind == "aten::mul" || kind == "aten::multiply" || quotient) && changing == 1 &&
        node->inputs().size() == 2 && (first || !quotient))
      return part_of_scaled(node);
    if (changing == 1) return part_of_product(node, kind);
    return nullptr;
  }

  /// What of moves_numbers does not only move the numbers of its first input.
  static bool chooses_or_writes(std::string_view kind) {
    constexpr std::array<std::string_view, 16> kinds{
        "aten::copy",      "aten::copy_",          "aten::fill",           "aten::fill_",
        "aten::where",     "aten::masked_fill",    "aten::zero",           "aten::zero_",
        "aten::scatter",   "aten::select_scatter", "aten::slice_scatter",  "aten::append",
        "aten::_set_item", "prim::DictConstruct",  "prim::RaiseException", "prim::TupleConstruct"};
    return contains(kinds, kind);
  }

  /// The parts of a list's tensors, as cat and stack read them: of what does not change nothing.
  torch::jit::Value* list_of_parts(torch::jit::Node* node) {
    const auto elements = node->inputs();
    const bool any = std::any_of(elements.begin(), elements.end(),
                                 [this](const torch::jit::Value* element) { return known(element); });
    const bool tensors = std::all_of(elements.begin(), elements.end(), [](const torch::jit::Value* element) {
      return element->type()->kind() == c10::TypeKind::TensorType;
    });
    if (!any || !tensors) return nullptr;
    std::vector<torch::jit::Value*> parts;
    for (torch::jit::Value* element : elements) {
      parts.push_back(twin_.has(element) ? rising(element) : graph_.insert(c10::aten::zeros_like, {element}));
    }
    return graph_.insertNode(graph_.createList(c10::TensorType::get(), parts))->output();
  }

  /// Padded with a constant, which does not change.
  torch::jit::Value* part_of_padded(torch::jit::Node* node) {
    if (!changes(node, 0) || !known(node->input(0))) return nullptr;
    std::vector<std::pair<std::size_t, torch::jit::Value*>> others{{0, rising(node->input(0))}};
    const std::size_t value = kind_of(node) == "aten::pad" ? 3 : 2;
    if (value < node->inputs().size() && node->input(value)->type()->kind() != c10::TypeKind::NoneType)
      others.emplace_back(value, graph_.insertConstant(0.0));
    return again(node, others);
  }

  /// Both summands' parts, exchanged of one that is taken away.
  torch::jit::Value* part_of_sum(torch::jit::Node* node, std::string_view kind) {
    double alpha = 1.0;
    if (node->inputs().size() > 2) {
      const auto known_alpha = torch::jit::toIValue(node->input(2));
      if (!known_alpha || !known_alpha->isScalar()) return nullptr;
      alpha = known_alpha->toScalar().toDouble();
    }
    const bool reversed = kind == "aten::rsub";  // b - alpha a
    const std::array<double, 2> factors{reversed ? -alpha : 1.0, reversed              ? 1.0
                                                                 : kind == "aten::add" ? alpha
                                                                                       : -alpha};
    torch::jit::Value* part = nullptr;
    for (std::size_t i = 0; i < 2; ++i) {
      if (!changes(node, i)) continue;
      torch::jit::Value* value = node->input(i);
      torch::jit::Value* own = factors.at(i) >= 0.0 ? rising(value) : falling(value);
      if (factors.at(i) != 1.0) own = graph_.insert(c10::aten::mul, {own, factors.at(i)});
      part = part ? sum(part, own) : own;
    }
    return part && !(changes(node, 0) && changes(node, 1)) ? like(part, node) : part;
  }

  /// In the shape of what the node gives, which a constant may have made larger.
  torch::jit::Value* like(torch::jit::Value* part, torch::jit::Node* node) {
    const torch::jit::WithInsertPoint behind(node->next());
    return graph_.insert(c10::aten::expand_as, {part, node->output(0)});
  }

  torch::jit::Value* part_of_batch_norm(torch::jit::Node* node) {
    torch::jit::Value *weight = node->input(1), *none = graph_.insertConstant(c10::IValue());
    torch::jit::Value* zero = graph_.insert(c10::aten::zeros_like, {node->input(3)});
    const auto scaled = [&](torch::jit::Value* part, torch::jit::Value* by) {
      return again(node, {{0, part}, {1, by}, {2, none}, {3, zero}});
    };
    if (!is_a_tensor(weight)) return scaled(rising(node->input(0)), none);
    return sum(scaled(rising(node->input(0)), positive(weight)),
               scaled(falling(node->input(0)), negative(weight)));
  }

  /// Times or over what does not change: where that is negative, what falls rises.
  torch::jit::Value* part_of_scaled(torch::jit::Node* node) {
    const std::size_t data = changes(node, 0) ? 0 : 1;
    torch::jit::Value *value = node->input(data), *factor = node->input(1 - data);
    if (!known(value)) return nullptr;
    torch::jit::Value *same = again(node, {{data, rising(value)}}),
                      *turned = again(node, {{data, falling(value)}});
    if (is_a_tensor(factor))
      return graph_.insert(c10::aten::where, {graph_.insert(c10::aten::ge, {factor, 0.0}), same, turned});
    const auto number = torch::jit::toIValue(factor);
    if (!number || !number->isScalar()) return nullptr;
    return number->toScalar().toDouble() < 0.0 ? turned : same;
  }

  /// Sums of products with weights: a product that rises is one of two that have the same sign.
  torch::jit::Value* part_of_product(torch::jit::Node* node, std::string_view kind) {
    std::size_t data = 0, weight = 1;
    std::vector<std::pair<std::size_t, torch::jit::Value*>> rest;
    if (is_convolution(kind) || kind == "aten::linear") {
      rest.emplace_back(2, graph_.insertConstant(c10::IValue()));
    } else if (kind == "aten::matmul" || kind == "aten::mm" || kind == "aten::bmm") {
      data = changes(node, 0) ? 0 : 1;
      weight = 1 - data;
    } else if (kind == "aten::addmm") {
      data = changes(node, 1) ? 1 : 2;
      weight = 3 - data;
      rest.emplace_back(0, graph_.insert(c10::aten::zeros_like, {node->input(0)}));
    } else {
      return nullptr;
    }
    if (!changes(node, data)) return nullptr;
    torch::jit::Value* whole = change(node->input(data));
    const auto products = [&](torch::jit::Value* by, torch::jit::Value* with) {
      std::vector<std::pair<std::size_t, torch::jit::Value*>> others = rest;
      others.emplace_back(data, by);
      others.emplace_back(weight, with);
      return again(node, others);
    };
    torch::jit::Value* up = upward(whole);
    return sum(products(up, positive(node->input(weight))),
               products(graph_.insert(c10::aten::sub, {whole, up}), negative(node->input(weight))));
  }

  torch::jit::Graph& graph_;
  const Twin& twin_;
  std::unordered_map<const torch::jit::Value*, torch::jit::Value*> parts_;
};

}  // namespace salience::detail
