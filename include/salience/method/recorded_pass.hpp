// RecordedPass: one forward pass, kept as an autograd graph, from which every gradient is taken.
#pragma once

#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat_ops.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/model/concepts.hpp>
#include <salience/model/cuttable_model.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/batch_norm_repair.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

namespace detail {

/// A leaf of our own with the input's values: the caller's tensor keeps its flags and its `.grad`.
inline at::Tensor private_leaf(const at::Tensor& input) {
  return (input.is_inference() ? input.clone() : input.detach()).requires_grad_(true);
}

/// The target's choice and scores for a model's output; what LibTorch throws in a target becomes a
/// TargetError.
template <Target T>
std::pair<at::Tensor, at::Tensor> choose_and_score(const T& target, const at::Tensor& output,
                                                   const at::Tensor& input) {
  const auto samples = input.size(0);
  at::Tensor chosen, score;
  try {
    chosen = target.choose(output.detach());
    score = target.score(output, chosen);
  } catch (const c10::Error& error) {
    const bool other_batch = output.dim() > 0 && output.size(0) != samples;
    std::throw_with_nested(
        TargetError(concat("the target fails on an output of shape ", shape(output), ": ", first_cause(error),
                           other_batch ? concat("; the model gave ", output.size(0), " rows for ", samples,
                                                " samples: was its batch size fixed when it was traced?")
                                       : "")));
  }
  if (!score.defined() || score.numel() != samples) {
    throw TargetError(concat("the target must give one score per sample, (", samples, "), got ", shape(score),
                             " for an input of shape ", shape(input), " and an output of shape ",
                             shape(output),
                             "; the first dimension of both must be the batch (x.unsqueeze(0) adds one)"));
  }
  if (score.is_complex()) {
    throw TargetError(
        concat("the target must give real scores, got ", score.scalar_type(),
               "; give a callable from the output to a real score, its absolute value or real part"));
  }
  return {chosen, score};
}

inline void require_gradient(const at::Tensor& output, const at::Tensor& score) {
  if (score.requires_grad()) return;
  if (output.requires_grad()) {
    throw TargetError("the target's score has no gradient: it is constant, detached, or made of integers");
  } else {
    throw ModelError(
        "the model's output has no gradient: it does not depend on the input, or was computed under no_grad, "
        "detached, or from integers (a graph from optimize_for_inference has none either)");
  }
}

}  // namespace detail

/// A forward pass: what it went through and the score to explain. From `record` all of it is one autograd
/// graph, which may be walked back several times, by one thread at a time; from `observe` there is no graph.
/// What every method of this library begins with:
///
///     const RecordedPass pass = record(model, input, target);
///     return pass.explained_by(pass.gradient());  // the vanilla gradient
struct RecordedPass {
  at::Tensor leaf;                    ///< the input, as a leaf of our own
  at::Tensor output;                  ///< the model's output, as are all below part of the graph
  at::Tensor chosen;                  ///< the target's choice, (N) int64 or undefined
  at::Tensor score;                   ///< one score per sample
  std::vector<at::Tensor> layers;     ///< the outputs of the layers that were asked for, in that order
  std::vector<std::string> names;     ///< of the layers
  std::vector<ChannelAxis> channels;  ///< of the layers
  std::vector<std::vector<at::Tensor>> parts;      ///< of the layers: see Tapped::parts
  OutputType output_type = OutputType::automatic;  ///< as the target reads it

  /// \f$ \partial \sum_n s_n / \partial t \f$ for each tensor t of `wrt`, in one backward pass. It goes no
  /// deeper than `wrt` needs and touches no `.grad` of anything else.
  /// @param wrt    of `leaf` and `layers`, those whose gradients are wanted
  /// @param keep   keeps the graph for another call; without it, its memory is freed
  /// @throws ModelError if the score does not depend on one of them or if LibTorch's backward pass fails
  std::vector<at::Tensor> gradients(at::TensorList wrt, bool keep = false) const {
    const detail::Recording recording;
    std::vector<at::Tensor> sources;  // what the score depends on of each
    for (const at::Tensor& tensor : wrt) {
      if (!tensor.requires_grad()) throw unrelated(tensor);
      const at::TensorList of = sources_of(tensor);
      sources.insert(sources.end(), of.begin(), of.end());
    }
    // A tensor keeps its gradient from a pass over a kept graph that went through it, and adds to it.
    for (const at::Tensor& source : sources) source.mutable_grad().reset();
    try {
      const detail::BatchNormRepair repaired;
      // Unlike torch::autograd::grad it needs no big header. It leaves the result in `.grad`, also in that
      // of a tensor which is no leaf.
      score.sum().backward({}, keep, /*create_graph=*/false, sources);
    } catch (const c10::Error& error) {
      std::throw_with_nested(
          ModelError(detail::concat("the model's backward pass fails for an input of type ",
                                    leaf.scalar_type(), ": ", detail::first_cause(error))));
    }
    std::vector<at::Tensor> result;
    for (const at::Tensor& tensor : wrt) {
      std::vector<at::Tensor> gradients;
      for (const at::Tensor& source : sources_of(tensor)) {
        if (!source.grad().defined()) throw unrelated(tensor);
        gradients.push_back(std::exchange(source.mutable_grad(), at::Tensor()));
      }
      at::Tensor whole = gradients.size() == 1 ? gradients.front() : at::_ops::cat::call(gradients, 0);
      if (whole.sizes() != tensor.sizes()) whole = whole.narrow(0, 0, tensor.size(0));  // was filled up
      result.push_back(std::move(whole));
    }
    return result;
  }

  /// The gradient at the input alone: see gradients.
  at::Tensor gradient(bool keep = false) const { return gradients(leaf, keep).front(); }

  /// What is explained.
  Explained explained() const {
    return {.target = chosen,
            .score = score.detach().reshape({-1}),
            .logits = output.detach(),
            .output_type = output_type};
  }
  /// The result with these values.
  Attribution explained_by(at::Tensor values) const { return {explained(), std::move(values)}; }

 private:
  /// The tensor itself; of a layer that was computed in parts these.
  at::TensorList sources_of(const at::Tensor& tensor) const {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (tensor.is_same(layers[i])) return parts[i];
    }
    return tensor;
  }

  ModelError unrelated(const at::Tensor& tensor) const {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (!tensor.is_same(layers[i])) continue;
      return ModelError(detail::concat(
          "the layer '", names[i], "' ",
          tensor.requires_grad() ? "plays no part in the explained score" : "does not depend on the input"));
    }
    return ModelError("the explained score does not depend on the input");
  }
};

namespace detail {

/// The pass of an input that was checked. One of integers is no leaf, so that the layers must be leaves.
template <class Forward, class T>
RecordedPass recorded(const Forward& forward, const at::Tensor& input, const T& target) {
  const Recording recording;
  RecordedPass pass;
  pass.leaf = holds_integers(input) ? input.detach() : private_leaf(input);
  // The clone lets a model write into its input, which is forbidden on a leaf.
  forward(pass.leaf.clone(), pass);
  std::tie(pass.chosen, pass.score) = choose_and_score(as_target(target), pass.output, input);
  pass.output_type = output_type_of(as_target(target), pass.output.detach());
  require_gradient(pass.output, pass.score);
  return pass;
}

}  // namespace detail

/// As `record`, of what is no Model: `forward(x, pass)` is called once with a copy of the input, and fills in
/// the pass's output and, if it has some, its layers with their names and channels.
template <class Forward, class T>
RecordedPass record_by(const Forward& forward, const at::Tensor& input, const T& target) {
  require_input(input);
  return detail::recorded(forward, input, target);
}

/// The same by a forward pass of which nothing is recorded: for what needs no gradient. The input may hold
/// integers.
template <class Forward, class T>
RecordedPass observe_by(const Forward& forward, const at::Tensor& input, const T& target) {
  detail::require_batch(input);
  const detail::Observing observing;
  RecordedPass pass;
  pass.leaf = input.detach();
  forward(pass.leaf.clone(), pass);
  std::tie(pass.chosen, pass.score) = detail::choose_and_score(as_target(target), pass.output, input);
  pass.output_type = detail::output_type_of(as_target(target), pass.output.detach());
  return pass;
}

namespace detail {

/// How any Model goes forward.
template <class M>
auto forward_of(M& model) {
  return [&model](const at::Tensor& x, RecordedPass& pass) { pass.output = call(model, x); };
}

/// How a model goes forward that can show what its layers give, one tensor a name.
template <class M>
auto forward_of(M& model, std::span<const std::string> names) {
  return [&model, names](const at::Tensor& x, RecordedPass& pass) {
    auto tapped = model.tapped(x, names);
    pass.output = std::move(tapped.output);
    pass.layers = std::move(tapped.layers);
    pass.names.assign(names.begin(), names.end());
    if constexpr (requires { tapped.channels; }) pass.channels = std::move(tapped.channels);
    if constexpr (requires { tapped.parts; }) pass.parts = std::move(tapped.parts);
    pass.channels.resize(names.size(), ChannelAxis::unknown);
  };
}

/// How a model goes forward on integers: what the layer gives becomes a leaf, and the rest is recorded.
struct Behind {
  std::span<const std::string> layer;
};
template <class M>
auto forward_of(M& model, Behind behind) {
  return [&model, behind](const at::Tensor& x, RecordedPass& pass) {
    {
      const Observing observing;
      forward_of(model, behind.layer)(x, pass);
    }
    at::Tensor& layer = pass.layers.front();
    if (holds_integers(layer)) throw ModelError(concat(quoted_layer(behind.layer[0]), " gives integers"));
    layer = private_leaf(layer);
    pass.parts.clear();  // it is one leaf
    auto rest = model.from(behind.layer[0], x);
    pass.output = call(rest, layer.clone());
  };
}

/// How a model goes forward for the samples that the target says the rows are: see SampleAwareModel.
template <class M, class T, class... Names>
auto forward_for(M& model, const T& target, const Names&... names) {
  return [&](const at::Tensor& x, RecordedPass& pass) {
    if constexpr (SampleAwareModel<M>) {
      const at::Tensor samples = samples_of(target);
      if (samples.defined()) {
        auto part = for_samples(model, samples.to(x.device()));
        return forward_of(part, names...)(x, pass);
      }
    }
    return forward_of(model, names...)(x, pass);
  };
}

}  // namespace detail

/// Records the forward pass of a model and chooses the target: an autograd graph, of which gradients are
/// taken.
///
/// @param model    any Model; with `names`, a LayeredModel. It is called once, with a copy of the input
/// @param input    (N, ...), see gradient_at_input; it is not changed. It may hold integers if one layer of a
///                 CuttableModel is named: the gradient is that at the layer
/// @param target   a TargetSelector, a bare choice, or a callable from output to (N) scores
/// @param names    nothing, or the names of the layers that RecordedPass::layers shall hold, as a
///                 `std::span<const std::string>` or a vector
/// @throws ArgumentError for an input out of range or a layer that there is not; TargetError for a target
///         that the output does not have, that fails or has no gradient; ModelError if the output has no
///         gradient. What the model throws passes through.
template <class M, class T, class... Names>
RecordedPass record(M& model, const at::Tensor& input, const T& target, const Names&... names) {
  if constexpr (LayeredModel<M> && CuttableModel<M> && sizeof...(Names) == 1) {
    const std::span<const std::string> layers(names...);
    if (input.defined() && detail::holds_integers(input) && layers.size() == 1) {
      detail::require_batch(input);
      return detail::recorded(detail::forward_for(model, target, detail::Behind{layers}), input, target);
    }
  }
  detail::require_gradient_at(model, input, target);
  return record_by(detail::forward_for(model, target, names...), input, target);
}

/// The same forward pass without an autograd graph: for what needs no gradient, such as `predict` and the
/// scores of many variants.
template <class M, class T, class... Names>
RecordedPass observe(M& model, const at::Tensor& input, const T& target, const Names&... names) {
  return observe_by(detail::forward_for(model, target, names...), input, target);
}

}  // namespace salience
