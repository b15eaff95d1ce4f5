// ExportedModel: a torch.export program. Its users need nlohmann-json, and pay for <torch/script.h>.
#pragma once

#include <exception>
#include <filesystem>
#include <string>
#include <type_traits>
#include <utility>

#include <torch/script.h>
#include <torch/version.h>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/graph/model_file.hpp>
#include <salience/model/graph_model.hpp>
#include <salience/model/model_options.hpp>

#if TORCH_VERSION_MAJOR >= 2
#include <salience/graph/export_front_end.hpp>
#endif

namespace salience {

/// A program that Python's `torch.export.save` wrote (model.pt2), ready for attribution:
///
///     auto model = ExportedModel::load("resnet50.pt2");
///     at::Tensor logits = model(x);
///
/// The file is read, not run: a program is a list of LibTorch's operators with their arguments, and unlike a
/// TorchScript file holds no code. What is run when the model is called are those operators (with
/// Prepare::fast what follows from constants is computed beforehand). Layers have the names and types that
/// they have in Python. A layer that runs no operator of its own, as Identity, is not among them, since the
/// file does not say where it was; a layer's output is what its operators give to others, and of several
/// tensors none can be tapped.
///
/// What the program writes to its buffers is forgotten when a call ends. `no_grad` regions and `torch.cond`
/// work as in Python; an autocast region becomes casts by TorchScript's lists of operators, which for some
/// differ from Python's, by what bfloat16 rounds. A program for a batch of fixed or limited size takes any
/// number of samples: they go through it in batches of such a size, the last filled up with copies of the
/// last sample. So explain a program whose samples depend on each other (BatchNorm in training mode) in the
/// size it was exported for. An input of other sizes than those that the program was exported for is refused,
/// as far as the file says which they are. With the option `dtype`, types that the program names or leaves to
/// the default move with its parameters; where all parameters have that type already, nothing moves.
///
/// Needs LibTorch 2; it was tried with 2.13 and 2.14. It is called, its layers are listed and tapped, and its
/// graph is rewritten as GraphModel says. Copies share one set of parameters. Several threads may call one
/// ExportedModel at once.
class ExportedModel : public GraphModel {
 public:
  /// Reads the program and its tensors, each once. Throws FileError, with the file's path and in one sentence
  /// what is wrong: no such archive, damaged, of another layout or version, compiled by AOTInductor, several
  /// models of which the option `model` names none, an operator that is not registered in this program, a
  /// sub-graph that is not supported, an input that is neither explained nor bound; ModelError for a device
  /// that is not there and ArgumentError for a dtype that is not floating.
  static ExportedModel load(const std::filesystem::path& path,
                            [[maybe_unused]] const ModelOptions& options = {}) {
#if TORCH_VERSION_MAJOR >= 2
    return made_of(path, [&] {
      return ExportedModel(detail::export_front_end(path, options.model, detail::placement(options),
                                                    {options.bind, options.explain}),
                           options);
    });
#else
    return made_of<ExportedModel>(path);
#endif
  }

  /// The sizes of the input that the program in a file takes (see GraphModel::input_sizes), without loading
  /// its parameters; empty of several that are explained together. Of the options those count that say which
  /// model and which input is meant. Throws FileError as `load`.
  static InputSizes input_sizes_of(const std::filesystem::path& path,
                                   [[maybe_unused]] const ModelOptions& options = {}) {
#if TORCH_VERSION_MAJOR >= 2
    return made_of(path, [&] {
      return detail::export_input_sizes(path, options.model, {options.bind, options.explain});
    });
#else
    return made_of<InputSizes>(path);
#endif
  }

 private:
  ExportedModel(detail::MarkedGraph marked, const ModelOptions& options)
      : GraphModel(std::move(marked), options) {}

  static void require_exported(const std::filesystem::path& path) {
    if (detail::kind_of_model(path) == detail::ModelFile::exported) return;
    throw detail::file_error(path, "is TorchScript, not a torch.export program: load it with load_model");
  }

#if TORCH_VERSION_MAJOR >= 2
  template <class Make>
  static std::invoke_result_t<const Make&> made_of(const std::filesystem::path& path, const Make& make) {
    require_exported(path);
    try {
      return make();
    } catch (const ModelError& error) {
      std::throw_with_nested(detail::file_error(path, error.what()));
    }
  }
#else
  template <class Result>
  [[noreturn]] static Result made_of(const std::filesystem::path& path) {
    require_exported(path);
    throw detail::file_error(path, detail::concat("is a torch.export program, which LibTorch ", TORCH_VERSION,
                                                  " cannot run; build with LibTorch 2, or load TorchScript"));
  }
#endif
};

}  // namespace salience
