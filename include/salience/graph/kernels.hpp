// Ways around single kernels of LibTorch that are wrong or slow.
//
// Each says which versions need it, and what tells when it can go: a test for a wrong kernel, a line of
// `bash benchmarks/run.sh kernels` for a slow one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>
#include <torch/version.h>

#include <salience/graph/convolutions.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Gives `aten::_upsample_..._aa` (antialiased interpolation) an input whose rows are dense.
///
/// LibTorch 1.13 is right; 2.13 and 2.14, the newest that was tried, are wrong: their forward pass takes a
/// channels-last picture one pixel wide for a contiguous one. tests/script/kernels_test.cpp fails on a
/// LibTorch 2 that is right.
inline void lay_rows_for_antialiasing(torch::jit::Graph& graph) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    const std::string_view kind = kind_of(node);
    if (!kind.starts_with("aten::_upsample_") || !kind.ends_with("_aa")) continue;
    const torch::jit::WithInsertPoint before(node);
    node->replaceInput(0, graph.insert(c10::Symbol::fromQualString("aten::contiguous"), {node->input(0)}));
  }
}

/// The constant weight of a two-dimensional convolution on the processor in this type; nothing if the node is
/// another one.
inline std::optional<at::Tensor> weight_on_cpu(const torch::jit::Node* node, at::ScalarType dtype) {
  constexpr std::array<std::string_view, 2> kinds{"aten::conv2d", "aten::_convolution"};
  if (!is_one_of(node, kinds)) return std::nullopt;
  const auto known = torch::jit::toIValue(node->input(1));
  if (!known || !known->isTensor()) return std::nullopt;
  const at::Tensor weight = known->toTensor();
  if (weight.dim() != 4 || !weight.is_cpu() || weight.scalar_type() != dtype) return std::nullopt;
  return weight;
}

/// Whether LibTorch would hand this convolution to a matrix product of its own when there is one thread.
inline bool is_pointwise(const torch::jit::Node* convolution) {
  const auto weight = weight_on_cpu(convolution, at::kFloat);
  if (!weight || weight->size(2) != 1 || weight->size(3) != 1) return false;
  const bool traced = convolution->inputs().size() > 7;  // then `transposed` stands behind the dilation
  return all_ones(convolution->input(3)) && all_ones(convolution->input(5)) &&
         (!traced || is_known(convolution->input(6), false));
}

/// Gives 1x1 convolutions a dilation of 2, which changes nothing in them but who computes them: for a dilated
/// one LibTorch asks oneDNN also with one thread and fewer than 16 samples, which is twice as fast, forward
/// and backward. Inputs of up to 20480 elements never go there; dilated they would meet a slow kernel.
///
/// For LibTorch 1.13 to 2.13, the newest that was tried. benchmarks/kernels prints what it gains.
inline void prefer_onednn(torch::jit::Graph& graph) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (!is_pointwise(node)) continue;
    const torch::jit::WithInsertPoint before(node);
    torch::jit::Value* count = graph.insert(c10::Symbol::fromQualString("aten::numel"), {node->input(0)});
    torch::jit::Value* large = graph.insert(c10::aten::gt, {count, 20480});
    torch::jit::Value* more = graph.insert(c10::aten::Int, {large});
    torch::jit::Value* dilation = graph.insert(c10::aten::add, {more, 1});
    const auto list = graph.insertNode(graph.createList(c10::IntType::get(), {dilation, dilation}));
    node->replaceInput(5, list->output());
  }
}

/// Computes convolutions in bfloat16 that have a kernel for each channel and move by more than a pixel in
/// float32, and their gradients, between casts: oneDNN's backward pass of such a one is up to 30 times as
/// slow in bfloat16.
///
/// For LibTorch 2, up to 2.13, the newest that was tried; 1.13 computes them without oneDNN, which is faster.
/// benchmarks/kernels prints what it gains.
inline void widen_depthwise([[maybe_unused]] torch::jit::Graph& graph) {
#if TORCH_VERSION_MAJOR >= 2
  const auto cast = [&graph](torch::jit::Value* value, at::ScalarType dtype) {
    return graph.insert(c10::aten::to, {value, static_cast<std::int64_t>(dtype), false, false});
  };
  for (torch::jit::Node* node : nodes_of(graph)) {
    const auto weight = weight_on_cpu(node, at::kBFloat16);
    if (!weight || weight->size(1) != 1 || weight->size(0) == 1 || all_ones(node->input(3))) continue;
    const torch::jit::WithInsertPoint before(node);
    for (const std::size_t i : {0U, 1U, 2U}) {
      torch::jit::Value* operand = node->input(i);
      const auto known = torch::jit::toIValue(operand);
      if (known && known->isNone()) continue;  // no bias
      node->replaceInput(
          i, known ? graph.insertConstant(known->toTensor().to(at::kFloat)) : cast(operand, at::kFloat));
    }
    const torch::jit::WithInsertPoint after(node->next());
    torch::jit::Value* narrow = cast(node->output(), at::kBFloat16);
    node->output()->replaceAllUsesAfterNodeWith(narrow->node(), narrow);
  }
#endif
}

}  // namespace salience::detail
