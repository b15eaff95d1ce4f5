// The convolutions of a graph, and which of them may be the last.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <torch/script.h>

#include <salience/graph/nodes.hpp>
#include <salience/tensor/channel_place.hpp>

namespace salience::detail {

inline bool is_convolution(const torch::jit::Node* node) { return is_convolution(kind_of(node)); }

/// All convolutions in the order of the program.
inline std::vector<torch::jit::Node*> convolutions_of(torch::jit::Graph& graph) {
  std::vector<torch::jit::Node*> nodes = nodes_of(graph);
  std::erase_if(nodes, [](const torch::jit::Node* node) { return !is_convolution(node); });
  return nodes;
}

/// A convolution that may be the last one of a forward pass.
struct LastCandidate {
  torch::jit::Node* node;
  std::int64_t depth;  ///< how many convolutions the longest way from the input to it goes through
};

/// Follows the data from the input through a graph.
///
/// Which convolution is the last is said by last_convolution (tensor/last_convolution_rule.hpp). The graph
/// gives the depths; what a branch or loop may skip, and what stands behind a pooling to one position, is
/// only known when the model runs: such convolutions are candidates beside the first one that is sure.
class LastConvolutionSearch {
 public:
  explicit LastConvolutionSearch(torch::jit::Graph& graph) {
    for (std::size_t i = 1; i < graph.inputs().size(); ++i) flows_[graph.inputs()[i]] = {.data = true};
    walk(graph.block(), /*sure=*/true);
  }

  std::vector<LastCandidate> candidates() const {
    std::vector<Found> found(found_.rbegin(), found_.rend());  // of equal ones the last in the program
    std::stable_sort(found.begin(), found.end(),
                     [](const Found& a, const Found& b) { return a.depth > b.depth; });
    const auto sure = std::find_if(found.begin(), found.end(), [](const Found& one) { return one.sure; });
    std::vector<LastCandidate> result;
    for (auto one = found.begin(); one != (sure == found.end() ? sure : std::next(sure)); ++one) {
      result.push_back({one->node, one->depth});
    }
    return result;
  }

 private:
  struct Flow {
    bool data = false;    ///< depends on the model's input
    bool pooled = false;  ///< has one position only
    std::int64_t depth = 0;

    Flow& operator|=(const Flow& other) {
      if (!other.data) return *this;
      pooled = other.pooled && (pooled || !data);
      data = true;
      depth = std::max(depth, other.depth);
      return *this;
    }
  };
  struct Found {
    torch::jit::Node* node;
    std::int64_t depth;
    bool sure;
  };

  Flow of(torch::jit::ArrayRef<torch::jit::Value*> values) const {
    Flow flow;
    for (const torch::jit::Value* value : values) {
      if (const auto known = flows_.find(value); known != flows_.end()) flow |= known->second;
    }
    return flow;
  }

  /// Sizes and flags are no data: a reshape to the size of something else does not depend on it.
  void give(const torch::jit::Value* value, const Flow& flow) {
    const c10::TypePtr& type = value->type();
    const bool list_of_numbers = type->kind() == c10::TypeKind::ListType &&
                                 type->containedType(0)->isSubtypeOf(*c10::NumberType::get());
    if (list_of_numbers || type->isSubtypeOf(*c10::NumberType::get()) || type == c10::BoolType::get()) return;
    flows_[value] |= flow;
  }

  void walk(torch::jit::Block* block, bool sure) {
    for (torch::jit::Node* node : block->nodes()) {
      if (node->kind() == c10::prim::If) {
        for (torch::jit::Block* branch : node->blocks()) {
          walk(branch, false);
          for (std::size_t i = 0; i < node->outputs().size(); ++i) {
            give(node->outputs()[i], of(branch->outputs()[i]));
          }
        }
      } else if (node->kind() == c10::prim::Loop) {
        walk_loop(node);
      } else {
        visit(node, sure);
      }
    }
  }

  /// Two rounds: in the second, what the body gives has come back to its beginning.
  void walk_loop(torch::jit::Node* loop) {
    torch::jit::Block* body = loop->blocks().at(0);
    const std::size_t before = found_.size();
    for (std::size_t i = 2; i < loop->inputs().size(); ++i)
      give(body->inputs()[i - 1], of(loop->inputs()[i]));
    for (int round = 0; round < 2; ++round) {
      found_.resize(before);
      walk(body, false);
      for (std::size_t i = 1; i < body->outputs().size(); ++i)
        give(body->inputs()[i], of(body->outputs()[i]));
    }
    for (std::size_t i = 0; i < loop->outputs().size(); ++i) {
      give(loop->outputs()[i], of(loop->inputs()[i + 2]));
      give(loop->outputs()[i], of(body->outputs()[i + 1]));
    }
  }

  void visit(torch::jit::Node* node, bool sure) {
    constexpr std::array<std::string_view, 5> to_one_position{
        "aten::adaptive_avg_pool2d", "aten::adaptive_max_pool2d", "aten::mean", "aten::amax", "aten::sum"};
    Flow flow = of(node->inputs());
    if (is_convolution(node)) {
      ++flow.depth;
      found_.push_back({node, flow.depth, sure && !flow.pooled});
    }
    flow.pooled = flow.pooled || is_one_of(node, to_one_position);
    for (const torch::jit::Value* output : node->outputs()) give(output, flow);
    const std::string_view kind = kind_of(node);
    // What is written into, a list or a tensor, holds from here on what was written.
    const bool writes = kind == "aten::append" || kind == "aten::_set_item" ||
                        (kind.starts_with("aten::") && kind.ends_with('_'));
    if (writes) give(node->input(0), flow);
  }

  std::unordered_map<const torch::jit::Value*, Flow> flows_;
  std::vector<Found> found_;
};

}  // namespace salience::detail
