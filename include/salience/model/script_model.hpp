// ScriptModel: a private, prepared view of a torch::jit::Module. The only header that includes
// <torch/script.h>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/interpreter.h>
#include <torch/script.h>

#include <salience/detail/script_graph.hpp>
#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>

namespace salience {

/// What may be done to a model before it is run.
enum class Prepare {
  none,  ///< the same operations as the module's own forward: the same bits as Python on the same LibTorch
  fast,  ///< BatchNorm folded into convolutions, constants folded, channels-last layout: the same up to
         ///< rounding
};

struct ScriptModelOptions {
  std::optional<at::Device> device{};     ///< where to run; default: where the parameters are
  std::optional<at::ScalarType> dtype{};  ///< floating type to run in; default: the parameters' own
  Prepare prepare = Prepare::none;        ///< see Prepare
  std::string output{};  ///< the entry to explain of a dict (its key) or a tuple (its position)
};

/// A TorchScript classifier (or any TorchScript module from one tensor to one tensor), ready for attribution.
///
///     auto model = ScriptModel::load("vgg16.pt");
///     at::Tensor logits = model(x);
///
/// It looks at the module as it is when it is wrapped: an evaluation-mode view with the same parameters
/// (shared, not copied, unless device or dtype change them) and copies of the buffers. The module itself is
/// never changed: neither its flags, nor its buffers, nor any `.grad`. It runs its own inlined copy of the
/// forward graph, past LibTorch's profiling executor, so that the first call costs what the hundredth does
/// and the autograd graph always shows every operator.
///
/// Copies share one view. Several threads may call one ScriptModel at once, if the module's own code allows
/// it (one that assigns to its attributes in evaluation mode does not).
class ScriptModel {
 public:
  /// Wraps `module`. Throws ModelError if its forward does not take one tensor, ArgumentError for a dtype
  /// that is not floating.
  explicit ScriptModel(const torch::jit::Module& module, ScriptModelOptions options = {})
      : view_(std::make_shared<const View>(module, std::move(options))) {}

  /// Loads a TorchScript file. Loading runs code from the file: load only what you trust.
  /// Throws FileError, with the file's path, if it cannot be read or is not TorchScript; for a state dict or
  /// another Python pickle the message says how to export it.
  static ScriptModel load(const std::filesystem::path& path, ScriptModelOptions options = {}) {
    detail::require_torchscript(path);
    return ScriptModel(detail::load_module(path), std::move(options));
  }

  /// The model's output for `input`; differentiable with respect to it if the caller records gradients. With
  /// a device or dtype option the input is converted, and its gradient comes back in the input's own. Throws
  /// ModelError, with the exception from the model nested, if the model fails on this input, and ModelError
  /// if the output is not a tensor or the option `output` names none of its entries.
  at::Tensor operator()(const at::Tensor& input) const { return view_->run(input); }

  const ScriptModelOptions& options() const noexcept { return view_->options; }

 private:
  struct View {
    View(const torch::jit::Module& module, ScriptModelOptions wanted)
        : options(std::move(wanted)),
          self(detail::evaluation_view(module, options.device, options.dtype)),
          graph(detail::forward_graph(self)) {
      if (options.prepare == Prepare::fast) detail::fold(graph, self);
      code = torch::jit::Code(graph, "forward");
    }

    at::Tensor run(const at::Tensor& input) const {
      torch::jit::Stack stack{self._ivalue(), converted(input)};
      try {
        self.get_method("forward").function().getSchema().checkAndNormalizeInputs(stack, {});
        torch::jit::InterpreterState(code).run(stack);
      } catch (const std::exception& error) {
        std::throw_with_nested(
            ModelError(detail::concat("the model fails on an input of shape ", detail::shape(input),
                                      " and type ", input.scalar_type(), ": ", detail::first_cause(error))));
      }
      return detail::tensor_output(stack.back(), options.output);
    }

    at::Tensor converted(const at::Tensor& input) const {
      at::Tensor x = input;
      if (options.device) x = x.to(*options.device);
      if (options.dtype) x = x.to(*options.dtype);
      const bool picture_batch = options.prepare == Prepare::fast && x.dim() == 4;
      return picture_batch ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
    }

    ScriptModelOptions options;
    torch::jit::Module self;
    std::shared_ptr<torch::jit::Graph> graph;
    torch::jit::Code code;
  };

  std::shared_ptr<const View> view_;
};

}  // namespace salience
