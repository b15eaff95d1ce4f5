// Follows the channels through a graph.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <torch/script.h>

#include <salience/graph/known_values.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/tensor/channel_place.hpp>
#include <salience/tensor/operator_kinds.hpp>

namespace salience::detail {

/// Follows the channels through a graph: from convolutions, which give them in the second dimension, and
/// linear layers, which give them in the last, through whatever moves or keeps them. Where branches do not
/// agree, or an operator is not known, neither is the place.
class ChannelSearch {
 public:
  ChannelSearch(torch::jit::Graph& graph, const torch::jit::Module& object) : known_(graph, object) {
    for (std::size_t i = 1; i < graph.inputs().size(); ++i) places_[graph.inputs()[i]] = {.data = true};
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
      return at(i) ? search.known_.number(at(i)) : std::nullopt;
    }
    std::optional<bool> flag(std::size_t i) const {
      const auto known = at(i) ? search.known_.constant(at(i)) : std::nullopt;
      return known && known->isBool() ? std::optional(known->toBool()) : std::nullopt;
    }
    std::optional<std::vector<std::int64_t>> integers(std::size_t i) const {
      if (!at(i)) return std::nullopt;
      if (const auto known = search.known_.constant(at(i)); known && known->isIntList())
        return known->toIntVector();
      if (at(i)->node()->kind() != c10::prim::ListConstruct) return std::nullopt;
      std::vector<std::int64_t> result;
      for (const torch::jit::Value* element : at(i)->node()->inputs()) {
        const auto known = search.known_.number(element);
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
        const auto asked = search.known_.size_of(at(i)->node()->inputs()[static_cast<std::size_t>(position)]);
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
      const auto weight = at(1) ? search.known_.constant(behind_identities(at(1))) : std::nullopt;
      if (!weight || !weight->isTensor() || weight->toTensor().dim() < 2) return 0;
      const at::Tensor& tensor = weight->toTensor();
      if (kind_of(node) == "aten::linear") return tensor.size(0);
      if (!detail::is_convolution(kind_of(node))) return tensor.size(-1);  // a matrix product
      const bool transposed = kind_of(node).find("transpose") != std::string_view::npos ||
                              (node->inputs().size() > 8 && flag(6) != false);
      return transposed ? 0 : tensor.size(0);
    }
  };

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
        const auto taken = known_.truth(node->input());
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
    const auto taken = known_.truth(node->input());
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

  KnownValues known_;
  std::unordered_map<const torch::jit::Value*, ChannelPlace> places_;
  bool changed_ = false, loops_ = false;
};

}  // namespace salience::detail
