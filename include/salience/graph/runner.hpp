// Runs a graph.
#pragma once

#include <exception>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <c10/core/GradMode.h>
#include <torch/csrc/jit/runtime/interpreter.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/held_inputs.hpp>
#include <salience/graph/marked_graph.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/graph/state.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience::detail {

/// A graph that is ready to run, past LibTorch's profiling executor. Several threads may run it at once.
class Runner {
 public:
  /// `graph` is made from that of `model`, and writes to the attributes `written`. `channels_last`: it wants
  /// pictures in that layout.
  Runner(const std::shared_ptr<torch::jit::Graph>& graph, std::shared_ptr<const MarkedGraph> model,
         std::set<std::string> written, Placement place, bool channels_last)
      : model_(std::move(model)),
        state_(std::move(written)),
        place_(place),
        channels_last_(channels_last),
        code_(graph, "forward") {}

  /// What the graph leaves: the model's output, and then what it gives besides. Throws ModelError, with the
  /// exception from the model nested, if it fails on this input.
  torch::jit::Stack operator()(const at::Tensor& input, const HeldInputs& held) const {
    const NoAutocast no_autocast;
    const c10::AutoGradMode kept(c10::GradMode::is_enabled());  // of a model that switches it and then fails
    torch::jit::Stack stack{state_.begin(model_->object)._ivalue(), converted(input)};
    for (const HeldInput& other : held.inputs()) stack.push_back(other.value);
    try {
      torch::jit::InterpreterState(code_).run(stack);
    } catch (const std::exception& error) {
      std::throw_with_nested(
          ModelError(concat("the model fails on an input of shape ", shape(input), " and type ",
                            input.scalar_type(), ": ", first_cause(error), hint(input))));
    }
    return stack;
  }

 private:
  at::Tensor converted(const at::Tensor& input) const {
    const at::Tensor x = place_(input);
    return channels_last_ && x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
  }

  /// What most often is wrong with an input.
  std::string hint(const at::Tensor& input) const {
    if (input.dim() == 3 && !model_->input.batch_only)
      return "; is the batch dimension missing? x.unsqueeze(0) adds it";
    for (const at::Tensor& parameter : model_->object.parameters()) {
      if (!parameter.is_floating_point() || place_.dtype || parameter.scalar_type() == input.scalar_type())
        continue;
      return concat("; the model is of type ", parameter.scalar_type(),
                    ": convert the input, or load the model with the option dtype");
    }
    return "";
  }

  std::shared_ptr<const MarkedGraph> model_;
  State state_;
  Placement place_;
  bool channels_last_;
  torch::jit::Code code_;
};

}  // namespace salience::detail
