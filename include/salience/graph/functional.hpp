// Operators that work in place, as those that give a new tensor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/lower_tuples.h>
#include <torch/script.h>

#include <salience/graph/aliases.hpp>
#include <salience/graph/nodes.hpp>
#include <salience/graph/writes.hpp>
#include <salience/tensor/operator_kinds.hpp>

namespace salience::detail {

/// Whether this node writes into its first input and gives it.
inline bool is_in_place(const torch::jit::Node* node) {
  const std::string_view kind = kind_of(node);
  return node->outputs().size() == 1 && !node->inputs().empty() && kind.starts_with("aten::") &&
         kind != out_of_place(kind);
}

/// The node that gives what this one writes, in a new tensor, put before it; nullptr where LibTorch has none.
inline torch::jit::Node* functional_form(torch::jit::Node* node) {
  torch::jit::Graph& graph = *node->owningGraph();
  const auto symbol = c10::Symbol::fromQualString(std::string(out_of_place(kind_of(node))));
  torch::jit::Node* form = graph.create(symbol, node->inputs(), 1);
  form->copyMetadata(node);
  form->output()->setType(node->output()->type());
  form->insertBefore(node);
  if (form->maybeOperator()) return form;
  form->destroy();
  return nullptr;
}

/// What a node reads and gives that is written over once it has run.
struct Overwritten {
  std::vector<std::size_t> inputs{};
  bool output = false;

  Overwritten(const torch::jit::Node* node, const Aliases& aliases)
      : output(aliases.written_after(node, node->output(0))) {
    for (std::size_t i = 0; i < node->inputs().size(); ++i) {
      const torch::jit::Value* input = node->input(i);
      if (input->type()->kind() == c10::TypeKind::TensorType && aliases.written_after(node, input))
        inputs.push_back(i);
    }
  }

  /// A rule looks at its values when the gradient comes back: gives `node` copies of these inputs, and who
  /// reads its output a copy, which is returned; without one the output.
  torch::jit::Value* kept(torch::jit::Node* node) const {
    torch::jit::Graph& graph = *node->owningGraph();
    const torch::jit::WithInsertPoint before(node);
    for (const std::size_t i : inputs)
      node->replaceInput(i, graph.insert(c10::aten::clone, {node->input(i)}));
    if (!output) return node->output(0);
    const torch::jit::WithInsertPoint after(node->next());
    torch::jit::Value* copy = graph.insert(c10::aten::clone, {node->output(0)});
    node->output(0)->replaceAllUsesAfterNodeWith(copy->node(), copy);
    return copy;
  }
};

/// Brings a graph into the form in which rules are put: no tuple between an operator and its readers, no
/// dead operators.
inline void tidy_for_rules(std::shared_ptr<torch::jit::Graph>& graph) {
  torch::jit::LowerSimpleTuples(graph);
  const WritesHeld held(graph);
  torch::jit::EliminateDeadCode(graph);
}

/// Makes all operators that work in place give a new tensor. Where nothing else reads the memory afterwards,
/// that is all; elsewhere the new tensor is copied into it. So what is left to write is `aten::copy_` and
/// what has no other form (fill_, zero_).
class Functional {
 public:
  Functional(torch::jit::Graph& graph, const torch::jit::Module& object)
      : graph_(graph), aliases_(graph, object), nodes_(nodes_of(graph)) {}

  void operator()() {
    std::vector<torch::jit::Node*> writers;
    for (torch::jit::Node* node : nodes_) {
      if (is_in_place(node) && kind_of(node) != "aten::copy_") writers.push_back(node);
    }
    std::vector<bool> alone;
    alone.reserve(writers.size());
    for (torch::jit::Node* node : writers) alone.push_back(is_read_by_nobody_else(node));
    for (std::size_t i = 0; i < writers.size(); ++i) replace(writers[i], alone[i]);
  }

 private:
  void replace(torch::jit::Node* node, bool alone) const {
    torch::jit::Node* form = functional_form(node);
    if (!form) return;
    torch::jit::Value* result = form->output();
    if (!alone) {
      const torch::jit::WithInsertPoint before(form);
      form->replaceInput(0, graph_.insert(c10::aten::clone, {node->input(0)}));  // who kept it keeps the old
      const torch::jit::WithInsertPoint behind(node);
      result = graph_.insert(c10::Symbol::fromQualString("aten::copy_"), {node->input(0), result, false});
      result->setType(node->output()->type());
    }
    node->output()->replaceAllUsesWith(result);
    node->destroy();
  }

  /// Whether after this node its memory is read through its output alone.
  bool is_read_by_nobody_else(const torch::jit::Node* node) const {
    const torch::jit::Value* written = node->input(0);
    if (written->node()->owningBlock() != node->owningBlock()) return false;
    const auto is_other_name = [&](const torch::jit::Value* value) {
      if (value == node->output() || !aliases_.share(value, written)) return false;
      const torch::jit::Node* made = value->node();
      if (made->kind() == c10::prim::Param || made->kind() == c10::prim::GetAttr ||
          made->kind() == c10::prim::Constant)
        return true;
      if (may_follow(made, node)) return false;  // it comes from a name that is looked at itself
      return std::any_of(value->uses().begin(), value->uses().end(), [node](const torch::jit::Use& use) {
        return use.user != node && may_follow(use.user, node);
      });
    };
    for (const torch::jit::Value* input : graph_.inputs()) {
      if (is_other_name(input)) return false;
    }
    for (const torch::jit::Node* other : nodes_) {
      for (const torch::jit::Value* output : other->outputs()) {
        if (is_other_name(output)) return false;
      }
      for (const torch::jit::Block* block : other->blocks()) {
        for (const torch::jit::Value* input : block->inputs()) {
          if (is_other_name(input)) return false;
        }
      }
    }
    return true;
  }

  torch::jit::Graph& graph_;
  const Aliases aliases_;
  const std::vector<torch::jit::Node*> nodes_;
};

}  // namespace salience::detail
