// What rules ask of single nodes: their operands and outputs, conversions to whole numbers, writes into the
// module.
#pragma once

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/nodes.hpp>
#include <salience/tensor/operator_algebra.hpp>

namespace salience::detail {

/// Whether a tensor is given there: an optional one that is None is none.
inline bool is_a_tensor(const torch::jit::Value* value) {
  if (!holds_tensors(value->type())) return false;
  const auto known = torch::jit::toIValue(value);
  return !known || known->isTensor();
}

/// The tensors that a node reads, also those in lists: in the places of tensors_in of its inputs.
inline std::vector<const torch::jit::Value*> operands_of(const torch::jit::Node* node) {
  std::vector<const torch::jit::Value*> operands;
  for (const torch::jit::Value* input : node->inputs()) {
    if (input->type()->kind() == c10::TypeKind::ListType && holds_tensors(input->type())) {
      const auto elements = input->node()->inputs();
      operands.insert(operands.end(), elements.begin(), elements.end());
    } else if (is_a_tensor(input)) {
      operands.push_back(input);
    }
  }
  return operands;
}

/// How many of the tensors that a node reads have a property.
template <class Has>
std::size_t count_operands(const torch::jit::Node* node, const Has& has) {
  const std::vector<const torch::jit::Value*> operands = operands_of(node);
  return static_cast<std::size_t>(std::count_if(operands.begin(), operands.end(), has));
}

/// Whether nothing reads more than a node's first output.
inline bool only_first_output_is_read(const torch::jit::Node* node) {
  const auto outputs = node->outputs();
  return std::none_of(outputs.begin() + 1, outputs.end(),
                      [](const torch::jit::Value* output) { return output->hasUses(); });
}

/// "aten::gt, aten::sort"
inline std::string listed(const std::set<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

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
