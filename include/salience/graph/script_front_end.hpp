// From a torch::jit::Module to a graph with marks at its layers.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/marked_graph.hpp>
#include <salience/graph/model_file.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/graph/script_inliner.hpp>
#include <salience/graph/simplify.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience::detail {

/// Fails unless forward can be called with one input.
inline void require_one_input(const torch::jit::Method& forward) {
  std::size_t inputs = 0, required = 0;
  std::string names;
  for (const c10::Argument& argument : forward.function().getSchema().arguments()) {
    if (inputs++ == 0) continue;  // self
    if (argument.default_value()) continue;
    ++required;
    names += concat(names.empty() ? "" : ", ", argument.name());
  }
  if (inputs < 2) throw ModelError("the model's forward takes no input, an attribution needs one tensor");
  if (required > 1) {
    throw ModelError(
        concat("the model's forward takes ", required, " inputs (", names,
               "), an attribution needs exactly one tensor; wrap it in a module that fixes the others"));
  }
}

/// A copy of forward's graph with all calls inlined, its layers marked, its tensor constants placed, and
/// simplified.
inline std::shared_ptr<torch::jit::Graph> forward_graph(const torch::jit::Module& module,
                                                        const Placement& place) {
  const auto method = module.find_method("forward");
  if (!method) throw ModelError(concat("the module has no method 'forward'; ", how_to_export));
  require_one_input(*method);
  auto graph = method->graph()->copy();
  Inliner(*graph, module).run();
  for (torch::jit::Node* node : nodes_of(*graph)) {
    if (node->kind() != c10::prim::Constant || !node->hasAttribute(c10::attr::value)) continue;
    if (node->kindOf(c10::attr::value) != torch::jit::AttributeKind::t) continue;
    const at::Tensor& constant = node->t(c10::attr::value);
    // A number that became a tensor of no dimension takes no part in type promotion and keeps its precision.
    if (constant.dim() > 0) node->t_(c10::attr::value, place(constant));
  }
  simplify(graph, module);
  return graph;
}

/// The marked graph of a TorchScript module as it is now. A module that was just loaded is nobody else's, and
/// is not copied once more.
inline MarkedGraph script_front_end(const torch::jit::Module& module, const Placement& place,
                                    bool just_loaded) {
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
  return attempt("the model's program cannot be prepared", [&] {
    auto graph = forward_graph(object, place);
    return MarkedGraph(std::move(graph), object, object.get_method("forward").function().getSchema());
  });
}

}  // namespace salience::detail
