// DeepLIFT as a pass: which operator has which rule.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/conversions.hpp>
#include <salience/graph/deep_lift_norms.hpp>
#include <salience/graph/deep_lift_rules.hpp>
#include <salience/graph/functional.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/norms.hpp>
#include <salience/graph/reveal_cancel.hpp>
#include <salience/graph/rule_node.hpp>
#include <salience/graph/twin.hpp>
#include <salience/tensor/deep_lift_rule.hpp>
#include <salience/tensor/operator_algebra.hpp>

namespace salience::detail {

/// Rewrites a graph so that its derivative is DeepLIFT's multipliers, by one of its rules, against what its
/// last input holds; its last output is what it gives for that.
class DeepLiftRewrite {
 public:
  DeepLiftRewrite(torch::jit::Graph& graph, const torch::jit::Module& object, DeepLiftRule rule)
      : twin_(graph, object, graph.inputs().at(1),
              graph.addInput("baseline")->setType(c10::TensorType::get())) {
    if (rule == DeepLiftRule::reveal_cancel) reveal_cancel_.emplace(graph, twin_);
  }

  void operator()() {
    twin_([this](torch::jit::Node* node, torch::jit::Node* twin) { treat(node, twin); });
    if (refused_.empty()) return;
    throw ModelError(concat("DeepLIFT has no rule for ", listed(refused_),
                            ", which the score goes through: its values would not sum to the change of the "
                            "score. Integrated Gradients takes any operator"));
  }

 private:
  /// What a node is to DeepLIFT.
  struct Treatment {
    bool known = false;
    Rule rule{};                             ///< none: the operator's own derivative is right
    std::vector<torch::jit::Value*> more{};  ///< what the rule needs besides, and what stands beside that
  };

  bool changes(const torch::jit::Node* node, std::size_t i) const { return twin_.changes(node, i); }
  std::size_t changing(const torch::jit::Node* node) const { return twin_.changing(node); }

  Treatment treatment(const torch::jit::Node* node) const {
    const std::string_view kind = plain_kind(node);
    const bool only_first = changing(node) == 1 && changes(node, 0);
    if (kind == "aten::where" || kind == "aten::masked_fill" || kind == "aten::index" ||
        kind == "aten::gather" || kind == "aten::index_select" || kind == "aten::scatter") {
      const std::size_t choice = kind == "aten::where"                                  ? 0
                                 : kind == "aten::masked_fill" || kind == "aten::index" ? 1
                                                                                        : 2;
      return {!changes(node, choice), {}};  // who is chosen must not depend on the input
    }
    if (kind == "aten::to" || kind == "aten::_to_copy" || kind == "aten::type_as") {
      const bool like_another =
          node->inputs().size() > 1 && node->input(1)->type()->kind() == c10::TypeKind::TensorType;
      return {!to_integers(node), like_another ? Rule(&plain_rule) : Rule()};
    }
    if (moves_numbers(kind)) return {true, {}};
    if (sums_numbers(kind)) return {only_first, {}};
    if (kind == "aten::lerp" && changes(node, 2)) return {true, &product_rule};
    if (adds_operands(kind)) return {true, {}};
    if (multiplies_operands(kind)) {
      if (kind == "aten::square" || changing(node) > 1) {
        return {!(kind == "aten::addcmul" && changing(node) > 2) &&
                    !(kind == "aten::bilinear" && changes(node, 2)) &&
                    !(kind == "aten::einsum" && changing(node) > 2),
                &product_rule};
      }
      return {true, {}};
    }
    if (is_kinked_curve(kind))
      return {only_first, Rule::by([](const RuleCall& call) { return curve_factor(call, false); })};
    if (is_smooth_curve(kind))
      return {only_first, Rule::by([](const RuleCall& call) { return curve_factor(call, true); })};
    if (is_max_pool(kind)) return max_pool(node, kind);
    return of_several_steps(node, kind, only_first);
  }

  static Treatment max_pool(const torch::jit::Node* node, std::string_view kind) {
    if (!only_first_output_is_read(node)) return {};
    const std::int64_t dimensions = spatial_of(kind);
    const bool adaptive = kind.find("adaptive") != std::string_view::npos;
    return {dimensions > 0, [adaptive, dimensions](const RuleCall& call) {
              return max_pool_rule(call, adaptive, dimensions);
            }};
  }

  Treatment of_several_steps(const torch::jit::Node* node, std::string_view kind, bool only_first) const {
    if (!only_first_output_is_read(node)) return {};
    if (kind == "aten::batch_norm") return {only_first && is_known(node->input(5), false), {}};
    if (kind == "aten::div" || kind == "aten::divide" || kind == "aten::true_divide") {
      if (node->inputs().size() > 2) return {};  // with a rounding mode
      return changes(node, 1) ? Treatment{true, &quotient_rule} : Treatment{true, {}};
    }
    const bool binary =
        kind == "aten::max" || kind == "aten::min"
            ? node->inputs().size() == 2 && node->input(1)->type()->kind() == c10::TypeKind::TensorType
            : false;
    if (kind == "aten::maximum" || (binary && kind == "aten::max"))
      return {true, [](const RuleCall& call) { return larger_rule(call, 1.0); }};
    if (kind == "aten::minimum" || (binary && kind == "aten::min"))
      return {true, [](const RuleCall& call) { return larger_rule(call, -1.0); }};
    if (!only_first && kind != "aten::scaled_dot_product_attention") return {};
    if (kind == "aten::amax" || kind == "aten::max")
      return {true, [](const RuleCall& call) { return maximum_rule(call, 1.0); }};
    if (kind == "aten::amin" || kind == "aten::min")
      return {true, [](const RuleCall& call) { return maximum_rule(call, -1.0); }};
    if (kind == "aten::softmax" || kind == "aten::_softmax") return {true, &softmax_rule};
    if (kind == "aten::log_softmax" || kind == "aten::_log_softmax") return {true, &log_softmax_rule};
    if (kind == "aten::instance_norm" && is_known(node->input(5), false))
      return {true, {}};  // linear, with statistics of its own
    if (const auto norm = norm_places(node)) {
      const bool certain = kind != "aten::instance_norm" || is_known(node->input(5), true);
      return {certain, [places = *norm](const RuleCall& call) { return norm_rule(call, places); }};
    }
    if (kind == "aten::linalg_vector_norm" || kind == "aten::norm" || kind == "aten::frobenius_norm") {
      const auto order = torch::jit::toIValue(node->input(1));
      const bool two = order && (order->isNone() || (order->isDouble() && order->toDouble() == 2.0) ||
                                 (order->isInt() && order->toInt() == 2));
      return {two && kind != "aten::frobenius_norm", &length_rule};
    }
    if (kind == "aten::glu") return {true, &gated_rule};
    if (kind == "aten::scaled_dot_product_attention") {
      const auto dropout = torch::jit::toIValue(node->input(4));
      return {!changes(node, 3) && dropout && dropout->toDouble() == 0.0, &attention_rule};
    }
    return {};
  }

  void treat(torch::jit::Node* node, torch::jit::Node* twin) {
    if (changing(node) == 0 || ignores_contents(node)) return;  // what is written into later
    if (torch::jit::Value* value = compared(node, twin)) {
      conditions_[node->output()] = value;
      return;
    }
    const bool by_condition =
        std::any_of(node->inputs().begin(), node->inputs().end(),
                    [this](const torch::jit::Value* value) { return conditions_.contains(value); });
    if (writes_to_attribute(node)) refused_.emplace("what is written into the model's own buffers");
    const Treatment known = by_condition ? chosen(node) : treatment(node);
    if (!known.known) {
      refused_.emplace(kind_of(node));
    } else if (reveal_cancel_ && !by_condition && !known.rule) {
      reveal_cancel_->linear(node);
    } else if (known.rule) {
      const Overwritten overwritten(node, twin_.aliases());
      torch::jit::Value *read = overwritten.kept(node), *read_by_twins = overwritten.kept(twin);
      for (const std::size_t i : overwritten.inputs) {
        if (twin->input(i) != node->input(i)) twin_.replaced(node->input(i), twin->input(i));
      }
      Rule rule = known.rule;
      torch::jit::Value* rising = nullptr;
      std::vector<torch::jit::Value*> beside;
      if (reveal_cancel_ && !by_condition && is_curve(node)) {
        rising = reveal_cancel_->activation(node, twin, is_smooth_curve(kind_of(node)), rule, beside);
      } else {
        beside.assign(twin->inputs().begin(), twin->inputs().end());
        beside.push_back(twin->output(0));
        for (torch::jit::Value* more : known.more) {
          beside.push_back(more);
          beside.push_back(twin_.of(more));
        }
      }
      if (overwritten.output) twin_.copied(read, node->output(0), read_by_twins);
      torch::jit::Value* ruled = put_rule(node, std::move(rule), beside);
      if (overwritten.output) return;
      twin_.replaced(ruled, read_by_twins);
      if (rising) reveal_cancel_->tell(ruled, rising);
    }
  }

  static bool is_curve(const torch::jit::Node* node) {
    return is_kinked_curve(kind_of(node)) || is_smooth_curve(kind_of(node));
  }

  /// Of a comparison with what does not depend on the input, or of a conversion of one: what is compared.
  torch::jit::Value* compared(torch::jit::Node* node, torch::jit::Node* twin) {
    constexpr std::array<std::string_view, 6> comparisons{"aten::gt", "aten::ge", "aten::lt",
                                                          "aten::le", "aten::eq", "aten::ne"};
    constexpr std::array<std::string_view, 6> conversions{"aten::to",     "aten::_to_copy", "aten::float",
                                                          "aten::double", "aten::type_as",  "aten::alias"};
    if (changing(node) != 1) return nullptr;
    if (is_one_of(node, comparisons)) {
      // Looked at later, when what it compares may have been written over.
      const Overwritten overwritten(node, twin_.aliases());
      overwritten.kept(node);
      overwritten.kept(twin);
      for (const std::size_t i : overwritten.inputs) twin_.replaced(node->input(i), twin->input(i));
      torch::jit::Value* value = node->input(changes(node, 0) ? 0 : 1);
      return conditions_.contains(value) ? nullptr : value;
    }
    const auto known = is_one_of(node, conversions) ? conditions_.find(node->input(0)) : conditions_.end();
    return known == conditions_.end() ? nullptr : known->second;
  }

  /// Of a node that reads a condition that depends on the input: right where that chooses between two values.
  Treatment chosen(const torch::jit::Node* node) const {
    const std::string_view kind = kind_of(node);
    const auto rule_for = [&](std::size_t place, Rule rule) -> Treatment {
      for (std::size_t i = 0; i < node->inputs().size(); ++i) {
        if (i != place && conditions_.contains(node->input(i))) return {};
      }
      const auto known = conditions_.find(node->input(place));
      if (known == conditions_.end()) return {};
      return {true, std::move(rule), {known->second}};
    };
    if (kind == "aten::where" && node->inputs().size() == 3) return rule_for(0, &where_rule);
    if (kind == "aten::masked_fill") return rule_for(1, &filled_rule);
    if ((kind == "aten::mul" || kind == "aten::multiply") &&
        node->input(1)->type()->kind() == c10::TypeKind::TensorType) {
      const std::size_t place = conditions_.contains(node->input(0)) ? 0 : 1;
      return rule_for(place, [place](const RuleCall& call) { return masked_rule(call, place); });
    }
    return {};
  }

  Twin twin_;
  std::optional<RevealCancel> reveal_cancel_;
  std::set<std::string> refused_;
  std::unordered_map<const torch::jit::Value*, torch::jit::Value*> conditions_;  ///< and what they compare
};

/// See DeepLiftRewrite.
inline void deep_lift(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object,
                      DeepLiftRule rule) {
  tidy_for_rules(graph);
  Functional(*graph, object)();
  DeepLiftRewrite(*graph, object, rule)();
}

}  // namespace salience::detail
