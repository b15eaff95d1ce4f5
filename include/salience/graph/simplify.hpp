// What is done to every private graph, prepared or not. For model/script_model.hpp alone.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/autocast.h>
#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/peephole.h>
#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/script_front_end.hpp>

namespace salience::detail {

/// The names of the attributes that the graph assigns to.
inline std::set<std::string> assigned(torch::jit::Graph& graph) {
  std::set<std::string> names;
  for (const torch::jit::Node* node : nodes_of(graph)) {
    if (node->kind() == c10::prim::SetAttr) names.insert(node->s(c10::attr::name));
  }
  return names;
}

/// Turns what is read from the module and never assigned to into constants, where `wanted` says so.
template <class Wanted>
void make_constant(torch::jit::Graph& graph, const torch::jit::Module& module, const Wanted& wanted) {
  const std::set<std::string> names = assigned(graph);
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (node->kind() != c10::prim::GetAttr || names.contains(node->s(c10::attr::name))) continue;
    const auto value = attribute_of(node->output(), graph, module);
    if (!value || value->isObject() || !wanted(*value)) continue;
    const torch::jit::WithInsertPoint before(node);
    if (const auto constant = torch::jit::tryInsertConstant(graph, *value)) {
      node->output()->replaceAllUsesWith(*constant);
    }
  }
}

inline bool is_number(const c10::IValue& value) {
  return value.isBool() || value.isInt() || value.isDouble();
}

constexpr std::array<std::string_view, 8> dropouts{"aten::dropout",
                                                   "aten::dropout_",
                                                   "aten::feature_dropout",
                                                   "aten::feature_dropout_",
                                                   "aten::alpha_dropout",
                                                   "aten::alpha_dropout_",
                                                   "aten::feature_alpha_dropout",
                                                   "aten::feature_alpha_dropout_"};

/// Whether a dropout is known to drop nothing.
inline bool drops_nothing(const torch::jit::Node* dropout) {
  const auto share = torch::jit::toIValue(dropout->input(1));
  return is_known(dropout->input(2), false) || (share && share->isDouble() && share->toDouble() == 0.0);
}

/// Outside of training a dropout gives its input, the very same tensor.
inline void remove_dropout(torch::jit::Graph& graph) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    if (!is_one_of(node, dropouts) || !drops_nothing(node)) continue;
    node->output()->replaceAllUsesWith(node->input(0));
    node->destroy();
  }
}

/// As long as it lives, LibTorch's passes take no write for dead. They ask who else may read what is written,
/// and believe the schemas (see Aliases); nor do they see that a list holds it. So everything that writes is
/// followed by a `prim::Print`, which no pass removes.
class WritesHeld {
 public:
  explicit WritesHeld(std::shared_ptr<torch::jit::Graph>& graph) : graph_(graph) {
    for (torch::jit::Node* node : nodes_of(*graph)) {
      if (!writes(node)) continue;
      torch::jit::Node* held = graph->create(c10::prim::Print, 0);
      held->i_(mark(), 1)->insertAfter(node)->addInput(node->outputs().empty() ? node->input(0)
                                                                               : node->output(0));
    }
  }
  WritesHeld(const WritesHeld&) = delete;
  WritesHeld& operator=(const WritesHeld&) = delete;
  ~WritesHeld() {
    for (torch::jit::Node* node : nodes_of(*graph_)) {
      if (node->hasAttribute(mark())) node->destroy();
    }
  }

 private:
  static c10::Symbol mark() { return c10::Symbol::attr("salience_held"); }

  static bool writes(const torch::jit::Node* node) {
    const c10::FunctionSchema* schema = node->maybeSchema();
    return schema &&
           std::any_of(schema->arguments().begin(), schema->arguments().end(), [](const auto& argument) {
             return argument.alias_info() && argument.alias_info()->isWrite();
           });
  }

  std::shared_ptr<torch::jit::Graph>& graph_;
};

/// Takes the marks out, and what was only alive through them.
inline void remove_marks(std::shared_ptr<torch::jit::Graph>& graph) {
  bool kept_alive = false;
  for (torch::jit::Node* mark : marks_of(*graph)) {
    const torch::jit::Value* value = mark->input(0);
    mark->destroy();
    kept_alive = kept_alive || value->uses().empty();
  }
  for (torch::jit::Node* node : nodes_of(*graph)) {
    if (!Mark::is_alias(node)) continue;
    node->output()->replaceAllUsesWith(node->input());
    node->destroy();
  }
  if (!kept_alive) return;
  const WritesHeld held(graph);
  torch::jit::EliminateDeadCode(graph);
}

/// A constant that is written to is written anew in each run.
inline void copy_written_constants(torch::jit::Graph& graph, const torch::jit::Module& module) {
  std::vector<torch::jit::Node*> constants = nodes_of(graph);
  std::erase_if(constants, [](const torch::jit::Node* node) {
    return node->kind() != c10::prim::Constant ||
           node->output()->type()->kind() != c10::TypeKind::TensorType ||
           !torch::jit::toIValue(node->output());
  });
  if (constants.empty()) return;
  const Aliases aliases(graph, module);
  std::erase_if(constants,
                [&](const torch::jit::Node* node) { return aliases.writers(node->output()).empty(); });
  for (torch::jit::Node* constant : constants) {
    constant->moveAfter(graph.block()->param_node());
    const torch::jit::WithInsertPoint after(constant->next());
    torch::jit::Value* copy = graph.insert(c10::aten::clone, {constant->output()});
    constant->output()->replaceAllUsesAfterNodeWith(copy->node(), copy);
  }
}

/// LibTorch's forward pass of `_upsample_..._aa` is wrong for a channels-last picture one pixel wide (2.13):
/// it gets its rows dense.
inline void lay_rows_for_antialiasing(torch::jit::Graph& graph) {
  for (torch::jit::Node* node : nodes_of(graph)) {
    const std::string_view kind = node->kind().toQualString();
    if (!kind.starts_with("aten::_upsample_") || !kind.ends_with("_aa")) continue;
    const torch::jit::WithInsertPoint before(node);
    node->replaceInput(0, graph.insert(c10::Symbol::fromQualString("aten::contiguous"), {node->input(0)}));
  }
}

/// Brings a graph whose calls are inlined into the form in which it runs: the model's own autocast becomes
/// casts, numbers and flags that are read from the module become constants, and branches that cannot be
/// taken, tests for None and constants that are there twice go.
inline void simplify(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& module) {
  make_constant(*graph, module, is_number);
  remove_dropout(*graph);
  copy_written_constants(*graph, module);
  const WritesHeld held(graph);
  const auto propagate = [&graph] {
    torch::jit::PeepholeOptimize(graph, /*disable_shape_peepholes=*/true);
    torch::jit::ConstantPropagationImmutableTypes(graph);
  };
  propagate();  // the next pass wants an autocast's device as a constant
  torch::jit::Autocast(graph);
  propagate();
  torch::jit::ConstantPooling(graph);
  lay_rows_for_antialiasing(*graph);
}

}  // namespace salience::detail
