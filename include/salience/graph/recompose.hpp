// Puts together again what Python's run_decompositions() takes apart.
#pragma once

#include <limits>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Whether this value is that number, of whichever type.
inline bool is_the_number(const torch::jit::Value* value, double number) {
  const auto known = torch::jit::toIValue(value);
  return known && known->isScalar() && !known->isComplexDouble() && known->toScalar().toDouble() == number;
}

inline bool is_a_number(const torch::jit::Value* value) {
  const auto known = torch::jit::toIValue(value);
  return known && known->isScalar();
}

inline bool is_none(const torch::jit::Value* value) {
  const auto known = torch::jit::toIValue(value);
  return known && known->isNone();
}

/// Whether this is the lower bound of min(max(x + 3, 0), 6), which decompositions make of a hard sigmoid and
/// a hard swish: in two steps, the lower bound first.
inline bool is_hard_ramp(const torch::jit::Node* lower) {
  if (kind_of(lower) != "aten::clamp" || !is_the_number(lower->input(1), 0) || !is_none(lower->input(2)))
    return false;
  const torch::jit::Node* sum = lower->input(0)->node();
  if (kind_of(sum) != "aten::add" || !is_the_number(sum->input(1), 3) || !is_the_number(sum->input(2), 1))
    return false;
  const auto& uses = lower->output()->uses();
  return uses.size() == 1 && kind_of(uses[0].user) == "aten::clamp" && is_none(uses[0].user->input(1)) &&
         is_the_number(uses[0].user->input(2), 6);
}

/// Replaces convolutions, BatchNorm in evaluation mode and thresholds in their core ATen form by the
/// operators that the model called, for which passes and backward rules look. They compute the same bits.
/// `replaced(node, by)` is told of each. What is not needed any more stays, unused.
///
/// Hard sigmoids and hard swishes stay in pieces, since LibTorch's own operators round 1/6 to float32. Their
/// clamp at 0 is no rectifier of the model's: its bound becomes the number next to 0, by which a backward
/// rule knows.
template <class Replaced>
void recompose(torch::jit::Graph& graph, const Replaced& replaced) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    const torch::jit::WithInsertPoint before(node);
    const auto replace = [&](const char* kind, const std::vector<torch::jit::Value*>& inputs) {
      torch::jit::Node* by = graph.insertNode(graph.create(c10::Symbol::fromQualString(kind), inputs, 1));
      by->output()->setType(c10::TensorType::get());
      node->outputs()[0]->replaceAllUsesWith(by->output());
      replaced(node, by);
    };
    const std::string_view kind = kind_of(node);
    const auto in = [node](std::size_t i) { return node->input(i); };
    if (kind == "aten::convolution") {
      std::vector<torch::jit::Value*> inputs = node->inputs().vec();
      for (const bool flag :
           {false, false, true, true}) {  // benchmark, deterministic, cuDNN, TF32: the defaults
        inputs.push_back(graph.insertConstant(flag));
      }
      replace("aten::_convolution", inputs);
    } else if (kind == "aten::_native_batch_norm_legit_no_training") {
      replace("aten::batch_norm", {in(0), in(1), in(2), in(3), in(4), graph.insertConstant(false), in(5),
                                   in(6), graph.insertConstant(true)});
    } else if (kind == "aten::copy" && node->inputs().size() == 3) {  // which has no derivative
      torch::jit::Value* source = graph.insert(c10::aten::type_as, {in(1), in(0)});
      replace("aten::clone", {graph.insert(c10::aten::expand_as, {source, in(0)}), graph.insertConstant({})});
    } else if (is_hard_ramp(node)) {
      node->replaceInput(1, graph.insertConstant(-std::numeric_limits<double>::denorm_min()));
    } else if (kind == "aten::where" && node->inputs().size() == 3) {
      torch::jit::Node *compared = in(0)->node(), *value = in(1)->node();
      const bool below = kind_of(compared) == "aten::le" && compared->input(0) == in(2) &&
                         kind_of(value) == "aten::scalar_tensor" && is_a_number(compared->input(1));
      if (below) replace("aten::threshold", {in(2), compared->input(1), value->input(0)});
    }
  }
}

}  // namespace salience::detail
