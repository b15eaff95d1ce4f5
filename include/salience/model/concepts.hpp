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

/// A target says which score of the output is explained. `choose` is asked once, on the clean input, and
/// gives what is then held fixed: one class index per sample, (N) int64, or an undefined tensor if there is
/// nothing to choose. `score` turns an output into one score per sample, (N), for that choice; it must be
/// differentiable.
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

}  // namespace detail

}  // namespace salience
