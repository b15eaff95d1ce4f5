// Marks the outputs of layers in a graph that was made of an exported program.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/marks.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Which node belongs to which calls of layers, and from that what the layers give.
///
/// An exported program has no calls left. Each of its nodes says in which calls it stood, from the outside
/// in: "L__self__layer1.0,layer1.0,torchvision.models.resnet.BasicBlock;...". The second call of a layer has
/// the key "L__self__layer1.0@1" and the same path. What a call gives is what its nodes give to others.
class ExportedLayers {
 public:
  /// Says that all nodes that come now stood in these calls; an empty text changes nothing.
  void enter(std::string_view stack) {
    if (stack.find(',') == std::string_view::npos || stack.starts_with("_empty")) return;
    now_.clear();
    while (!stack.empty()) {
      const std::string_view entry = stack.substr(0, stack.find(';'));
      stack.remove_prefix(std::min(stack.size(), entry.size() + 1));
      const std::size_t first = entry.find(','), last = entry.rfind(',');
      if (first >= last) continue;
      const std::string_view path = without_root(entry.substr(first + 1, last - first - 1));
      if (path.empty()) continue;  // the model itself
      // Each node keeps its calls, so a long list would be kept by all that follow.
      if (now_.size() == 64) throw ModelError("the program nests layers beyond reason");
      const std::string_view type = entry.substr(last + 1);
      const auto [call, is_new] = numbers_.try_emplace(std::string(entry.substr(0, first)), calls_.size());
      if (is_new) {
        calls_.push_back({std::string(path), std::string(type.substr(type.rfind('.') + 1)), now_.size(), {}});
      }
      if (std::find(now_.begin(), now_.end(), call->second) == now_.end()) now_.push_back(call->second);
    }
  }

  /// A node that was added in an inner graph stays where it is.
  void add(torch::jit::Node* node) {
    if (!stacks_.contains(node)) place(node, now_);
  }

  /// The calls that nodes stand in now, and back to them after a sub-graph.
  const std::vector<std::size_t>& now() const noexcept { return now_; }
  void back_to(std::vector<std::size_t> calls) { now_ = std::move(calls); }

  /// Says that a node stands where another stood.
  void replace(const torch::jit::Node* node, torch::jit::Node* by) { place(by, around(node)); }

  /// Marks what the calls give, the inner ones first. Nodes that were added and are gone must be forgotten.
  void mark() {
    std::vector<std::size_t> order(calls_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [this](std::size_t a, std::size_t b) { return calls_[a].depth > calls_[b].depth; });
    for (const std::size_t call : order) mark(call);
  }

  /// Leaves out nodes that are not in the graph any more.
  void keep(const std::vector<torch::jit::Node*>& alive) {
    std::unordered_map<const torch::jit::Node*, std::vector<std::size_t>> known;
    for (Call& call : calls_) call.nodes.clear();
    known.swap(stacks_);
    for (torch::jit::Node* node : alive) {
      if (const auto stack = known.find(node); stack != known.end()) place(node, stack->second);
    }
  }

 private:
  /// A strict export names the model itself in the branches of a cond.
  static std::string_view without_root(std::string_view path) {
    constexpr std::string_view root = "_export_root";
    if (!path.starts_with(root) || (path.size() > root.size() && path[root.size()] != '.')) return path;
    path.remove_prefix(std::min(path.size(), root.size() + 1));
    return path;
  }

  struct Call {
    std::string path, type;
    std::size_t depth;
    std::vector<torch::jit::Node*> nodes;
  };

  void place(torch::jit::Node* node, std::vector<std::size_t> stack) {
    for (const std::size_t call : stack) calls_[call].nodes.push_back(node);
    stacks_[node] = std::move(stack);
  }

  /// The calls around a node; those of what is around it where it was not added itself.
  const std::vector<std::size_t>& around(const torch::jit::Node* node) const {
    static const std::vector<std::size_t> none;
    for (; node; node = node->owningBlock()->owningNode()) {
      if (const auto stack = stacks_.find(node); stack != stacks_.end()) return stack->second;
    }
    return none;
  }

  bool is_inside(const torch::jit::Node* node, std::size_t call) const {
    const auto& stack = around(node);
    return std::find(stack.begin(), stack.end(), call) != stack.end();
  }

  /// Whether a value leaves the call: a size that is asked for elsewhere is not the value.
  bool leaves(const torch::jit::Value* value, std::size_t call) const {
    return std::any_of(value->uses().begin(), value->uses().end(), [&](const torch::jit::Use& use) {
      const auto outputs = use.user->outputs();
      const bool asks =
          !outputs.empty() && std::all_of(outputs.begin(), outputs.end(), [](const auto* output) {
            return output->type()->isSubtypeOf(*c10::NumberType::get()) ||
                   output->type() == c10::BoolType::get();
          });
      const bool is_mark = use.user->kind() == c10::prim::Print;
      return !asks && !is_mark && !is_inside(use.user, call);
    });
  }

  static bool writes(const torch::jit::Node* node) {
    const std::string_view kind = kind_of(node);
    return kind.ends_with('_') && !kind.ends_with("__");
  }

  void mark(std::size_t call) {
    const std::vector<torch::jit::Node*> nodes = calls_[call].nodes;
    std::vector<torch::jit::Value*> outputs;
    torch::jit::Node* end = nullptr;
    const auto reaches = [&end](torch::jit::Node* node) {
      if (!end || (end->owningBlock() == node->owningBlock() && end->isBefore(node))) end = node;
    };
    for (torch::jit::Node* node : nodes) {
      if (node->kind() == c10::prim::GetAttr || node->kind() == c10::prim::Constant) continue;
      for (torch::jit::Value* output : node->outputs()) {
        if (output->type()->kind() != c10::TypeKind::TensorType || !leaves(output, call)) continue;
        outputs.push_back(output);
        reaches(node);
      }
    }
    const auto elsewhere = [&](const torch::jit::Value* output) {
      return output->node()->owningBlock() != end->owningBlock();
    };
    if (!end || std::any_of(outputs.begin(), outputs.end(), elsewhere)) return;
    for (torch::jit::Node* node : nodes) {
      if (node->owningBlock() == end->owningBlock() && writes(node)) reaches(node);
    }
    const MarkedLayer layer{calls_[call].path, calls_[call].type};
    // What is put in stands in the calls around this one.
    std::vector<std::size_t> outer = around(outputs.front()->node());
    outer.erase(std::find(outer.begin(), outer.end(), call), outer.end());
    const auto outside = [this, &outer](torch::jit::Node* made) { place(made, outer); };
    mark_inputs(call, end->owningBlock(), layer, outside);
    if (outputs.size() == 1) return mark_output(outputs.front(), end, layer, outside);
    std::vector<torch::jit::Value*> named;
    named.reserve(outputs.size());
    torch::jit::Node* last = end;
    for (torch::jit::Value* output : outputs) named.push_back(renamed(output, last, layer, outside));
    for (std::size_t i = 0; i < outputs.size(); ++i) outputs[i]->replaceAllUsesAfterNodeWith(last, named[i]);
    torch::jit::Node* tuple = last->owningGraph()->createTuple(named)->insertAfter(last);
    outside(tuple);
    put_mark(tuple->output(), tuple, layer, outside);
  }

  /// Whether a value is a part of the model.
  static bool is_held(const torch::jit::Value* value) {
    const torch::jit::Node* node = value->node();
    return node->kind() == c10::prim::GetAttr || node->kind() == c10::prim::Constant;
  }

  /// Whether a node that follows `place` may read a value.
  static bool is_there(const torch::jit::Value* value, const torch::jit::Node* place) {
    const torch::jit::Node* maker = value->node();
    const torch::jit::Block* block = place->owningBlock();
    if (maker->owningBlock() == block) {
      return maker->kind() == c10::prim::Param || maker == place || maker->isBefore(place);
    }
    while (block && block != maker->owningBlock()) {
      block = block->owningNode() ? block->owningNode()->owningBlock() : nullptr;
    }
    return block;
  }

  /// Marks the tensors that a call takes from outside, in the order in which its nodes read them.
  template <class Made>
  void mark_inputs(std::size_t call, const torch::jit::Block* block, const MarkedLayer& layer,
                   const Made& made) {
    std::map<torch::jit::Value*, torch::jit::Value*> known;  // by what it was
    std::vector<torch::jit::Node*> nodes = calls_[call].nodes;
    std::sort(nodes.begin(), nodes.end(),
              [](const auto* a, const auto* b) { return a != b && a->isBefore(b); });
    const auto first = std::find_if(nodes.begin(), nodes.end(),
                                    [block](const auto* node) { return node->owningBlock() == block; });
    if (first == nodes.end()) return;
    torch::jit::Node* const before = (*first)->prev();
    std::int64_t position = 0;
    for (torch::jit::Node* node : nodes) {
      for (std::size_t i = 0; i < node->inputs().size(); ++i) {
        torch::jit::Value* value = node->input(i);
        if (value->type()->kind() != c10::TypeKind::TensorType || is_held(value)) continue;
        if (const auto seen = known.find(value); seen != known.end()) {
          node->replaceInput(i, seen->second);
          continue;
        }
        if (!is_there(value, before) || is_inside(value->node(), call)) continue;
        torch::jit::Value* named = mark_input(value, before, layer, position++, made);
        known[value] = named;
        node->replaceInput(i, named);
      }
    }
  }

  std::vector<std::size_t> now_;
  std::vector<Call> calls_;
  std::map<std::string, std::size_t> numbers_;
  std::unordered_map<const torch::jit::Node*, std::vector<std::size_t>> stacks_;
};

}  // namespace salience::detail
