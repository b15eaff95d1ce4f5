// From a torch::jit::Module to a graph with marks at its layers.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/arguments.hpp>
#include <salience/graph/marked_graph.hpp>
#include <salience/graph/model_file.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/graph/script_inliner.hpp>
#include <salience/graph/simplify.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience::detail {

/// The arguments of forward, behind the object.
inline std::vector<GraphArgument> arguments_of(const torch::jit::Method& forward) {
  std::vector<GraphArgument> arguments;
  const auto& all = forward.function().getSchema().arguments();
  for (std::size_t i = 1; i < all.size(); ++i) {
    arguments.push_back({all[i].name(), all[i].type()});
    // LibTorch 1.13 has an optional of its own, of which an IValue could be made.
    if (all[i].default_value()) arguments.back().value = *all[i].default_value();
  }
  return arguments;
}

/// A copy of forward's graph with its inputs chosen, all calls inlined, its layers marked, its tensor
/// constants placed, and simplified.
inline MarkedGraph forward_graph(const torch::jit::Module& module, const Placement& place,
                                 const ArgumentChoice& choice) {
  const auto method = module.find_method("forward");
  if (!method) throw ModelError(concat("the module has no method 'forward'; ", how_to_export));
  auto graph = method->graph()->copy();
  ChosenInputs inputs = ChosenArguments(*graph, arguments_of(*method), choice, place)();
  Inliner(*graph, module).run();
  for (torch::jit::Node* node : nodes_of(*graph)) {
    if (node->kind() != c10::prim::Constant || !node->hasAttribute(c10::attr::value)) continue;
    if (node->kindOf(c10::attr::value) != torch::jit::AttributeKind::t) continue;
    const at::Tensor& constant = node->t(c10::attr::value);
    // A number that became a tensor of no dimension takes no part in type promotion and keeps its precision.
    if (constant.dim() > 0) node->t_(c10::attr::value, place(constant));
  }
  simplify(graph, module);
  return MarkedGraph(std::move(graph), module, {}, std::move(inputs.held), std::move(inputs.parts));
}

/// The marked graph of a TorchScript module as it is now. A module that was just loaded is nobody else's, and
/// is not copied once more.
inline MarkedGraph script_front_end(const torch::jit::Module& module, const Placement& place,
                                    bool just_loaded, const ArgumentChoice& choice) {
  const Recording recording;
  const auto attempt = [](const char* failure, const auto& step) {
    try {
      return step();
    } catch (const c10::Error& error) {
      std::throw_with_nested(ModelError(concat(failure, ": ", first_cause(error))));
    }
  };
  const torch::jit::Module object = attempt("the model cannot be moved as the options say",
                                            [&] { return snapshot(module, place, just_loaded); });
  return attempt("the model's program cannot be prepared",
                 [&] { return forward_graph(object, place, choice); });
}

}  // namespace salience::detail
