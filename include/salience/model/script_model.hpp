// ScriptModel: a private, prepared snapshot of a torch::jit::Module. Its users alone pay for
// <torch/script.h>.
#pragma once

#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/jit/runtime/interpreter.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/chance.hpp>
#include <salience/graph/channels.hpp>
#include <salience/graph/fold.hpp>
#include <salience/graph/in_place.hpp>
#include <salience/graph/layers.hpp>
#include <salience/graph/script_file.hpp>
#include <salience/graph/script_graph.hpp>
#include <salience/graph/script_view.hpp>
#include <salience/graph/state.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// What may be done to a model before it is run.
enum class Prepare {
  /// The same operations as the module's own forward: the same bits as Python on the same LibTorch, where
  /// those are
  /// right (docs/reliability.md).
  none,
  /// BatchNorm folded into convolutions, constants folded, channels-last layout: the same up to rounding.
  fast,
};

/// What can be chosen of a ScriptModel.
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
/// Copies share one snapshot. Several threads may call one ScriptModel at once.
class ScriptModel {
 public:
  /// Wraps `module`. Throws ModelError if its forward does not take one tensor or the device is not there,
  /// ArgumentError for a dtype that is not floating.
  explicit ScriptModel(const torch::jit::Module& module, ScriptModelOptions options = {})
      : ScriptModel(module, std::move(options), /*just_loaded=*/false) {}

  /// Loads a TorchScript file. Loading runs code from the file: load only what you trust.
  /// Throws FileError, with the file's path, if it cannot be read or is not TorchScript; for a state dict or
  /// another Python pickle the message says how to export it.
  static ScriptModel load(const std::filesystem::path& path, ScriptModelOptions options = {}) {
    const torch::jit::Module module = detail::load_module(path);
    try {
      return ScriptModel(module, std::move(options), /*just_loaded=*/true);
    } catch (const ModelError& error) {
      std::throw_with_nested(detail::file_error(path, error.what()));
    }
  }

  /// The model's output for `input`; differentiable with respect to it if the caller records gradients. With
  /// a device or dtype option the input is converted, and its gradient comes back in the input's own. Throws
  /// ModelError, with the exception from the model nested, if the model fails on this input, and ModelError
  /// if the output is not a tensor or the option `output` names none of its entries.
  at::Tensor operator()(const at::Tensor& input) const {
    return view_->explained(view_->run(*view_->whole, input).front());
  }

  /// The output and what these layers gave: all in one autograd graph. A layer has the name that it has in
  /// Python ("features.28", "layer4.1.bn2"), in a file that was traced or scripted. A file that was frozen
  /// before saving has no names left: its convolutions are "convolution.0", "convolution.1" and so on, in the
  /// order of the program (in other files these work too). The empty name is the last convolution: of those
  /// that ran, the one that the longest chain of convolutions ends with, so never a residual block's
  /// shortcut; one with a single position (squeeze and excitation) only if there is no other. The first call
  /// with other layers builds a graph for them, in milliseconds; with Prepare::fast that graph has
  /// convolution weights of its own.
  ///
  /// Throws ArgumentError, with the nearest names, for an unknown layer; ModelError for one that gives no
  /// tensor or that this input does not reach, and what the call operator throws.
  Tapped tapped(const at::Tensor& input, std::span<const std::string> layers) const {
    if (layers.empty()) return {(*this)(input), {}};
    view_->layouts.warn(layers);
    const torch::jit::Stack stack = view_->run(view_->with(layers), input);
    std::vector<at::Tensor> outputs = detail::taken(stack, layers);
    std::vector<ChannelAxis> channels = view_->layouts.of(layers, outputs);
    return {view_->explained(stack.front()), std::move(outputs), std::move(channels)};
  }

  /// The layers that can be named, with their types, in the order of the program. Which of them an input
  /// reaches, and the shapes, are not known.
  std::vector<Layer> layers() const { return detail::listed(*view_->marked); }

  /// The layers that ran for this input, with the shapes of their outputs, in the order in which they began.
  std::vector<Layer> layers(const at::Tensor& input) const {
    const detail::Observing observing;
    const View::Program listing = view_->prepared(detail::listing_graph(*view_->marked));
    return detail::listed(*view_->marked, view_->run(listing, input));
  }

  /// What it was made with.
  const ScriptModelOptions& options() const noexcept { return view_->options; }

 private:
  ScriptModel(const torch::jit::Module& module, ScriptModelOptions options, bool just_loaded)
      : view_(std::make_shared<const View>(module, std::move(options), just_loaded)) {}

  struct View {
    /// A graph that is ready to run.
    struct Program {
      std::shared_ptr<torch::jit::Graph> graph;
      bool channels_last = false;
      detail::State state;
      torch::jit::Code code;
    };

    View(const torch::jit::Module& module, ScriptModelOptions wanted, bool just_loaded)
        : options(std::move(wanted)) {
      const detail::Recording recording;
      const auto attempt = [](const char* failure, const auto& step) {
        try {
          step();
        } catch (const c10::Error& error) {
          std::throw_with_nested(ModelError(detail::concat(failure, ": ", detail::first_cause(error))));
        }
      };
      attempt("the model cannot be moved as the options say",
              [&] { self = detail::snapshot(module, place(), just_loaded); });
      attempt("the model's program cannot be prepared",
              [&] { marked = detail::forward_graph(self, place()); });
      detail::warn_of_chance(*marked);
      layouts = detail::LayerLayouts(*marked, self);
      whole = prepared(detail::tapped_graph(*marked, self, {}));
    }

    Program prepared(std::shared_ptr<torch::jit::Graph> graph) const {
      const bool channels_last = options.prepare == Prepare::fast && detail::fold(graph, self);
      detail::choose_in_place(*graph);
      const torch::jit::Code code(graph, "forward");
      detail::State state(*graph, self);
      return {std::move(graph), channels_last, std::move(state), code};
    }

    /// The program that gives these layers too; built once.
    const Program& with(std::span<const std::string> layers) const {
      const std::vector<std::string> key(layers.begin(), layers.end());
      const detail::Recording recording;
      const std::lock_guard lock(building);
      auto program = programs.find(key);
      if (program == programs.end()) {
        program = programs.emplace(key, prepared(detail::tapped_graph(*marked, self, layers))).first;
      }
      return program->second;  // a map's elements stay where they are
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

    /// What the program leaves: the model's output, and then what it gives besides.
    torch::jit::Stack run(const Program& program, const at::Tensor& input) const {
      const detail::NoAutocast no_autocast;
      torch::jit::Stack stack{program.state.begin(self)._ivalue(), converted(input, program)};
      try {
        self.get_method("forward").function().getSchema().checkAndNormalizeInputs(stack, {});
        torch::jit::InterpreterState(program.code).run(stack);
      } catch (const std::exception& error) {
        std::throw_with_nested(ModelError(
            detail::concat("the model fails on an input of shape ", detail::shape(input), " and type ",
                           input.scalar_type(), ": ", detail::first_cause(error), hint(input))));
      }
      return stack;
    }

    at::Tensor explained(const c10::IValue& output) const {
      return detail::tensor_output(output, options.output);
    }

    at::Tensor converted(const at::Tensor& input, const Program& program) const {
      const at::Tensor x = place()(input);
      return program.channels_last && x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
    }

    ScriptModelOptions options;
    torch::jit::Module self;
    std::shared_ptr<torch::jit::Graph> marked;  ///< forward with marks at its layers; never run
    detail::LayerLayouts layouts;               ///< where the channels of its layers are
    std::optional<Program> whole;               ///< forward alone
    mutable std::mutex building;
    mutable std::map<std::vector<std::string>, Program> programs;  ///< by their layers
  };

  std::shared_ptr<const View> view_;
};

}  // namespace salience
