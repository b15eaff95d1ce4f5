// ScriptModel: a private, prepared view of a torch::jit::Module. The only header that includes
// <torch/script.h>.
#pragma once

#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <torch/csrc/jit/runtime/interpreter.h>
#include <torch/script.h>

#include <salience/detail/script_file.hpp>
#include <salience/detail/script_graph.hpp>
#include <salience/detail/script_view.hpp>
#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>

namespace salience {

/// What may be done to a model before it is run.
enum class Prepare {
  none,  ///< the same operations as the module's own forward: the same bits as Python on the same LibTorch
  /// BatchNorm folded into convolutions, constants folded, channels-last layout: the same up to rounding. It
  /// uses the weights as they are when the module is wrapped: wrap it again after a training step.
  fast,
};

struct ScriptModelOptions {
  std::optional<at::Device> device{};     ///< where to run; default: where the module is
  std::optional<at::ScalarType> dtype{};  ///< floating type to run in; default: the parameters' own
  Prepare prepare = Prepare::none;        ///< see Prepare
  std::string output{};  ///< the entry to explain of a dict (its key) or a tuple (its position)
};

/// A TorchScript classifier (or any TorchScript module from one tensor to one tensor), ready for attribution.
///
///     auto model = ScriptModel::load("vgg16.pt");
///     at::Tensor logits = model(x);
///
/// It is an evaluation-mode view of the module: the parameters are shared, not copied (unless device, dtype
/// or preparation change them), everything else is a copy. The module itself is never changed: neither its
/// flags, nor its buffers, nor any `.grad`. The view runs its own inlined copy of the forward graph, past
/// LibTorch's profiling executor, so that the first call costs what the hundredth does and the autograd graph
/// shows every operator.
///
/// Copies share one view. Several threads may call one ScriptModel at once, if the module's own code allows
/// it (one that assigns to its attributes in evaluation mode does not).
class ScriptModel {
 public:
  /// Wraps `module`. Throws ModelError if its forward does not take one tensor or the device is not there,
  /// ArgumentError for a dtype that is not floating.
  explicit ScriptModel(const torch::jit::Module& module, ScriptModelOptions options = {})
      : view_(std::make_shared<const View>(module, std::move(options))) {}

  /// Loads a TorchScript file. Loading runs code from the file: load only what you trust.
  /// Throws FileError, with the file's path, if it cannot be read or is not TorchScript; for a state dict or
  /// another Python pickle the message says how to export it.
  static ScriptModel load(const std::filesystem::path& path, ScriptModelOptions options = {}) {
    const torch::jit::Module module = detail::load_module(path);
    try {
      return ScriptModel(module, std::move(options));
    } catch (const ModelError& error) {
      std::throw_with_nested(detail::file_error(path, error.what()));
    }
  }

  /// The model's output for `input`; differentiable with respect to it if the caller records gradients. With
  /// a device or dtype option the input is converted, and its gradient comes back in the input's own. Throws
  /// ModelError, with the exception from the model nested, if the model fails on this input, and ModelError
  /// if the output is not a tensor or the option `output` names none of its entries.
  at::Tensor operator()(const at::Tensor& input) const { return view_->run(input); }

  const ScriptModelOptions& options() const noexcept { return view_->options; }

 private:
  struct View {
    View(const torch::jit::Module& module, ScriptModelOptions wanted) : options(std::move(wanted)) {
      const c10::InferenceMode no_inference(false);  // an inference tensor can never take part in a gradient
      try {
        self = detail::evaluation_view(module, place());
        graph = detail::forward_graph(self, place());
      } catch (const c10::Error& error) {
        std::throw_with_nested(ModelError(
            detail::concat("the model cannot be moved as the options say: ", detail::first_cause(error))));
      }
      if (options.prepare == Prepare::fast) channels_last = detail::fold(graph, self);
      code = torch::jit::Code(graph, "forward");
    }

    /// What most often is wrong with an input.
    std::string hint(const at::Tensor& input) const {
      if (input.dim() == 3) return "; is the batch dimension missing? x.unsqueeze(0) adds it";
      for (const at::Tensor& parameter : self.parameters()) {
        if (!parameter.is_floating_point() || options.dtype || parameter.scalar_type() == input.scalar_type())
          continue;
        return detail::concat("; the model is of type ", parameter.scalar_type(),
                              ": convert the input, or load the model with the option dtype");
      }
      return "";
    }

    detail::Placement place() const { return {options.device, options.dtype}; }

    at::Tensor run(const at::Tensor& input) const {
      torch::jit::Stack stack{self._ivalue(), converted(input)};
      try {
        self.get_method("forward").function().getSchema().checkAndNormalizeInputs(stack, {});
        torch::jit::InterpreterState(code).run(stack);
      } catch (const std::exception& error) {
        std::throw_with_nested(ModelError(
            detail::concat("the model fails on an input of shape ", detail::shape(input), " and type ",
                           input.scalar_type(), ": ", detail::first_cause(error), hint(input))));
      }
      return detail::tensor_output(stack.back(), options.output);
    }

    at::Tensor converted(const at::Tensor& input) const {
      const at::Tensor x = place()(input);
      return channels_last && x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
    }

    ScriptModelOptions options;
    torch::jit::Module self;
    std::shared_ptr<torch::jit::Graph> graph;
    bool channels_last = false;
    torch::jit::Code code;
  };

  std::shared_ptr<const View> view_;
};

}  // namespace salience
