// GraphModel: a model that is a private graph, whatever kind of file it came from.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/graph/chance.hpp>
#include <salience/graph/input_sizes.hpp>
#include <salience/graph/layers.hpp>
#include <salience/graph/marked_graph.hpp>
#include <salience/graph/taps.hpp>
#include <salience/model/detail/graph_batches.hpp>
#include <salience/model/detail/graph_programs.hpp>
#include <salience/model/graph_pass.hpp>
#include <salience/model/model_options.hpp>
#include <salience/tensor/layer.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// A model that is a graph of operators, private to it: what a ScriptModel and an ExportedModel are, what
/// load_model gives, and what either becomes when its graph is rewritten. It has parameters of its own, and
/// never changes.
///
/// Copies share one snapshot, a model and what it is rewritten to share the parameters. Several threads may
/// call one GraphModel at once.
class GraphModel {
 public:
  /// The model's output for `input`; differentiable with respect to it if the caller records gradients. With
  /// a device or dtype option the input is converted, and its gradient comes back in the input's own. Throws
  /// ModelError, with the exception from the model nested, if the model fails on this input, and ModelError
  /// if the input's sizes are not those that the file names (see input_sizes), or if the output is not a
  /// tensor or the option `output` names none of its entries.
  at::Tensor operator()(const at::Tensor& input) const {
    const auto run = [this](const at::Tensor& rows) {
      return std::vector{programs_->explained(programs_->whole()(rows).front())};
    };
    programs_->marked().input.require(input);
    return takes(input) ? run(input).front() : in_batches(input, run).front().whole();
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
    const detail::LayerChannels& known = programs_->marked().channels;
    known.warn(layers);
    const detail::Runner& program = programs_->with(layers);
    const auto run = [&](const at::Tensor& rows) {  // the layers, and then the output
      const torch::jit::Stack stack = program(rows);
      std::vector<at::Tensor> tensors = detail::taken(stack, layers);
      tensors.push_back(programs_->explained(stack.front()));
      return tensors;
    };
    programs_->marked().input.require(input);
    Tapped result;
    if (takes(input)) {
      result.layers = run(input);
    } else {
      for (detail::InBatches& tensor : in_batches(input, run)) {
        result.layers.push_back(tensor.whole());
        result.parts.push_back(std::move(tensor.parts));
      }
      result.parts.pop_back();
    }
    result.output = std::move(result.layers.back());
    result.layers.pop_back();
    result.channels = known.of(layers, result.layers);
    return result;
  }

  /// The layers that can be named, with their types, in the order of the program. Which of them an input
  /// reaches, and the shapes, are not known.
  std::vector<Layer> layers() const { return detail::listed(*programs_->marked().graph); }

  /// The layers that ran for this input, with the shapes of their outputs, in the order in which they began.
  std::vector<Layer> layers(const at::Tensor& input) const {
    const detail::Observing observing;
    programs_->marked().input.require(input);
    const at::Tensor rows = takes(input) ? input : detail::filled(input, batch_of(input));
    return detail::listed(*programs_->marked().graph, programs_->listing()(rows));
  }

  /// This model with its graphs changed by one more pass, behind those that it has. It shares the parameters
  /// with this model, which stays as it is, has the same options, and builds its own graphs, so keep it where
  /// it is called more than once. Throws what the pass throws (see GraphPass::run).
  GraphModel rewritten(GraphPass pass) const { return GraphModel(programs_->rewritten(std::move(pass))); }

  /// Its parameters, buffers and constants, as a tree of objects that is named as the model's modules are;
  /// not to be changed, since other models share it.
  const torch::jit::Module& parameters() const noexcept { return programs_->marked().object; }

  /// This model with other parameters: an object like `parameters()`, of the same type, which nobody changes
  /// from now on. The rest is as in this model, with its own graphs as for `rewritten`.
  GraphModel with_parameters(const torch::jit::Module& object) const {
    if (object.type() != parameters().type()) {
      throw ModelError("the parameters are not of the type of the model's own");
    }
    return GraphModel(programs_->with_object(object));
  }

  /// The sizes of the input that the model file names, the batch first; nothing for a size that may vary.
  /// Empty for TorchScript, whose files name none.
  const InputSizes& input_sizes() const noexcept { return programs_->marked().input.sizes; }

  /// What it was made with.
  const ModelOptions& options() const noexcept { return programs_->options(); }

 protected:
  /// Runs what a front end has made. Warns if that is known to give maps by chance.
  GraphModel(detail::MarkedGraph marked, ModelOptions options) {
    detail::warn_of_chance(*marked.graph);
    programs_ = std::make_shared<const detail::GraphPrograms>(
        std::make_shared<const detail::MarkedGraph>(std::move(marked)), std::move(options));
  }

 private:
  explicit GraphModel(std::shared_ptr<const detail::GraphPrograms> programs)
      : programs_(std::move(programs)) {}

  /// Whether the program takes so many samples at once.
  bool takes(const at::Tensor& input) const {
    return input_sizes().empty() || batch_of(input) == input.size(0);
  }
  std::int64_t batch_of(const at::Tensor& input) const {
    return programs_->marked().input.batch_of(input.size(0));
  }
  template <class Run>
  std::vector<detail::InBatches> in_batches(const at::Tensor& input, const Run& run) const {
    return detail::in_batches_of(batch_of(input), input, run);
  }

  std::shared_ptr<const detail::GraphPrograms> programs_;
};

}  // namespace salience
