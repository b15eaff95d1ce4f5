// Where the channels of the layers of a graph are, and whether its last convolution is its first.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <c10/util/Exception.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/channel_search.hpp>
#include <salience/graph/convolutions.hpp>
#include <salience/graph/layers.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/tensor/channel_place.hpp>
#include <salience/tensor/layer.hpp>
#include <salience/tensor/operator_kinds.hpp>

namespace salience::detail {

/// What is known of the channels of a graph's layers before it runs.
class LayerChannels {
 public:
  LayerChannels(torch::jit::Graph& marked, const torch::jit::Module& object) {
    const ChannelSearch search(marked, object);
    const std::vector<torch::jit::Node*> convolutions = convolutions_of(marked);
    for (std::size_t i = 0; i < convolutions.size(); ++i) {
      const ChannelPlace place = search.of(convolutions[i]->output());
      places_[convolution_name(i)].push_back(place);
      places_[""].push_back(place);
    }
    for (const LayerNode& layer : layer_nodes(marked)) {
      places_[layer.path].push_back(search.of(layer.output));
    }
    warn_of_tokens(marked, search);
  }

  /// Where the channels of these layers are, whose outputs are given too.
  std::vector<ChannelAxis> of(std::span<const std::string> names, std::span<const at::Tensor> outputs) const {
    std::vector<ChannelAxis> result;
    for (std::size_t i = 0; i < names.size(); ++i) {
      ChannelPlace place;
      if (const auto known = places_.find(names[i]); known != places_.end()) {
        for (ChannelPlace use : known->second) {  // those uses that this can be
          if (use.rank > 0 && use.rank != outputs[i].dim()) continue;
          use.rank = outputs[i].dim();
          place = either(place, use.with(use.channel, 0));
        }
      }
      result.push_back(axis_of(place));
    }
    return result;
  }

  /// Tells who takes the last convolution for the last layer where it is the first, before token layers.
  void warn(std::span<const std::string> names) const {
    if (!warning_.empty() && std::find(names.begin(), names.end(), "") != names.end()) {
      TORCH_WARN(warning_);
    }
  }

 private:
  static bool is_tokens(const ChannelPlace& place) {
    return place.is_last() && (place.rank == 0 || place.rank > 2);
  }

  /// Whether a value is a softmax, through what changes its shape alone.
  static bool is_softmax(const torch::jit::Value* value) {
    constexpr std::array<std::string_view, 6> through{"aten::dropout", "aten::to",      "aten::view",
                                                      "aten::reshape", "aten::type_as", "aten::expand"};
    while (is_identity(value->node()) || is_one_of(value->node(), through)) value = value->node()->input(0);
    return kind_of(value->node()) == "aten::softmax";
  }

  void warn_of_tokens(torch::jit::Graph& marked, const ChannelSearch& search) {
    const auto candidates = LastConvolutionSearch(marked).candidates();
    if (candidates.empty() || candidates.front().depth != 1) return;
    bool after = false, tokens = false;
    for (const torch::jit::Node* node : nodes_of(marked)) {
      after = after || node == candidates.front().node;
      if (!after) continue;
      const std::string_view kind = kind_of(node);
      tokens = tokens || is_attention(kind) ||
               (is_last_norm(kind) && is_tokens(search.of(node->output(0)))) ||
               (is_product(kind) && is_softmax(node->input(0)));
    }
    if (!tokens) return;
    const std::string layer = layer_of_tokens(marked, search);
    warning_ = concat(
        "Salience: the last convolution is also the first one, as the patch embedding of a vision "
        "transformer "
        "is, so the map shows little of what the model does; name a layer of tokens",
        layer.empty() ? "" : concat(", such as '", layer, "'"));
  }

  /// The last block but one of those that give tokens, empty if there is none: of the last one only the class
  /// token may count.
  static std::string layer_of_tokens(torch::jit::Graph& marked, const ChannelSearch& search) {
    constexpr std::array<std::string_view, 3> containers{"Sequential", "ModuleList", "ModuleDict"};
    std::vector<LayerNode> layers = layer_nodes(marked);
    const std::vector<LayerNode> all = layers;
    std::erase_if(layers, [&](const LayerNode& layer) {
      const bool block = std::any_of(all.begin(), all.end(), [&layer](const LayerNode& other) {
        return is_inside(other.path, layer.path);
      });
      const bool same = std::any_of(all.begin(), all.end(), [&layer](const LayerNode& other) {
        return other.type == layer.type && other.path != layer.path;
      });
      return !block || !same || contains(containers, layer.type) || !is_tokens(search.of(layer.output));
    });
    const std::vector<LayerNode> blocks = layers;
    std::erase_if(layers, [&blocks](const LayerNode& layer) {
      return std::any_of(blocks.begin(), blocks.end(),
                         [&layer](const LayerNode& other) { return is_inside(layer.path, other.path); });
    });
    std::map<std::string, std::ptrdiff_t> counts;  // by type; the most frequent one is the model's block
    for (const LayerNode& layer : layers) ++counts[layer.type];
    std::string type;
    for (const LayerNode& layer : layers) {
      if (type.empty() || counts[layer.type] > counts[type]) type = layer.type;
    }
    std::erase_if(layers, [&type](const LayerNode& layer) { return layer.type != type; });
    return layers.size() < 2 ? "" : layers[layers.size() - 2].path;
  }

  std::map<std::string, std::vector<ChannelPlace>, std::less<>> places_;  ///< by name, of every use
  std::string warning_;
};

}  // namespace salience::detail
