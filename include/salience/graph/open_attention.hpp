// A pass that computes attention openly and marks its weights as layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/runtime/operator.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/attention.hpp>
#include <salience/graph/attention_uses.hpp>
#include <salience/graph/conversions.hpp>
#include <salience/graph/marks.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/tensor/layer.hpp>

namespace salience::detail {

/// Which half of attention a `salience::half_of_attention` computes.
inline c10::Symbol values_half() { return c10::Symbol::attr("values"); }

/// The operator `salience::half_of_attention`, of the inputs of a `scaled_dot_product_attention`: what it
/// weighs values by, or the values, one for each query's head. LibTorch's own operators compute both, so that
/// they are differentiable.
inline c10::Symbol half_of_attention() {
  static const c10::Symbol name = [] {
    const c10::Symbol symbol = c10::Symbol::fromQualString("salience::half_of_attention");
    if (torch::jit::getAllOperatorsFor(symbol).empty()) {
      torch::jit::registerOperator(torch::jit::Operator(
          symbol,
          [](const torch::jit::Node* node) -> torch::jit::Operation {
            return [count = node->inputs().size(),
                    values = node->i(values_half()) != 0](torch::jit::Stack& stack) {
              const std::vector<c10::IValue> inputs = torch::jit::last(stack, count).vec();
              torch::jit::drop(stack, count);
              const Attention attention(inputs);
              stack.emplace_back(values ? attention.values() : attention.weights());
            };
          },
          c10::AliasAnalysisKind::PURE_FUNCTION));
    }
    return symbol;
  }();
  return name;
}

/// Rewrites a marked graph so that each attention's weights, which softmax gives, are a layer's output:
/// "attention.0", "attention.1" and so on, in the order of the program. Attention in one operator is taken
/// apart for that.
class OpenAttention {
 public:
  OpenAttention(torch::jit::Graph& graph, const torch::jit::Module& object)
      : graph_(graph), nodes_(nodes_of(graph)), uses_(graph, object) {
    for (const torch::jit::Node* mark : marks_of(graph)) {  // a module may have that name
      while (mark->s(Mark::path()).starts_with(prefix_)) prefix_.insert(0, "_");
    }
  }

  void operator()() {
    for (torch::jit::Node* node : nodes_) {
      const std::string_view kind = kind_of(node);
      if (kind == "aten::scaled_dot_product_attention") {
        const auto dropout = torch::jit::toIValue(node->input(4));
        if (!dropout || dropout->toDouble() != 0.0) refused_.emplace("attention with dropout");
        mark(opened(node));
      } else if (kind == "aten::softmax" || kind == "aten::_softmax") {
        const AttentionUses::Use use = uses_.of(node);
        if (use == AttentionUses::Use::applied) mark(node);
        if (use == AttentionUses::Use::changed) {
          refused_.emplace(
              "attention whose weights are changed before they are applied, as by talking heads, or applied "
              "more than once");
        }
      } else if ((kind.find("attention") != std::string_view::npos ||
                  kind.find("transformer_encoder_layer") != std::string_view::npos) &&
                 !bypassed(node)) {
        refused_.emplace(kind);
      }
    }
    if (weights_.empty() && refused_.empty()) {
      throw ModelError(
          "the model has no attention: neither a scaled_dot_product_attention nor a softmax whose result is "
          "a factor of a matrix product");
    }
    if (uses_.others(graph_)) refused_.emplace("a product of two values that is no attention by a softmax");
    for (std::size_t i = 1; i < weights_.size(); ++i) {
      if (!AttentionUses::follows(weights_[i], weights_[i - 1])) refused_.emplace("attention side by side");
    }
    if (!refused_.empty())
      throw ModelError(concat("the attention of the model cannot be read: it has ", listed(refused_)));
  }

 private:
  /// A fast path, which a scripted nn.MultiheadAttention takes where no gradient is recorded: takes the
  /// other.
  bool bypassed(torch::jit::Node* node) {
    torch::jit::Block* block = node->owningBlock();
    torch::jit::Node* branch = block->owningNode();
    if (!branch || branch->kind() != c10::prim::If) return false;
    const torch::jit::WithInsertPoint here(branch);
    branch->replaceInput(0, graph_.insertConstant(block != branch->blocks().at(0)));
    return true;
  }

  /// Takes an attention apart; gives what softmax is in it.
  torch::jit::Node* opened(torch::jit::Node* node) {
    const torch::jit::WithInsertPoint here(node);
    const auto inputs = node->inputs();
    const auto off = [&](std::size_t i) { return i >= inputs.size() || is_known(inputs[i], false); };
    c10::IValue known_scale;
    bool scale_is_known = inputs.size() <= 6;
    if (inputs.size() > 6) {
      const auto known = torch::jit::toIValue(inputs[6]);
      scale_is_known = known.has_value();
      if (known) known_scale = *known;
    }
    torch::jit::Value *weights = nullptr, *values = inputs[2];
    const bool simple = !is_a_tensor(inputs[3]) && off(5) && off(7) && scale_is_known;
    if (simple) {
      torch::jit::Value* scale = inputs.size() > 6 ? inputs[6] : nullptr;
      if (known_scale.isNone()) {
        torch::jit::Value* width = graph_.insert(c10::aten::size, {inputs[0], std::int64_t{-1}});
        scale = graph_.insert(c10::aten::div, {1.0, graph_.insert(c10::aten::sqrt, {width})});
      }
      torch::jit::Value* turned =
          graph_.insert(c10::aten::transpose, {inputs[1], std::int64_t{-2}, std::int64_t{-1}});
      torch::jit::Value* products = graph_.insert(c10::aten::matmul, {inputs[0], turned});
      uses_.add(products->node());
      torch::jit::Value* scores = graph_.insert(c10::aten::mul, {products, scale});
      weights = graph_.insert(c10::aten::softmax, {scores, std::int64_t{-1}, c10::IValue()});
    } else {
      const auto half = [&](bool of_values) {
        torch::jit::Node* made = graph_.create(half_of_attention(), inputs, 1);
        return graph_.insertNode(made->i_(values_half(), of_values ? 1 : 0))->output();
      };
      weights = half(false);
      values = half(true);
    }
    torch::jit::Value* result = graph_.insert(c10::aten::matmul, {weights, values});
    uses_.add(result->node());
    result->setType(node->output()->type());
    node->output()->replaceAllUsesWith(result);
    node->destroy();
    return weights->node();
  }

  void mark(torch::jit::Node* node) {
    for (const torch::jit::Block* block = node->owningBlock(); block->owningNode();
         block = block->owningNode()->owningBlock()) {
      if (block->owningNode()->kind() == c10::prim::Loop) refused_.emplace("attention in a loop");
    }
    const MarkedLayer layer{prefix_ + std::to_string(weights_.size()), std::string(attention_type)};
    weights_.push_back(node->output());
    mark_output(node->output(), node, layer, [](const torch::jit::Node*) {});
  }

  torch::jit::Graph& graph_;
  std::vector<torch::jit::Node*> nodes_;
  AttentionUses uses_;
  std::string prefix_ = "attention.";
  std::vector<const torch::jit::Value*> weights_;  ///< of the attentions, in the order of the program
  std::set<std::string> refused_;
};

/// See OpenAttention.
inline void open_attention(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object) {
  OpenAttention attention(*graph, object);
  attention();
}

}  // namespace salience::detail
