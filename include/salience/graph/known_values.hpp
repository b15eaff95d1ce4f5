// What is known of the numbers, sizes and conditions of a graph before it runs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/nodes.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// Looks values up in a graph and in the object that it reads.
class KnownValues {
 public:
  /// A size that the program asks for, or a number that it has.
  struct Size {
    std::optional<std::int64_t> number{};
    const torch::jit::Value* tensor = nullptr;
    std::int64_t dimension = 0;
  };

  KnownValues(torch::jit::Graph& graph, const torch::jit::Module& object)
      : graph_(graph), object_(object), assigned_(assigned(graph)) {}

  /// What a value is in every run, or where the run begins: of an attribute, what the object has.
  std::optional<c10::IValue> constant(const torch::jit::Value* value) const {
    if (auto known = torch::jit::toIValue(value)) return known;
    return attribute_of(value, graph_, object_);
  }

  std::optional<std::int64_t> number(const torch::jit::Value* value) const { return size_of(value).number; }

  /// What is known of a size. A trace has a tensor made of each.
  Size size_of(const torch::jit::Value* value) const {
    constexpr std::array<std::string_view, 4> same{"prim::NumToTensor", "aten::Int", "aten::ScalarImplicit",
                                                   "aten::IntImplicit"};
    while (is_one_of(value->node(), same)) value = value->node()->input(0);
    if (const auto known = constant(value)) {
      if (known->isInt()) return {known->toInt()};
      if (known->isTensor() && known->toTensor().dim() == 0 && known->toTensor().scalar_type() == at::kLong) {
        return {known->toTensor().item<std::int64_t>()};
      }
      return {};
    }
    const torch::jit::Node* node = value->node();
    const auto asked = [&](const torch::jit::Value* tensor, std::optional<std::int64_t> dimension) {
      return dimension ? Size{{}, behind_identities(tensor), *dimension} : Size{};
    };
    const std::string_view kind = kind_of(node);
    if (kind == "aten::size" && node->inputs().size() == 2) {
      return asked(node->input(0), number(node->input(1)));
    }
    const bool element = kind == "aten::__getitem__", unpacked = kind == "prim::ListUnpack";
    if (!element && !unpacked) return {};
    const torch::jit::Node* list = node->input(0)->node();
    if (kind_of(list) != "aten::size" || list->inputs().size() != 1) return {};
    return asked(list->input(0), unpacked ? std::optional(static_cast<std::int64_t>(value->offset()))
                                          : number(node->input(1)));
  }

  /// Whether a condition holds, if that can be known: most are flags of modules. One that is `depth` steps
  /// away is not looked for any further, since the file may have any number of them.
  std::optional<bool> truth(const torch::jit::Value* value, int depth = 0) const {
    const torch::jit::Node* node = value->node();
    if (node->kind() == c10::prim::GetAttr && assigned_.contains(node->s(c10::attr::name))) {
      return std::nullopt;
    }
    if (const auto known = constant(value)) {
      return known->isBool() ? std::optional(known->toBool()) : std::nullopt;
    }
    if (depth == 64) return std::nullopt;
    if (kind_of(node) == "aten::__not__") {
      const auto other = truth(node->input(), depth + 1);
      return other ? std::optional(!*other) : std::nullopt;
    }
    if (node->kind() != c10::prim::If) return std::nullopt;  // or "and", "or"
    const auto taken = truth(node->input(), depth + 1);
    return taken ? truth(node->blocks().at(*taken ? 0 : 1)->outputs()[value->offset()], depth + 1)
                 : std::nullopt;
  }

 private:
  torch::jit::Graph& graph_;
  const torch::jit::Module& object_;
  std::set<std::string> assigned_;  ///< attributes that the program changes
};

}  // namespace salience::detail
