// What rules ask of single nodes: conversions to whole numbers, and what is written into the module.
#pragma once

#include <cstddef>
#include <string_view>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/nodes.hpp>
#include <salience/tensor/operator_algebra.hpp>

namespace salience::detail {

/// The kind, whether or not the node gives indices too.
inline std::string_view plain_kind(const torch::jit::Node* node) {
  std::string_view kind = kind_of(node);
  if (kind.ends_with("_with_indices")) kind.remove_suffix(std::string_view("_with_indices").size());
  return kind;
}

/// Whether a node writes into what is read from the module: input and baseline would share it.
inline bool writes_to_attribute(const torch::jit::Node* node) {
  if (kind_of(node) != "aten::copy_") return false;
  const torch::jit::Value* written = node->input(0);
  while (moves_numbers(kind_of(written->node())) && !written->node()->inputs().empty())
    written = written->node()->input(0);
  return written->node()->kind() == c10::prim::GetAttr;
}

/// Whether a conversion is to whole numbers, by what its call says.
inline bool to_integers(const torch::jit::Node* node) {
  // Which type a tensor has is not known: the rule of such a conversion looks when it runs.
  const c10::FunctionSchema& schema = node->schema();
  for (std::size_t i = 0; i < node->inputs().size() && i < schema.arguments().size(); ++i) {
    const auto type = torch::jit::toIValue(node->input(i));
    if (schema.arguments()[i].name() == "dtype" && type && type->isInt() &&
        at::isIntegralType(static_cast<at::ScalarType>(type->toInt()), true))
      return true;
  }
  return false;
}

}  // namespace salience::detail
