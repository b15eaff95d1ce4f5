// What Prepare::fast does to a graph. For model/script_model.hpp alone.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/frozen_conv_folding.h>
#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/convolutions.hpp>
#include <salience/graph/in_place.hpp>
#include <salience/graph/script_front_end.hpp>
#include <salience/graph/simplify.hpp>
#include <salience/graph/state.hpp>

namespace salience::detail {

/// Whether a list of integers is known to hold nothing but ones.
inline bool all_ones(torch::jit::Value* list) {
  const auto is_one = [](const c10::IValue& value) { return value.isInt() && value.toInt() == 1; };
  if (const auto known = torch::jit::toIValue(list)) {
    const auto elements = known->toListRef();
    return std::all_of(elements.begin(), elements.end(), is_one);
  }
  const auto parts = list->node()->inputs();
  return list->node()->kind() == c10::prim::ListConstruct &&
         std::all_of(parts.begin(), parts.end(), [&is_one](torch::jit::Value* part) {
           const auto known = torch::jit::toIValue(part);
           return known && is_one(*known);
         });
}

/// Whether LibTorch would hand this convolution to a matrix product of its own when there is one thread.
inline bool is_pointwise(torch::jit::Node* convolution, const at::Tensor& weight) {
  const auto is_false = [](torch::jit::Value* flag) {
    const auto known = torch::jit::toIValue(flag);
    return known && known->isBool() && !known->toBool();
  };
  const bool traced = convolution->inputs().size() > 7;  // then `transposed` stands behind the dilation
  return weight.size(2) == 1 && weight.size(3) == 1 && weight.is_cpu() &&
         weight.scalar_type() == at::kFloat && all_ones(convolution->input(3)) &&
         all_ones(convolution->input(5)) && (!traced || is_false(convolution->input(6)));
}

/// Gives a 1x1 convolution a dilation of 2, which changes nothing in it but who computes it: for a dilated
/// one LibTorch asks oneDNN also with one thread, which is twice as fast, forward and backward. Inputs of up
/// to 20480 elements never go there; dilated they would meet a slow kernel.
inline void prefer_onednn(torch::jit::Graph& graph, torch::jit::Node* convolution) {
  torch::jit::Value* count =
      graph.insert(c10::Symbol::fromQualString("aten::numel"), {convolution->input(0)});
  torch::jit::Value* large = graph.insert(c10::aten::gt, {count, 20480});
  torch::jit::Value* more = graph.insert(c10::aten::Int, {large});
  torch::jit::Value* dilation = graph.insert(c10::aten::add, {more, 1});
  const auto list = graph.insertNode(graph.createList(c10::IntType::get(), {dilation, dilation}));
  convolution->replaceInput(5, list->output());
}

/// Whether each channel has a kernel of its own, which moves by more than a pixel, in bfloat16.
inline bool is_strided_depthwise(torch::jit::Node* convolution, const at::Tensor& weight) {
  return weight.size(1) == 1 && weight.size(0) > 1 && weight.is_cpu() &&
         weight.scalar_type() == at::kBFloat16 && !all_ones(convolution->input(3));
}

/// Computes a convolution in float32, and its gradient, between casts: for bfloat16 oneDNN's backward pass of
/// strided depthwise convolutions is 10 to 30 times as slow.
inline void widen(torch::jit::Graph& graph, torch::jit::Node* convolution) {
  const auto cast = [&graph](torch::jit::Value* value, at::ScalarType dtype) {
    return graph.insert(c10::aten::to, {value, static_cast<std::int64_t>(dtype), false, false});
  };
  for (const std::size_t i : {0U, 1U, 2U}) {
    torch::jit::Value* operand = convolution->input(i);
    const auto known = torch::jit::toIValue(operand);
    if (known && known->isNone()) continue;  // no bias
    convolution->replaceInput(
        i, known ? graph.insertConstant(known->toTensor().to(at::kFloat)) : cast(operand, at::kFloat));
  }
  const torch::jit::WithInsertPoint after(convolution->next());
  torch::jit::Value* narrow = cast(convolution->output(), at::kBFloat16);
  convolution->output()->replaceAllUsesAfterNodeWith(narrow->node(), narrow);
}

/// Whether this node gives its input or a view of it in one layout, and a copy in another.
inline bool is_perhaps_view(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 7> kinds{"aten::view",       "aten::view_as", "aten::reshape",
                                                  "aten::reshape_as", "aten::flatten", "aten::ravel",
                                                  "aten::contiguous"};
  if (is_one_of(node, kinds)) return true;
  if (std::string_view(node->kind().toQualString()) != "aten::to" || node->inputs().size() < 5) return false;
  const auto layout = torch::jit::toIValue(node->inputs().back());
  return !layout || !layout->isNone();
}

/// Whether this node cannot do without the layout that it meets: it reads strides, or takes its input's
/// memory for numbers of another type.
inline bool reads_layout(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 6> kinds{"aten::as_strided", "aten::as_strided_",
                                                  "aten::stride",     "aten::is_contiguous",
                                                  "aten::set_",       "aten::view_as_complex"};
  return is_one_of(node, kinds) || (std::string_view(node->kind().toQualString()) == "aten::view" &&
                                    node->input(1)->type()->kind() == c10::TypeKind::IntType);
}

/// Whether what the graph gives depends on how this node's input lies in memory: on its strides, or on
/// whether the result, to which something is written, is a view or a copy.
inline bool depends_on_layout(const torch::jit::Node* node, const Aliases& aliases) {
  return reads_layout(node) || (is_perhaps_view(node) && aliases.written_after(node, node->output()));
}

/// Convolution weights channels-last, and views as reshapes, since a channels-last tensor cannot be viewed
/// flat. False, and nothing done, if something depends on the layout.
inline bool make_channels_last(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& module) {
  const Aliases aliases(*graph, module);
  std::vector<torch::jit::Node*> views, convolutions;
  for (torch::jit::Node* node : nodes_of(*graph)) {
    if (depends_on_layout(node, aliases)) return false;
    const std::string_view kind = node->kind().toQualString();
    const bool by_size = kind == "aten::view" && node->inputs().size() == 2 &&
                         node->input(1)->type()->kind() == c10::TypeKind::ListType;
    if (by_size) views.push_back(node);
    if (kind == "aten::conv2d" || kind == "aten::_convolution") convolutions.push_back(node);
  }
  for (torch::jit::Node* view : views) {
    const torch::jit::WithInsertPoint before(view);
    torch::jit::Value* reshaped = graph->insert(c10::aten::reshape, {view->input(0), view->input(1)});
    view->output()->replaceAllUsesWith(reshaped);
  }
  for (torch::jit::Node* node : convolutions) {
    const auto weight = torch::jit::toIValue(node->input(1));
    if (!weight || !weight->isTensor() || weight->toTensor().dim() != 4) continue;
    const torch::jit::WithInsertPoint before(node);
    node->replaceInput(1,
                       graph->insertConstant(weight->toTensor().contiguous(at::MemoryFormat::ChannelsLast)));
    if (is_pointwise(node, weight->toTensor())) prefer_onednn(*graph, node);
    if (is_strided_depthwise(node, weight->toTensor())) widen(*graph, node);
  }
  torch::jit::EliminateDeadCode(graph);
  return true;
}

/// Keeps LibTorch's pass from folding a BatchNorm that runs in a loop into a convolution that runs before it:
/// what the BatchNorm gives is new each time, the convolution's output is not.
inline void keep_apart_in_loops(torch::jit::Graph& graph) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (std::string_view(node->kind().toQualString()) != "aten::batch_norm") continue;
    if (!is_convolution(node->input(0)->node()) || runs_once_for(node, node->input(0))) continue;
    const torch::jit::WithInsertPoint before(node);
    node->replaceInput(0, graph.insert(c10::aten::alias, {node->input(0)}));
  }
}

/// Whether no BatchNorm uses the batch's own statistics. LibTorch's pass does not look.
inline bool has_fixed_statistics(torch::jit::Graph& graph) {
  const auto nodes = nodes_of(graph);
  return std::all_of(nodes.begin(), nodes.end(), [](const torch::jit::Node* node) {
    return std::string_view(node->kind().toQualString()) != "aten::batch_norm" ||
           is_known(node->input(5), false);
  });
}

/// Rewrites a private graph for speed: what is read from the module becomes constant, what follows from
/// constants is computed, BatchNorm in evaluation mode is folded into the convolution before it. Gives
/// whether the graph wants channels-last pictures. A graph that writes to what it reads from the module is
/// left alone.
inline bool fold(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& module) {
  if (!written_attributes(*graph, module).empty()) return false;
  make_constant(*graph, module, [](const c10::IValue&) { return true; });
  const WritesHeld held(graph);
  torch::jit::EliminateDeadCode(graph);
  torch::jit::ConstantPropagation(graph);
  torch::jit::EliminateDeadCode(graph);
  keep_apart_in_loops(*graph);
  if (has_fixed_statistics(*graph)) torch::jit::FoldFrozenConvBatchnorm(graph);
  torch::jit::EliminateDeadCode(graph);
  return make_channels_last(graph, module);
}

}  // namespace salience::detail
