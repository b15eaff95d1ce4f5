// Layer-wise relevance propagation as a pass: which operator has which rule.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/conversions.hpp>
#include <salience/graph/dependence.hpp>
#include <salience/graph/fold.hpp>
#include <salience/graph/functional.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/product_depth.hpp>
#include <salience/graph/product_names.hpp>
#include <salience/graph/relevance_linear.hpp>
#include <salience/graph/relevance_rules.hpp>
#include <salience/graph/relevance_steps.hpp>
#include <salience/graph/rule_node.hpp>
#include <salience/graph/writes.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/operator_algebra.hpp>

namespace salience::detail {

/// Rewrites a graph so that what comes back to its input as the gradient is relevance.
class RelevanceRewrite {
 public:
  RelevanceRewrite(torch::jit::Graph& graph, const torch::jit::Module& object, const Composite& composite)
      : graph_(graph),
        depends_(graph, object, graph.inputs().at(1)),
        composite_(composite),
        behind_product_(graph, depends_) {}

  void operator()() {
    const std::vector<torch::jit::Node*> nodes = nodes_of(graph_);
    std::set<std::string> layers;
    for (const torch::jit::Node* node : nodes) {
      if (node->hasAttribute(layer_attribute())) layers.insert(node->s(layer_attribute()));
    }
    require_layers(layers);
    for (torch::jit::Node* node : nodes) {
      if (!node->blocks().empty() || !depends_.reads(node) || ignores_contents(node)) continue;
      treat(node);
    }
    if (refused_.empty()) return;
    throw ModelError(concat("layer-wise relevance propagation has no rule for ", listed(refused_),
                            ", which the score goes through"));
  }

 private:
  /// What gave a value, since the operator itself is gone.
  struct Origin {
    std::string_view kind;
    const torch::jit::Value* same_as;
  };

  bool changes(const torch::jit::Value* value) const {
    return depends_(value) && !conditions_.contains(value);
  }

  /// The places of the tensors that depend on the input, among tensors_in(inputs).
  std::vector<std::size_t> changing(const torch::jit::Node* node) const {
    const std::vector<const torch::jit::Value*> operands = operands_of(node);
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (changes(operands[i])) places.push_back(i);
    }
    return places;
  }

  static std::optional<std::size_t> place_of_tensor(const torch::jit::Node* node, std::size_t input) {
    if (input >= node->inputs().size() || !is_a_tensor(node->input(input))) return std::nullopt;
    std::size_t place = 0;
    for (std::size_t i = 0; i < input; ++i) place += is_a_tensor(node->input(i)) ? 1 : 0;
    return place;
  }

  void treat(torch::jit::Node* node) {
    const RelevanceTreatment known = treatment(node);
    if (!known.known) {
      refused_.emplace(kind_of(node));
    } else if (known.rule) {
      const Overwritten overwritten(node, depends_.aliases());
      torch::jit::Value* read = overwritten.kept(node);
      const bool behind = behind_product_(node->output(0));
      const Origin origin{kind_of(node), known.same_as};
      if (overwritten.output) depends_.add(read, node->output(0));
      torch::jit::Value* ruled = put_rule(node, known.rule, {});
      depends_.add(ruled, ruled);
      for (const torch::jit::Value* value : {overwritten.output ? read : ruled, ruled}) {
        origins_[value] = origin;
        if (behind) behind_product_.add(value);
      }
    }
  }

  RelevanceTreatment treatment(torch::jit::Node* node) {
    const std::string_view kind = kind_of(node);
    if (is_condition(node)) {
      for (const torch::jit::Value* output : node->outputs()) conditions_.insert(output);
      return {true, {}};
    }
    const std::vector<std::size_t> data = changing(node);
    if (data.empty()) return {true, {}};  // reads conditions only
    if (moves_numbers(kind)) return {true, {}};
    if (is_max_pool(kind) || kind == "aten::amax" || kind == "aten::amin" || kind == "aten::max" ||
        kind == "aten::min" || kind == "aten::maximum" || kind == "aten::minimum")
      return {true, {}};  // the largest takes all
    if (!only_first_output_is_read(node)) return {};
    const std::size_t first = data.front();
    const auto passed = [first](const RuleCall& call) { return passed_rule(call, first); };
    if (is_kinked_curve(kind) || is_smooth_curve(kind) || kind == "aten::square" || kind == "aten::neg")
      return {data.size() == 1 && first == 0,
              Rule([](const RuleCall& call) { return std::vector{call.gradient}; }, false, false)};
    if (kind == "aten::lerp" && changes(node->input(2))) return {};
    if (sums_numbers(kind) || adds_operands(kind))
      return {true, [](const RuleCall& call) { return shared_rule(call, relevance_epsilon); }};
    if (kind == "aten::div" || kind == "aten::divide" || kind == "aten::true_divide")
      return {first == 0 && node->inputs().size() == 2, passed, node->input(0)};  // the divisor is held
    const bool by_number = kind == "aten::mul" || kind == "aten::multiply";
    if (by_number && data.size() == 1) return {true, passed, node->input(first)};
    if (multiplies_operands(kind)) return data.size() == 1 ? linear(node, first) : product(node, data);
    return of_several_steps(node, kind, first, composite_.products);
  }

  RelevanceTreatment product(const torch::jit::Node* node, const std::vector<std::size_t>& data) const {
    if (data.size() != 2) return {};
    const std::string_view kind = kind_of(node);
    if (data[0] == 0 &&
        (adds_first(kind) || kind == "aten::addcmul"))  // it and a linear product make up the sum
      return {true, [](const RuleCall& call) { return shared_rule(call, relevance_epsilon); }};
    if (composite_.products == Composite::Products::halve)
      return {true, [](const RuleCall& call) { return halved_rule(call, relevance_epsilon); }};
    const std::vector<const torch::jit::Value*> operands = operands_of(node);
    const bool one = is_gate(operands.at(data[0])), other = is_gate(operands.at(data[1]));
    if (one == other && kind != "aten::mul" && kind != "aten::multiply")
      return {true, [](const RuleCall& call) { return halved_rule(call, relevance_epsilon); }};
    const std::optional<std::size_t> gate =
        one == other ? std::nullopt : std::optional(one ? data[0] : data[1]);
    return {true, [gate](const RuleCall& call) { return gated_relevance(call, gate, relevance_epsilon); }};
  }

  /// Whether a value is what a sigmoid, a clamp or a softmax gave, moved or scaled.
  bool is_gate(const torch::jit::Value* value) const {
    constexpr std::array<std::string_view, 6> gates{"aten::sigmoid",  "aten::hardsigmoid", "aten::softmax",
                                                    "aten::_softmax", "aten::clamp",       "aten::hardtanh"};
    if (const auto known = origins_.find(value); known != origins_.end()) {
      return contains(gates, known->second.kind) || (known->second.same_as && is_gate(known->second.same_as));
    }
    const torch::jit::Node* node = value->node();
    if (contains(gates, kind_of(node))) return true;
    if (node->kind() == c10::prim::If) {
      const std::size_t place = value->offset();
      return is_gate(node->blocks().at(0)->outputs()[place]) &&
             is_gate(node->blocks().at(1)->outputs()[place]);
    }
    if (kind_of(node) == "aten::where" && node->inputs().size() == 3)  // as in a decomposed attention
      return is_gate(node->input(1)) || is_gate(node->input(2));
    const bool same = moves_numbers(kind_of(node)) && !node->inputs().empty() && node->blocks().empty();
    return same && is_gate(node->input(0));
  }

  static bool adds_first(std::string_view kind) {
    return kind == "aten::addmm" || kind == "aten::baddbmm" || kind == "aten::addmv" ||
           kind == "aten::addbmm";
  }

  RelevanceTreatment linear(const torch::jit::Node* node, std::size_t data) {
    const std::string_view kind = kind_of(node);
    const bool bias_first = adds_first(kind);
    LinearPlaces places{data};
    if (bias_first) {
      if (data == 0) return {};
      places.bias = 0;
      places.weight = data == 1 ? 2 : 1;
    } else if (kind == "aten::addcmul" || kind == "aten::bilinear" || kind == "aten::kron") {
      return {};
    } else if (is_convolution(kind) || kind == "aten::linear") {
      if (data != 0) return {};
      places.weight = place_of_tensor(node, 1);
      places.bias = place_of_tensor(node, 2);
      places.convolution = is_convolution(kind);
    } else {
      places.weight = data == 0 ? 1 : 0;
    }
    const LrpRule rule = rule_for(node);
    return {true, Rule([places, rule](const RuleCall& call) { return linear_rule(call, places, rule); },
                       /*inputs=*/true, looks_at_output(rule))};
  }

  LrpRule rule_for(const torch::jit::Node* node) const {
    const bool first = std::none_of(node->inputs().begin(), node->inputs().end(),
                                    [this](const auto* input) { return behind_product_(input); });
    const LinearKind kind =
        is_convolution(node->kind().toQualString()) ? LinearKind::convolution : LinearKind::linear;
    const std::string layer = node->hasAttribute(layer_attribute()) ? node->s(layer_attribute()) : "";
    for (const Composite::Entry& entry : composite_.entries) {
      const auto holds = [&layer](const std::string& name) { return is_in(layer, name); };
      if ((entry.kind == LinearKind::any || entry.kind == kind) && (!entry.first || first) &&
          (entry.layers.empty() || std::any_of(entry.layers.begin(), entry.layers.end(), holds)))
        return entry.rule;
    }
    return composite_.otherwise;
  }

  /// A name of a layer that no operator has is a mistake.
  void require_layers(const std::set<std::string>& known) const {
    for (const Composite::Entry& entry : composite_.entries) {
      for (const std::string& name : entry.layers) {
        if (std::none_of(known.begin(), known.end(), [&](const auto& layer) { return is_in(layer, name); })) {
          throw ArgumentError::unknown_name("layer with a product for the composite", name,
                                            std::vector<std::string>(known.begin(), known.end()));
        }
      }
    }
  }

  torch::jit::Graph& graph_;
  Dependence depends_;
  const Composite& composite_;
  std::set<std::string> refused_;
  std::unordered_set<const torch::jit::Value*> conditions_;  ///< flags, which are held fixed
  BehindProducts behind_product_;
  std::unordered_map<const torch::jit::Value*, Origin> origins_;
};

/// See RelevanceRewrite. BatchNorm becomes part of the convolution before it, where it can.
inline void propagate_relevance(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object,
                                const Composite& composite) {
  if (written_attributes(*graph, object).empty()) fold(graph, object);
  tidy_for_rules(graph);
  Functional(*graph, object)();
  RelevanceRewrite(*graph, object, composite)();
}

}  // namespace salience::detail
