// Pictures and weights with their channels last in memory.
#pragma once

#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Whether this node gives its input or a view of it in one layout, and a copy in another.
inline bool is_perhaps_view(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 7> kinds{"aten::view",       "aten::view_as", "aten::reshape",
                                                  "aten::reshape_as", "aten::flatten", "aten::ravel",
                                                  "aten::contiguous"};
  if (is_one_of(node, kinds)) return true;
  if (kind_of(node) != "aten::to" || node->inputs().size() < 5) return false;
  const auto layout = torch::jit::toIValue(node->inputs().back());
  return !layout || !layout->isNone();
}

/// Whether this node cannot do without the layout that it meets: it reads strides, or takes its input's
/// memory for numbers of another type.
inline bool reads_layout(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 6> kinds{"aten::as_strided", "aten::as_strided_",
                                                  "aten::stride",     "aten::is_contiguous",
                                                  "aten::set_",       "aten::view_as_complex"};
  return is_one_of(node, kinds) ||
         (kind_of(node) == "aten::view" && node->input(1)->type()->kind() == c10::TypeKind::IntType);
}

/// Whether what the graph gives depends on how this node's input lies in memory: on its strides, or on
/// whether the result, to which something is written, is a view or a copy.
inline bool depends_on_layout(const torch::jit::Node* node, const Aliases& aliases) {
  return reads_layout(node) || (is_perhaps_view(node) && aliases.written_after(node, node->output()));
}

/// Makes a view by sizes a reshape, which takes any layout, where nothing is written through it later.
inline void reshape_views(torch::jit::Graph& graph, const Aliases& aliases) {
  for (torch::jit::Node* view : nodes_of(graph)) {
    const bool by_size = kind_of(view) == "aten::view" && view->inputs().size() == 2 &&
                         view->input(1)->type()->kind() == c10::TypeKind::ListType;
    if (!by_size || aliases.written_after(view, view->output())) continue;
    const torch::jit::WithInsertPoint before(view);
    torch::jit::Value* reshaped = graph.insert(c10::aten::reshape, {view->input(0), view->input(1)});
    view->output()->replaceAllUsesWith(reshaped);
    view->destroy();
  }
}

/// Convolution weights channels-last, and views as reshapes, since a channels-last tensor cannot be viewed
/// flat. False, and nothing done, if something depends on the layout.
inline bool make_channels_last(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& object) {
  const Aliases aliases(*graph, object);
  std::vector<torch::jit::Node*> convolutions;
  for (torch::jit::Node* node : nodes_of(*graph)) {
    if (depends_on_layout(node, aliases)) return false;
    const std::string_view kind = kind_of(node);
    if (kind == "aten::conv2d" || kind == "aten::_convolution") convolutions.push_back(node);
  }
  reshape_views(*graph, aliases);
  for (torch::jit::Node* node : convolutions) {
    const auto weight = torch::jit::toIValue(node->input(1));
    if (!weight || !weight->isTensor() || weight->toTensor().dim() != 4) continue;
    const torch::jit::WithInsertPoint before(node);
    node->replaceInput(1,
                       graph->insertConstant(weight->toTensor().contiguous(at::MemoryFormat::ChannelsLast)));
  }
  return true;
}

}  // namespace salience::detail
