// ScriptModel: a private, prepared snapshot of a torch::jit::Module. Its users alone pay for
// <torch/script.h>.
#pragma once

#include <exception>
#include <filesystem>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/model_file.hpp>
#include <salience/graph/script_front_end.hpp>
#include <salience/model/graph_model.hpp>
#include <salience/model/model_options.hpp>

namespace salience {

/// A TorchScript classifier (or any TorchScript module that gives a tensor), ready for attribution. One of
/// its inputs is explained, or several as one packed row, and ModelOptions::bind fixes the others.
///
///     auto model = ScriptModel::load("vgg16.pt");
///     at::Tensor logits = model(x);
///
/// It is a snapshot of the module in evaluation mode: parameters and buffers are copied (a file that is
/// loaded takes no second copy), so the module may train on, and is never changed: neither its flags, nor its
/// buffers, nor any `.grad`. Wrap it again after a training step. Every call starts from the snapshot: what
/// forward writes to its own attributes, a counter or a moving average, is forgotten when the call ends. A
/// caller's autocast has no effect, the model's own does. The snapshot runs its own inlined copy of the
/// forward graph, past LibTorch's profiling executor, so that the first call costs what the hundredth does
/// and the autograd graph shows every operator.
///
/// LibTorch's warning handler is told if the model is known to give maps by chance: dropout or batch
/// statistics that are switched on for good, as in a file that was traced in training mode, or random
/// numbers.
///
/// It is called, its layers are listed and tapped, and its graph is rewritten as GraphModel says. Copies
/// share one snapshot. Several threads may call one ScriptModel at once.
class ScriptModel : public GraphModel {
 public:
  /// Wraps `module`. Throws ModelError if its forward takes no tensor that is left to explain, or an
  /// argument that is not bound, or the device is not there; ArgumentError for a dtype that is not floating,
  /// for an argument that there is not or of another type, and for the option `model`.
  explicit ScriptModel(const torch::jit::Module& module, const ModelOptions& options = {})
      : ScriptModel(module, options, /*just_loaded=*/false) {}

  /// Loads a TorchScript file. Loading runs code from the file: load only what you trust.
  /// Throws FileError, with the file's path, if it cannot be read or is not TorchScript; for a state dict or
  /// another Python pickle the message says how to export it.
  static ScriptModel load(const std::filesystem::path& path, const ModelOptions& options = {}) {
    const torch::jit::Module module = detail::load_module(path);
    try {
      return ScriptModel(module, options, /*just_loaded=*/true);
    } catch (const ModelError& error) {
      std::throw_with_nested(detail::file_error(path, error.what()));
    }
  }

 private:
  static const ModelOptions& checked(const ModelOptions& options) {
    if (options.model.empty()) return options;
    throw ArgumentError(
        "the option model (--archived) names one of several in a torch.export archive, and this is "
        "TorchScript");
  }

  ScriptModel(const torch::jit::Module& module, const ModelOptions& options, bool just_loaded)
      : GraphModel(detail::script_front_end(module, detail::placement(options), just_loaded,
                                            {options.bind, options.explain}),
                   checked(options)) {}
};

}  // namespace salience
