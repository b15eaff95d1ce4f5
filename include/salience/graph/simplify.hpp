// What is done to every graph that a front end gives.
#pragma once

#include <memory>

#include <torch/csrc/jit/passes/autocast.h>
#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/peephole.h>
#include <torch/script.h>

#include <salience/graph/constants.hpp>
#include <salience/graph/dropout.hpp>
#include <salience/graph/kernels.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

inline bool is_number(const c10::IValue& value) {
  return value.isBool() || value.isInt() || value.isDouble();
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
