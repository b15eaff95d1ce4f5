// A graph that also computes everything at a baseline.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include <torch/script.h>

#include <salience/graph/conversions.hpp>
#include <salience/graph/dependence.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Beside each operator that depends on the explained input stands a second one, which does the same with
/// what a baseline gave. Both go through the same branches, those of the input. So it is right wherever the
/// program has its samples, and for a program of a fixed batch.
class Twin {
 public:
  /// What is done with an operator of one or more tensors that depend on the input, once its twin stands
  /// before it. It may replace the node, and then tells so by replaced().
  using Treat = std::function<void(torch::jit::Node* node, torch::jit::Node* twin)>;

  /// `baseline` is the value that is to `input` what every twin is to its operator.
  Twin(torch::jit::Graph& graph, const torch::jit::Module& object, torch::jit::Value* input,
       torch::jit::Value* baseline)
      : graph_(graph), depends_(graph, object, input) {
    if (!aliases().writers(input).empty()) {  // what the model writes into its input goes into a copy
      const torch::jit::WithInsertPoint first(*graph.nodes().begin());
      baseline = graph.insert(c10::aten::clone, {baseline});
    }
    twins_.emplace(input, baseline);
  }

  /// Builds it. The graph then gives one more, last, the twin of its first output.
  void operator()(const Treat& treat) {
    treat_ = &treat;
    walk(graph_.block());
    graph_.registerOutput(of(graph_.outputs().at(0)));
  }

  const Aliases& aliases() const noexcept { return depends_.aliases(); }

  /// Whether this value has a twin, which is to say that it depends on the input.
  bool has(const torch::jit::Value* value) const { return twins_.contains(value); }

  /// Whether that input of a node, if it has so many, does.
  bool changes(const torch::jit::Node* node, std::size_t i) const {
    return i < node->inputs().size() && has(node->input(i));
  }
  /// How many of the tensors that a node reads do.
  std::size_t changing(const torch::jit::Node* node) const {
    return count_operands(node, [this](const torch::jit::Value* operand) { return has(operand); });
  }

  /// What stands beside it: of what does not depend on the input, itself.
  torch::jit::Value* of(torch::jit::Value* value) const {
    const auto twin = twins_.find(value);
    return twin == twins_.end() ? value : twin->second;
  }

  /// Tells that `value` stands in the place of another one, whose twin it takes over.
  void replaced(const torch::jit::Value* value, torch::jit::Value* twin) { twins_[value] = twin; }
  /// The same of a copy, into which is written what would be written into the other.
  void copied(const torch::jit::Value* copy, const torch::jit::Value* of, torch::jit::Value* twin) {
    twins_[copy] = twin;
    depends_.add(copy, of);
  }

 private:
  void walk(torch::jit::Block* block) {
    const std::vector<torch::jit::Node*> nodes(block->nodes().begin(), block->nodes().end());
    for (torch::jit::Node* node : nodes) {
      if (node->kind() == c10::prim::If) {
        branch(node);
      } else if (node->kind() == c10::prim::Loop) {
        loop(node);
      } else if (is_doubled(node)) {
        torch::jit::Node* twin =
            graph_.createClone(node, [this](torch::jit::Value* value) { return of(value); });
        twin->insertBefore(node);
        for (std::size_t i = 0; i < node->outputs().size(); ++i) {
          if (holds_tensors(node->outputs()[i]->type())) twins_[node->outputs()[i]] = twin->outputs()[i];
        }
        (*treat_)(node, twin);
      }
    }
  }

  bool is_doubled(const torch::jit::Node* node) const {
    if (node->kind() == c10::prim::GetAttr || node->kind() == c10::prim::Constant) return false;
    const auto has_twin = [this](const torch::jit::Value* value) { return has(value); };
    const bool reads = std::any_of(node->inputs().begin(), node->inputs().end(), has_twin);
    if (reads && !ignores_contents(node)) return true;
    // What a tensor that depends on the input is written into later.
    return std::any_of(node->outputs().begin(), node->outputs().end(), std::cref(depends_));
  }

  void branch(torch::jit::Node* node) {
    for (torch::jit::Block* block : node->blocks()) walk(block);
    const std::size_t count = node->outputs().size();
    for (std::size_t i = 0; i < count; ++i) {
      torch::jit::Value* output = node->outputs()[i];
      if (!depends_(output)) continue;
      for (torch::jit::Block* block : node->blocks()) block->registerOutput(of(block->outputs()[i]));
      twins_[output] = node->addOutput()->setType(output->type());
    }
  }

  void loop(torch::jit::Node* node) {
    torch::jit::Block* body = node->blocks().at(0);
    std::vector<std::size_t> carried;
    const std::size_t count = node->outputs().size();
    for (std::size_t i = 0; i < count; ++i) {
      if (!depends_(node->outputs()[i])) continue;
      carried.push_back(i);
      node->addInput(of(node->inputs()[i + 2]));
      torch::jit::Value* inside = body->inputs()[i + 1];
      twins_[inside] = body->addInput()->setType(inside->type());
    }
    walk(body);
    for (const std::size_t i : carried) {
      body->registerOutput(of(body->outputs()[i + 1]));
      twins_[node->outputs()[i]] = node->addOutput()->setType(node->outputs()[i]->type());
    }
  }

  torch::jit::Graph& graph_;
  Dependence depends_;
  const Treat* treat_ = nullptr;
  std::unordered_map<const torch::jit::Value*, torch::jit::Value*> twins_;
};

}  // namespace salience::detail
