// Where the channels of the layers of a graph are, and whether its last convolution is its first. For
// model/script_model.hpp alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/convolutions.hpp>
#include <salience/graph/layers.hpp>
#include <salience/graph/script_front_end.hpp>
#include <salience/tensor/channel_place.hpp>
#include <salience/tensor/layer.hpp>

namespace salience::detail {

inline std::string_view kind_of(const torch::jit::Node* node) { return node->kind().toQualString(); }

/// Nodes that give their (first) input as it is.
inline bool is_identity(const torch::jit::Node* node) {
  constexpr std::array<std::string_view, 4> kinds{"salience::layer", "aten::alias", "prim::unchecked_cast",
                                                  "aten::_unwrap_optional"};
  return is_one_of(node, kinds);
}

inline const torch::jit::Value* behind_identities(const torch::jit::Value* value) {
  while (is_identity(value->node())) value = value->node()->input(0);
  return value;
}

/// Follows the channels through a graph: from convolutions, which give them in the second dimension, and
/// linear layers, which give them in the last, through whatever moves or keeps them. Where branches do not
/// agree, or an operator is not known, neither is the place.
class ChannelSearch {
 public:
  ChannelSearch(torch::jit::Graph& graph, const torch::jit::Module& module) : graph_(graph), module_(module) {
    for (std::size_t i = 1; i < graph.inputs().size(); ++i) places_[graph.inputs()[i]] = {.data = true};
    for (const torch::jit::Node* node : nodes_of(graph)) {
      if (node->kind() == c10::prim::SetAttr) assigned_.insert(node->s(c10::attr::name));
    }
    // Loops bring what their bodies give back to their beginning. A place only ever becomes less known.
    do {
      changed_ = false;
      walk(graph.block());
    } while (changed_ && loops_);
  }

  /// What is known of a tensor, or of all tensors of a list.
  ChannelPlace of(const torch::jit::Value* value) const {
    const auto known = places_.find(value);
    return known == places_.end() ? ChannelPlace{} : known->second;
  }

 private:
  /// A node's arguments, as channels_after asks for them.
  struct Arguments {
    const ChannelSearch& search;
    const torch::jit::Node* node;

    const torch::jit::Value* at(std::size_t i) const {
      return i < node->inputs().size() ? node->inputs()[i] : nullptr;
    }
    ChannelPlace place(std::size_t i) const { return at(i) ? search.of(at(i)) : ChannelPlace{}; }
    ChannelPlace all() const {
      ChannelPlace result;
      for (const torch::jit::Value* input : node->inputs()) result = both(result, search.of(input));
      return result;
    }
    std::optional<std::int64_t> integer(std::size_t i) const {
      return at(i) ? search.number(at(i)) : std::nullopt;
    }
    std::optional<bool> flag(std::size_t i) const {
      const auto known = at(i) ? search.constant(at(i)) : std::nullopt;
      return known && known->isBool() ? std::optional(known->toBool()) : std::nullopt;
    }
    std::optional<std::vector<std::int64_t>> integers(std::size_t i) const {
      if (!at(i)) return std::nullopt;
      if (const auto known = search.constant(at(i)); known && known->isIntList()) return known->toIntVector();
      if (at(i)->node()->kind() != c10::prim::ListConstruct) return std::nullopt;
      std::vector<std::int64_t> result;
      for (const torch::jit::Value* element : at(i)->node()->inputs()) {
        const auto known = search.number(element);
        if (!known) return std::nullopt;
        result.push_back(*known);
      }
      return result;
    }
    std::int64_t length(std::size_t i) const {
      if (const auto known = integers(i)) return std::ssize(*known);
      const bool list = at(i) && at(i)->node()->kind() == c10::prim::ListConstruct;
      return list ? static_cast<std::int64_t>(at(i)->node()->inputs().size()) : 0;
    }
    bool keeps(std::size_t i, std::int64_t dimension, std::int64_t position) const {
      const ChannelPlace place = this->place(0);
      const bool channels = place.channel == dimension;
      std::optional<std::int64_t> wanted;
      if (const auto known = integers(i)) {
        wanted = known->at(static_cast<std::size_t>(position));
      } else {
        const auto asked = search.size_of(at(i)->node()->inputs()[static_cast<std::size_t>(position)]);
        if (asked.number) {
          wanted = asked.number;
        } else if (asked.tensor) {
          const ChannelPlace other = search.of(asked.tensor);
          const auto where = other.counted(asked.dimension);
          if (asked.tensor == behind_identities(at(0)) && where == dimension) return true;
          // The batch has the same size everywhere.
          if (dimension == 0 && where == 0 && other.data) return true;
          if (channels && other.channel && where == other.channel && other.count > 0) wanted = other.count;
        }
      }
      return channels && wanted && place.count > 0 && *wanted == place.count;
    }
    std::int64_t spatial() const {
      const std::int64_t named = spatial_of(kind_of(node));
      return named > 0 ? named : length(3);  // that of the stride
    }
    std::int64_t channels() const {
      const auto weight = at(1) ? search.constant(behind_identities(at(1))) : std::nullopt;
      if (!weight || !weight->isTensor() || weight->toTensor().dim() < 2) return 0;
      const at::Tensor& tensor = weight->toTensor();
      if (kind_of(node) == "aten::linear") return tensor.size(0);
      if (!detail::is_convolution(kind_of(node))) return tensor.size(-1);  // a matrix product
      const bool transposed = kind_of(node).find("transpose") != std::string_view::npos ||
                              (node->inputs().size() > 8 && flag(6) != false);
      return transposed ? 0 : tensor.size(0);
    }
  };

  /// A size that the program asks for, or a number that it has.
  struct Size {
    std::optional<std::int64_t> number{};
    const torch::jit::Value* tensor = nullptr;
    std::int64_t dimension = 0;
  };

  std::optional<c10::IValue> constant(const torch::jit::Value* value) const {
    if (auto known = torch::jit::toIValue(value)) return known;
    return attribute_of(value, graph_, module_);
  }

  std::optional<std::int64_t> number(const torch::jit::Value* value) const { return size_of(value).number; }

  /// A trace has a tensor made of each size.
  Size size_of(const torch::jit::Value* value) const {
    if (const auto known = constant(value)) {
      if (known->isInt()) return {known->toInt()};
      if (known->isTensor() && known->toTensor().dim() == 0 && known->toTensor().scalar_type() == at::kLong) {
        return {known->toTensor().item<std::int64_t>()};
      }
      return {};
    }
    constexpr std::array<std::string_view, 4> same{"prim::NumToTensor", "aten::Int", "aten::ScalarImplicit",
                                                   "aten::IntImplicit"};
    const torch::jit::Node* node = value->node();
    if (is_one_of(node, same)) return size_of(node->input(0));
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

  /// Whether a condition holds, if that can be known: most are flags of modules.
  std::optional<bool> truth(const torch::jit::Value* value) const {
    const torch::jit::Node* node = value->node();
    if (node->kind() == c10::prim::GetAttr && assigned_.contains(node->s(c10::attr::name))) {
      return std::nullopt;
    }
    if (const auto known = constant(value)) {
      return known->isBool() ? std::optional(known->toBool()) : std::nullopt;
    }
    if (kind_of(node) == "aten::__not__") {
      const auto other = truth(node->input());
      return other ? std::optional(!*other) : std::nullopt;
    }
    if (node->kind() != c10::prim::If) return std::nullopt;  // or "and", "or"
    const auto taken = truth(node->input());
    return taken ? truth(node->blocks().at(*taken ? 0 : 1)->outputs()[value->offset()]) : std::nullopt;
  }

  static bool holds_tensors(const torch::jit::Value* value) {
    c10::TypePtr type = value->type();
    if (const auto optional = type->cast<c10::OptionalType>()) type = optional->getElementType();
    if (type->kind() == c10::TypeKind::ListType) type = type->containedType(0);
    return type->kind() == c10::TypeKind::TensorType;
  }

  void give(const torch::jit::Value* value, const ChannelPlace& place) {
    if (!place.data || !holds_tensors(value)) return;
    ChannelPlace& known = places_[value];
    const ChannelPlace joined = either(known, place);
    changed_ = changed_ || !(joined == known);
    known = joined;
  }

  void walk(torch::jit::Block* block) {
    for (torch::jit::Node* node : block->nodes()) {
      if (node->kind() == c10::prim::If) {
        const auto taken = truth(node->input());
        for (torch::jit::Block* branch : node->blocks()) {
          if (taken && branch != node->blocks().at(*taken ? 0 : 1)) continue;
          walk(branch);
          for (std::size_t i = 0; i < node->outputs().size(); ++i) {
            give(node->outputs()[i], of(branch->outputs()[i]));
          }
        }
      } else if (node->kind() == c10::prim::Loop) {
        walk_loop(node);
      } else {
        visit(node);
      }
    }
  }

  void walk_loop(torch::jit::Node* loop) {
    loops_ = true;
    torch::jit::Block* body = loop->blocks().at(0);
    for (std::size_t i = 2; i < loop->inputs().size(); ++i) {
      give(body->inputs()[i - 1], of(loop->inputs()[i]));
      give(loop->outputs()[i - 2], of(loop->inputs()[i]));
    }
    walk(body);
    for (std::size_t i = 1; i < body->outputs().size(); ++i) {
      give(body->inputs()[i], of(body->outputs()[i]));
      give(loop->outputs()[i - 1], of(body->outputs()[i]));
    }
  }

  void visit(torch::jit::Node* node) {
    const Arguments in{*this, node};
    const std::string_view kind = kind_of(node);
    if (is_identity(node) || kind == "aten::__getitem__" || kind == "prim::ListUnpack") {
      for (const torch::jit::Value* output : node->outputs()) give(output, in.place(0));
    } else if (kind == "prim::ListConstruct") {
      give(node->output(), in.all());
    } else if (kind == "aten::append") {
      give(node->input(0), both(of(node->input(0)), in.place(1)));
      give(node->output(), in.all());
    } else if (kind == "prim::TupleUnpack") {
      for (std::size_t i = 0; i < node->outputs().size(); ++i) {
        give(node->outputs()[i], element(node->input(), i));
      }
    } else if (kind == "prim::ConstantChunk") {
      const ChannelPlace place = in.place(0);
      const bool channels = place.counted(node->i(c10::attr::dim)) == place.channel;
      for (const torch::jit::Value* output : node->outputs()) {
        give(output, place.with(place.channel, channels ? 0 : place.count));
      }
    } else if (kind != "prim::Uninitialized") {
      const ChannelPlace place = channels_after(kind, in);
      for (std::size_t i = 0; i < node->outputs().size(); ++i) {
        give(node->outputs()[i], i == 0 ? place : ChannelPlace{.data = place.data});
      }
      move_in_place(node, kind, place);
    }
  }

  /// What is known of a tuple's element.
  ChannelPlace element(const torch::jit::Value* tuple, std::size_t i) const {
    tuple = behind_identities(tuple);
    torch::jit::Node* node = const_cast<torch::jit::Node*>(tuple->node());  // only to see its blocks
    if (node->kind() == c10::prim::TupleConstruct) return of(node->inputs()[i]);
    if (node->kind() == c10::prim::Uninitialized) return {};
    if (node->kind() != c10::prim::If) return {.data = true};
    ChannelPlace result;
    const auto taken = truth(node->input());
    for (std::size_t branch = 0; branch < 2; ++branch) {
      if (taken && branch != (*taken ? 0U : 1U)) continue;
      result = either(result, element(node->blocks().at(branch)->outputs()[tuple->offset()], i));
    }
    return result;
  }

  /// What moves dimensions in place moves those of its input.
  void move_in_place(torch::jit::Node* node, std::string_view kind, const ChannelPlace& place) {
    if (out_of_place(kind) == kind || node->inputs().empty()) return;
    const torch::jit::Value* input = node->input(0);
    if (place == of(input)) return;
    for (; is_identity(input->node()); input = input->node()->input(0)) give(input, {.data = true});
    give(input, {.data = true});
  }

  torch::jit::Graph& graph_;
  const torch::jit::Module& module_;
  std::unordered_map<const torch::jit::Value*, ChannelPlace> places_;
  std::set<std::string> assigned_;  ///< attributes that the program changes
  bool changed_ = false, loops_ = false;
};

/// What is known of the layers of a graph before it runs.
class LayerLayouts {
 public:
  LayerLayouts() = default;
  LayerLayouts(torch::jit::Graph& marked, const torch::jit::Module& module) {
    const ChannelSearch search(marked, module);
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
