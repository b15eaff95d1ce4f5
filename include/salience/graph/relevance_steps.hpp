// The relevance of operators that are neither a product nor a sum: which has which rule.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include <torch/script.h>

#include <salience/graph/nodes.hpp>
#include <salience/graph/norms.hpp>
#include <salience/graph/relevance_norms.hpp>
#include <salience/graph/relevance_rules.hpp>
#include <salience/graph/rule_node.hpp>
#include <salience/tensor/composite.hpp>

namespace salience::detail {

/// Of what is no product under a rule of the composite: zennit's default.
inline constexpr double relevance_epsilon = 1e-6;

/// What a node is to the method.
struct RelevanceTreatment {
  bool known = false;
  Rule rule{};                                 ///< none: the operator's own derivative is right
  const torch::jit::Value* same_as = nullptr;  ///< of which the output is a multiple
};

/// Whether a node gives flags, which are held fixed.
inline bool is_condition(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 13> kinds{
      "aten::gt",          "aten::ge",          "aten::lt",         "aten::le",          "aten::eq",
      "aten::ne",          "aten::logical_not", "aten::logical_or", "aten::logical_and", "aten::logical_xor",
      "aten::bitwise_not", "aten::bitwise_and", "aten::bitwise_or"};
  return is_one_of(node, kinds);
}

/// Norms, softmax, attention. `first` is the place of the first tensor that depends on the input.
inline RelevanceTreatment of_several_steps(const torch::jit::Node* node, std::string_view kind,
                                           std::size_t first, Composite::Products products) {
  if (kind == "aten::scaled_dot_product_attention") {
    const bool halve = products == Composite::Products::halve;
    return {true,
            [halve](const RuleCall& call) { return attention_relevance(call, halve, relevance_epsilon); }};
  }
  if (first != 0) return {};
  if (kind == "aten::batch_norm")
    return {is_known(node->input(5), false),
            [](const RuleCall& call) { return affine_relevance(call, relevance_epsilon); }};
  if (kind == "aten::softmax" || kind == "aten::_softmax") {
    return {true, [](const RuleCall& call) { return softmax_relevance(call, call.argument(1).toInt()); }};
  }
  if (kind == "aten::log_softmax" || kind == "aten::_log_softmax")  // the normaliser is held
    return {true, [](const RuleCall& call) { return passed_rule(call, 0); }};
  if (kind == "aten::linalg_vector_norm" || kind == "aten::norm")
    return {true, [](const RuleCall& call) { return shared_rule(call, relevance_epsilon); }};
  if (kind == "aten::instance_norm" && is_known(node->input(5), false))  // linear, with statistics of its own
    return {true, [](const RuleCall& call) { return affine_relevance(call, relevance_epsilon); }};
  if (const auto norm = norm_places(node)) {
    return {true, [places = *norm](const RuleCall& call) {
              return norm_rule_of_relevance(call, places, relevance_epsilon);
            }};
  }
  if (kind == "aten::glu") return {true, &half_of_gate};
  return {};
}

}  // namespace salience::detail
