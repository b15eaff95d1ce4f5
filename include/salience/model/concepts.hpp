// The concepts Model and Target. (Attributor stands in method/attribution.hpp.)
#pragma once

#include <concepts>
#include <type_traits>

#include <ATen/core/Tensor.h>

namespace torch::jit {
struct Module;
}

namespace salience {

namespace detail {

template <class M>
concept Callable = requires(M& model, const at::Tensor& x) {
  { model(x) } -> std::convertible_to<at::Tensor>;
};
template <class M>
concept HasForward = requires(M& model, const at::Tensor& x) {
  { model.forward(x) } -> std::convertible_to<at::Tensor>;
};
template <class M>
concept PointsToForward = requires(M& model, const at::Tensor& x) {
  { model->forward(x) } -> std::convertible_to<at::Tensor>;
};

}  // namespace detail

/// A model takes an input tensor (N, ...) and gives an output tensor: a lambda, a function, a ScriptModel, a
/// `torch::nn` module, its holder or its shared pointer. The call operator may be non-const.
template <class M>
concept Model = detail::Callable<M> || detail::HasForward<M> || detail::PointsToForward<M>;

namespace detail {

/// Whether M, or what it refers or points to, has a member of that name, whatever it takes.
template <class M>
concept NamesForSamples = requires {
  &M::for_samples;
};
template <class M>
concept RefersToNamedForSamples = requires(const M& model) {
  requires NamesForSamples<std::remove_cvref_t<decltype(model.get())>>;
};
template <class M>
concept PointsToNamedForSamples = requires(const M& model) {
  requires NamesForSamples<std::remove_cvref_t<decltype(*model)>>;
};

template <class M>
concept HasForSamples = requires(const M& model, const at::Tensor& samples) {
  { model.for_samples(samples) } -> Model;
};
template <class M>
concept PointsToForSamples = requires(const M& model, const at::Tensor& samples) {
  { model->for_samples(samples) } -> Model;
};
template <class M>
concept RefersToForSamples = requires(const M& model, const at::Tensor& samples) {
  { model.get().for_samples(samples) } -> Model;
};

}  // namespace detail

/// A model that holds something for each sample of the batch that it is asked about: a second input, a mask,
/// a start in the middle of a network. Methods that evaluate a sample many times regroup the rows of the
/// batch; before such a call they ask this model for the one that goes with the rows:
///
///     struct Conditioned {
///       Net net;
///       at::Tensor condition;  // (N, ...), a row for each sample
///       at::Tensor operator()(const at::Tensor& x) const { return net(x, condition); }
///       Conditioned for_samples(const at::Tensor& samples) const {
///         return {net, condition.index_select(0, samples)};
///       }
///     };
///
/// `samples` are the places of the rows' samples in the batch of the call that the user made, (rows) int64 on
/// the input's device; one may occur many times or not at all. What it gives is a Model, or a LayeredModel if
/// this one is, and is called once, with as many rows. The call that the user makes itself goes to the model
/// as it is: row n is sample n. FeaturesHead, LastConvolution and AnyModel hand it on to what they hold.
template <class M>
concept SampleAwareModel = Model<M> &&
    (detail::HasForSamples<M> || detail::RefersToForSamples<M> || detail::PointsToForSamples<M>);

/// A target says which score of the output is explained. `choose` is asked once, on the clean input, and
/// gives what is then held fixed: one class index per sample, (N) int64, any other state with a row for each
/// sample, (N, ...), as a mask, or an undefined tensor if there is nothing to choose. Where a method regroups
/// the rows of a batch, the state follows its samples. `score` turns an output into one score per sample,
/// (N), for that choice; it must be differentiable.
template <class T>
concept Target = requires(const T& target, const at::Tensor& output, const at::Tensor& chosen) {
  { target.choose(output) } -> std::convertible_to<at::Tensor>;
  { target.score(output, chosen) } -> std::convertible_to<at::Tensor>;
};

namespace detail {

/// Fails to compile with one sentence unless M is a model.
template <class M>
constexpr void require_model() {
  constexpr bool script_module = std::is_base_of_v<torch::jit::Module, M>;
  static_assert(
      !script_module,
      "Salience: a torch::jit::Module is not used directly; wrap it: salience::ScriptModel{module}");
  if constexpr (!script_module) {
    static_assert(
        Model<M>,
        "Salience: a model must take a const at::Tensor& and return an at::Tensor, by a call operator, "
        ".forward(x) or ->forward(x)");
    // Else a slip in its signature would leave every row with the sample of its place.
    constexpr bool named = NamesForSamples<M> || RefersToNamedForSamples<M> || PointsToNamedForSamples<M>;
    static_assert(
        !Model<M> || !named || SampleAwareModel<M>,
        "Salience: for_samples of a model must be const, take a const at::Tensor&, the places of the rows' "
        "samples, and return a model");
  }
}

template <Model M>
at::Tensor call(M& model, const at::Tensor& input) {
  if constexpr (Callable<M>) {
    return model(input);
  } else if constexpr (HasForward<M>) {
    return model.forward(input);
  } else {
    return model->forward(input);
  }
}

/// The model for these rows; see SampleAwareModel.
template <SampleAwareModel M>
auto for_samples(const M& model, const at::Tensor& samples) {
  if constexpr (HasForSamples<M>) {
    return model.for_samples(samples);
  } else if constexpr (RefersToForSamples<M>) {
    return model.get().for_samples(samples);
  } else {
    return model->for_samples(samples);
  }
}

/// The same of any model: one that does not care is copied.
template <Model M>
auto part_for_samples(const M& model, const at::Tensor& samples) {
  if constexpr (SampleAwareModel<M>) {
    return for_samples(model, samples);
  } else {
    return model;
  }
}

}  // namespace detail

}  // namespace salience
