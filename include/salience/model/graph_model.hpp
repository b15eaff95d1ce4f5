// GraphModel: a model that is a private graph, whatever kind of file it came from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/bias_terms.hpp>
#include <salience/graph/chance.hpp>
#include <salience/graph/held_inputs.hpp>
#include <salience/graph/input_sizes.hpp>
#include <salience/graph/layers.hpp>
#include <salience/graph/marked_graph.hpp>
#include <salience/graph/open_attention.hpp>
#include <salience/graph/runner.hpp>
#include <salience/graph/taps.hpp>
#include <salience/model/detail/graph_batches.hpp>
#include <salience/model/detail/graph_cuts.hpp>
#include <salience/model/detail/graph_programs.hpp>
#include <salience/model/graph_pass.hpp>
#include <salience/model/model_options.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/deep_lift_rule.hpp>
#include <salience/tensor/layer.hpp>
#include <salience/tensor/layer_point.hpp>
#include <salience/tensor/parts.hpp>
#include <salience/tensor/tensor.hpp>
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
    const auto run = [this](const at::Tensor& rows, const detail::HeldInputs& held) {
      return std::vector{programs_->explained(programs_->whole()(rows, held))};
    };
    require(input);
    return takes(input) ? run(input, held_for(input)).front() : in_batches(input, run).front().whole();
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
    const auto run = [&](const at::Tensor& rows, const detail::HeldInputs& held) {
      const torch::jit::Stack stack = program(rows, held);  // the layers, and then the output
      std::vector<at::Tensor> tensors = detail::taken(stack, layers);
      tensors.push_back(programs_->explained(stack));
      return tensors;
    };
    require(input);
    Tapped result;
    if (takes(input)) {
      result.layers = run(input, held_for(input));
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
    require(input);
    const std::int64_t count = takes(input) ? input.size(0) : batch_of(input);
    const detail::HeldInputs held =
        takes(input) ? held_for(input) : held_for(input).batch(0, std::min(input.size(0), count), count);
    return detail::listed(*programs_->marked().graph,
                          programs_->listing()(detail::filled(input, count), held));
  }

  /// This model until a layer: a model whose output is what the layer gives, so that a neuron is a target.
  ///
  ///     const auto neurons = model.until("features.10");
  ///     const Attribution a = IntegratedGradients{neurons}(x, Neuron{7, 3, 5});
  ///
  /// A LayerPoint names what a layer gives or takes. Several places give their values packed into one row for
  /// each sample: see Parts. Where the layer is in a branch that an input does not take, the call is a
  /// ModelError. Of a layer that is used several times the last use that runs counts. What comes after the
  /// layer is not computed, and its layers are not in the list.
  ///
  /// Throws ArgumentError for an unknown layer, ModelError for one that gives (or takes) no tensor there.
  GraphModel until(const LayerPoints& points) const {
    GraphModel result(programs_->until(*points), held_);
    if (anew_)
      result.anew_ = [anew = anew_, points](const auto& object) { return anew(object).until(points); };
    return result;
  }

  /// This model from a layer on: a model whose input is what the layer gives, so that every method works at a
  /// layer.
  ///
  ///     const auto rest = model.from("features.10", x);
  ///     const Attribution a = IntegratedGradients{rest}(model.until("features.10")(x));
  ///
  /// `input` (N, ...) is held fixed for whatever else reads it, as a residual connection around the layer:
  /// that is computed here, once, and a call costs the part behind the layer alone. Its rows follow those of
  /// the calls (see SampleAwareModel), which must have N. Where nothing else reads it, calls may have any
  /// number of rows. What a layer takes (`features.10:input`) is replaced for that layer alone. Several
  /// places make an input of one packed row for each sample, which parts() tells apart. The layers behind the
  /// place are those that are listed and tapped.
  ///
  /// Throws ArgumentError for an unknown layer; ModelError for one that gives (or takes) no tensor there,
  /// that this input does not reach, of which the output does not depend, that is in a loop, or whose rows
  /// are not the samples, and what the call operator throws.
  GraphModel from(const LayerPoints& points, const at::Tensor& input) const {
    require(input);
    detail::Rest rest = detail::rest_from(*programs_, held_for(input), *points, input);
    GraphModel result(std::move(rest.programs), std::move(rest.held));
    result.anew_ = [model = *this, points, input](const torch::jit::Module& object) {
      return model.with_parameters(object).from(points, input);
    };
    return result;
  }

  /// Of a model whose input is packed how, for Parts::pack and Parts::split; nothing of others.
  const std::optional<Parts>& parts() const noexcept { return programs_->marked().parts; }

  /// See SampleAwareModel: what is held fixed for single samples, for these rows.
  GraphModel for_samples(const at::Tensor& samples) const {
    if (!held_.by_sample()) return *this;
    GraphModel result(programs_, held_.select(samples));
    if (anew_) {
      result.anew_ = [anew = anew_, samples](const auto& object) {
        return anew(object).for_samples(samples);
      };
    }
    return result;
  }

  /// This model with its graphs changed by one more pass, behind those that it has. It shares the parameters
  /// with this model, which stays as it is, has the same options, and builds its own graphs, so keep it where
  /// it is called more than once. Throws what the pass throws (see GraphPass::run).
  GraphModel rewritten(const GraphPass& pass) const {
    GraphModel result(programs_->rewritten(pass), held_);
    if (anew_)
      result.anew_ = [anew = anew_, pass](const auto& object) { return anew(object).rewritten(pass); };
    return result;
  }

  /// This model against a baseline (N, ...), for DeepLIFT: what it gives is a pair for each sample, (N, 2,
  /// ...), its output for the input and, second, that for the baseline, and the derivative of the first is
  /// not the model's but DeepLIFT's multipliers. The rows of the baseline follow those of the calls (see
  /// SampleAwareModel). The graphs are built once for all baselines.
  ///
  /// Throws ModelError, which names them, if there are operators that DeepLIFT has no rule for.
  GraphModel against(const at::Tensor& baseline, DeepLiftRule rule = DeepLiftRule::rescale) const {
    require(baseline);
    const auto& place = programs_->options();
    detail::HeldInput held{"baseline", detail::placement(place)(baseline.detach()), detail::SampleRows{}};
    GraphModel result(programs_->deep_lifted(rule), held_.with(std::move(held)));
    if (anew_) {
      result.anew_ = [anew = anew_, baseline, rule](const auto& object) {
        return anew(object).against(baseline, rule);
      };
    }
    return result;
  }

  /// This model with the rules of layer-wise relevance propagation: it gives what this model gives, and what
  /// comes back to its input, and to its layers, as the gradient of a score is their relevance. For the
  /// method see Lrp.
  ///
  /// Throws ArgumentError for a number of the composite that is out of range, and ModelError, which names
  /// them, if there are operators that have no rule.
  GraphModel relevant(const Composite& composite) const {
    detail::require_composite(composite);
    GraphModel result(programs_->relevant(composite), held_);
    if (anew_)
      result.anew_ = [anew = anew_, composite](const auto& object) {
        return anew(object).relevant(composite);
      };
    return result;
  }

  /// This model, in which the weights of each attention are a layer too, (N, heads, queries, keys):
  /// "attention.0", "attention.1" and so on, in the order of the program. Attention in one operator
  /// (scaled_dot_product_attention) is computed openly there, the same up to rounding, so it takes more
  /// memory.
  ///
  /// Throws ModelError if there is none, or one that cannot be read: in a loop, in another operator, or with
  /// weights that are changed before they are applied.
  GraphModel with_attention() const {
    return rewritten(
        {.name = "open attention", .run = &detail::open_attention, .stage = PassStage::before_taps});
  }

  /// This model, whose backward passes also find what each constant that it adds (biases, and those in
  /// BatchNorm) contributes to a score: for the method see FullGrad.
  GraphModel with_bias_terms() const {
    return rewritten(
        {.name = "bias terms", .run = &detail::tell_bias_terms, .stage = PassStage::before_folding});
  }

  /// Its parameters, buffers and constants, as a tree of objects that is named as the model's modules are;
  /// not to be changed, since other models share it.
  const torch::jit::Module& parameters() const noexcept { return programs_->marked().object; }

  /// This model with other parameters: an object like `parameters()`, of the same type, which nobody changes
  /// from now on. The rest is as in this model, with its own graphs as for `rewritten`.
  GraphModel with_parameters(const torch::jit::Module& object) const {
    if (object.type() != parameters().type()) {
      throw ModelError("the parameters are not of the type of the model's own");
    }
    return anew_ ? anew_(object) : GraphModel(programs_->with_object(object), held_);
  }

  /// The sizes of the input that the model file names, the batch first; nothing for a size that may vary.
  /// Empty for TorchScript, whose files name none.
  const InputSizes& input_sizes() const noexcept {
    static const InputSizes unknown;
    const detail::InputShape& input = programs_->marked().input;
    return input.batch_only ? unknown : input.sizes;
  }

  /// What it was made with.
  const ModelOptions& options() const noexcept { return programs_->options(); }

 protected:
  /// Runs what a front end has made. Warns if that is known to give maps by chance.
  GraphModel(detail::MarkedGraph marked, ModelOptions options) {
    detail::warn_of_chance(*marked.graph);
    held_ = marked.held;
    programs_ = std::make_shared<const detail::GraphPrograms>(
        std::make_shared<const detail::MarkedGraph>(std::move(marked)), std::move(options));
  }

 private:
  GraphModel(std::shared_ptr<const detail::GraphPrograms> programs, detail::HeldInputs held)
      : programs_(std::move(programs)), held_(std::move(held)) {}

  void require(const at::Tensor& input) const { programs_->marked().input.require(input); }

  detail::HeldInputs held_for(const at::Tensor& input) const {
    return held_.by_sample() && input.dim() > 0 ? held_.for_batch(input.size(0)) : held_;
  }

  /// Whether the program takes so many samples at once.
  bool takes(const at::Tensor& input) const { return programs_->marked().input.takes(input.size(0)); }
  std::int64_t batch_of(const at::Tensor& input) const {
    return programs_->marked().input.batch_of(input.size(0));
  }
  template <class Run>
  std::vector<detail::InBatches> in_batches(const at::Tensor& input, const Run& run) const {
    return detail::in_batches_of(batch_of(input), input, held_for(input), run);
  }

  std::shared_ptr<const detail::GraphPrograms> programs_;
  detail::HeldInputs held_;
  /// Of a model that holds what was computed with its parameters: the same model with others.
  std::function<GraphModel(const torch::jit::Module&)> anew_;
};

}  // namespace salience
