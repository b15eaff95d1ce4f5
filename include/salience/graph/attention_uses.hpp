// Which softmax of a graph is attention, as its weights are used.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/graph/conversions.hpp>
#include <salience/graph/dependence.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Follows what softmaxes give to the matrix products in which it is a factor, and finds products of two
/// values that depend on the input which are no part of an attention.
class AttentionUses {
 public:
  /// What becomes of what a softmax gives: no factor of such a product; the left factor of one, as it is;
  /// anything else.
  enum class Use { elsewhere, applied, changed };

  AttentionUses(torch::jit::Graph& graph, const torch::jit::Module& object)
      : depends_(graph, object, graph.inputs().at(1)) {}

  Use of(const torch::jit::Node* softmax) {
    struct Reached {
      const torch::jit::Value* value;
      bool changed;
      std::size_t place;  ///< in a list
    };
    std::vector<Reached> open{{softmax->output(), false, 0}};
    std::set<std::tuple<const torch::jit::Value*, bool, std::size_t>> seen;
    std::set<const torch::jit::Node*> appliers;
    bool changed = false;
    while (!open.empty()) {
      const Reached here = open.back();
      open.pop_back();
      if (!seen.emplace(here.value, here.changed, here.place).second) continue;
      for (const torch::jit::Use& use : here.value->uses()) {
        const torch::jit::Node* user = use.user;
        if (user->kind() == c10::prim::Print || ignores_contents(user)) continue;
        const bool list = user->kind() == c10::prim::ListConstruct;
        if (user->kind() == c10::prim::Return) {
          const torch::jit::Node* around = user->owningBlock()->owningNode();
          if (around && around->kind() == c10::prim::If)
            open.push_back({around->outputs()[use.offset], here.changed, 0});
        } else if (multiplies(user) && joins(user)) {
          appliers.insert(user);
          changed = changed || here.changed || !weighs(user, use.offset, here.place);
        } else if (list || !joins(user)) {  // with another value it becomes a gate, and is no weight any more
          const bool same = list || user->kind() == c10::prim::If || keeps_rows(user);
          for (const torch::jit::Value* output : user->outputs()) {
            if (holds_tensors(output->type()))
              open.push_back({output, here.changed || !same, list ? use.offset : 0});
          }
        }
      }
    }
    if (appliers.empty()) return Use::elsewhere;
    if (changed || appliers.size() > 1 || depends_.aliases().written_after(softmax, softmax->output()))
      return Use::changed;
    parts_.insert(*appliers.begin());
    find_scores(softmax->input(0));
    return Use::applied;
  }

  /// Of a product that was made of an attention in one operator.
  void add(const torch::jit::Node* product) { parts_.insert(product); }

  /// Whether there is a product of two values that depend on the input and are neither queries and keys nor
  /// weights and values.
  bool others(torch::jit::Graph& graph) const {
    const std::vector<torch::jit::Node*> nodes = nodes_of(graph);
    return std::any_of(nodes.begin(), nodes.end(), [this](const torch::jit::Node* node) {
      return multiplies(node) && joins(node) && !parts_.contains(node);
    });
  }

  /// Whether a value depends on another one.
  static bool follows(const torch::jit::Value* later, const torch::jit::Value* value) {
    std::vector<const torch::jit::Value*> open{value};
    std::unordered_set<const torch::jit::Value*> seen;
    while (!open.empty()) {
      const torch::jit::Value* here = open.back();
      open.pop_back();
      if (here == later) return true;
      if (!seen.insert(here).second) continue;
      for (const torch::jit::Use& use : here->uses()) {
        const torch::jit::Node* user = use.user;
        if (user->kind() == c10::prim::Return && user->owningBlock()->owningNode())
          user = user->owningBlock()->owningNode();
        open.insert(open.end(), user->outputs().begin(), user->outputs().end());
      }
    }
    return false;
  }

 private:
  static bool multiplies(const torch::jit::Node* node) {
    constexpr std::array<std::string_view, 4> products{"aten::matmul", "aten::bmm", "aten::einsum",
                                                       "aten::baddbmm"};
    return is_one_of(node, products);
  }

  /// Whether a node computes with a second tensor that depends on the input.
  bool joins(const torch::jit::Node* node) const {
    if (node->kind() == c10::prim::ListConstruct || node->kind() == c10::prim::If) return false;
    return count_operands(node, std::cref(depends_)) > 1;
  }

  /// Whether rows of weights stay what they are.
  static bool keeps_rows(const torch::jit::Node* node) {
    constexpr std::array<std::string_view, 24> kinds{
        "aten::view",      "aten::reshape",   "aten::_unsafe_view",   "aten::_reshape_alias",
        "aten::expand",    "aten::expand_as", "aten::flatten",        "aten::unflatten",
        "aten::unsqueeze", "aten::squeeze",   "aten::dropout",        "aten::feature_dropout",
        "aten::to",        "aten::_to_copy",  "aten::type_as",        "aten::float",
        "aten::half",      "aten::bfloat16",  "aten::double",         "aten::contiguous",
        "aten::alias",     "aten::clone",     "prim::unchecked_cast", "aten::_unwrap_optional"};
    return is_one_of(node, kinds);
  }

  /// Whether a product sums over the last dimension of that operand, and keeps the one before.
  static bool weighs(const torch::jit::Node* product, std::size_t operand, std::size_t place) {
    if (kind_of(product) != "aten::einsum") return operand == (kind_of(product) == "aten::baddbmm" ? 1U : 0U);
    const auto known = torch::jit::toIValue(product->input(0));
    if (!known || !known->isString()) return false;
    std::string equation = known->toStringRef();
    std::erase(equation, ' ');
    const std::size_t arrow = equation.find("->");
    if (arrow == std::string::npos) return false;
    const std::string output = equation.substr(arrow + 2);
    std::size_t begin = 0;
    for (; place > 0 && begin != std::string::npos; --place) begin = equation.find(',', begin) + 1;
    const std::string own = equation.substr(begin, std::min(equation.find(',', begin), arrow) - begin);
    return own.size() >= 2 && output.find(own.back()) == std::string::npos &&
           output.find(own[own.size() - 2]) != std::string::npos;
  }

  /// The products from which the input of a softmax comes.
  void find_scores(const torch::jit::Value* scores) {
    std::vector<const torch::jit::Value*> open{scores};
    std::unordered_set<const torch::jit::Value*> seen;
    while (!open.empty()) {
      const torch::jit::Value* here = open.back();
      open.pop_back();
      if (!depends_(here) || !seen.insert(here).second) continue;
      const torch::jit::Node* node = here->node();
      if (multiplies(node) && joins(node)) {
        parts_.insert(node);
        continue;
      }
      open.insert(open.end(), node->inputs().begin(), node->inputs().end());
      for (const torch::jit::Block* block : node->blocks())
        open.insert(open.end(), block->outputs().begin(), block->outputs().end());
    }
  }

  Dependence depends_;
  std::unordered_set<const torch::jit::Node*> parts_;  ///< products that belong to an attention
};

}  // namespace salience::detail
