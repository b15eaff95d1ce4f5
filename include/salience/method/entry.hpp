// The entry of every method: what holds before its own work begins.
#pragma once

#include <concepts>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/model/cuttable_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/layer.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

namespace detail {

/// Whether the values are whole numbers, flags included: there is no gradient with respect to them.
inline bool holds_integers(const at::Tensor& input) {
  return at::isIntegralType(input.scalar_type(), /*includeBool=*/true);
}

/// A model that can say which layers it has, as a GraphModel.
template <class M>
concept ListsLayers = requires(const M& model) {
  { model.layers() } -> std::same_as<std::vector<Layer>>;
};

/// What can be run forward: of a floating type, or of integers, which may be the numbers of words.
inline void require_batch(const at::Tensor& input) {
  if (!input.defined() || input.dim() < 1 || input.numel() < 1) {
    throw ArgumentError::out_of_range("input", detail::shape(input),
                                      "a batch (N, ...) of at least one sample that is not empty");
  }
  if (input.layout() != at::kStrided || input.is_meta()) {
    throw ArgumentError::out_of_range("input",
                                      detail::concat("layout ", input.layout(), " on ", input.device()),
                                      "a dense tensor that holds its values (x.to_dense() makes one)");
  }
  if (!at::isFloatingType(input.scalar_type()) && !holds_integers(input)) {
    throw ArgumentError::out_of_range("input", input.scalar_type(), "of a floating type");
  }
}

/// What to do instead of giving integers to a model that knows its layers.
template <class Of>
std::string advice_for_integers(const Of& of) {
  std::vector<std::string> embeddings;
  bool layers = false;
  if constexpr (ListsLayers<Of> && CuttableModel<Of>) {
    for (const Layer& layer : of.layers()) {
      layers = true;
      if (layer.type.find("Embedding") != std::string::npos) embeddings.push_back(layer.path);
    }
  }
  if (!layers) return "";
  if (embeddings.empty()) return ": explain the model at a layer behind them, model.from(LAYER, x)";
  return concat(": explain the model at its embedding, model.from(\"", embeddings.front(), "\", x)",
                embeddings.size() > 1 ? concat("; its embeddings are ", quoted(embeddings)) : "");
}

inline ArgumentError integers_refused(const at::Tensor& input, const std::string& advice) {
  const ArgumentError error = ArgumentError::out_of_range("input", input.scalar_type(), "of a floating type");
  return ArgumentError(error.what() + advice);
}

/// `of` is a model, or a method, which refuses in its model's words.
template <class Of, class T>
void require_gradient_at(const Of& of, const at::Tensor& input, const T& target) {
  require_batch(input);
  if (!holds_integers(input)) return;
  if constexpr (requires {
                  of.predict(input, target);
                  of(input, target);
                }) {
    of(input, target);
  }
  throw integers_refused(input, advice_for_integers(of));
}

}  // namespace detail

/// Throws ArgumentError unless `input` is a dense batch (N, ...) of a floating type, with at least one sample
/// that is not empty. `enter` and `record` ask for it themselves; `observe` takes integers, too.
inline void require_input(const at::Tensor& input) {
  detail::require_batch(input);
  if (detail::holds_integers(input)) throw detail::integers_refused(input, "");
}

/// Does `work()` as if the caller's thread were in no inference mode, no no_grad and no autocast, and gives
/// what it gives.
template <class Work>
auto enter(const Work& work) {
  const detail::Recording recording;
  return work();
}

/// What every attributor's call operator does: `work(target)` with the input checked, whatever modes the
/// caller's thread is in, and with a whole Target of what the caller gave.
///
///     return enter(input, target, [&](const auto& wanted) -> Attribution { ... });
///
/// @throws ArgumentError for an input that is empty, sparse, without values or not floating
template <class T, class Work>
auto enter(const at::Tensor& input, const T& target, const Work& work) {
  require_input(input);
  const detail::Recording recording;
  return work(as_target(target));
}

/// The same of a method that knows the model that it asks, or the method that it wraps: an input of integers
/// is refused in a sentence that names the model's embedding layers and `from` (see GraphModel::from).
///
///     return enter(model_, input, target, [&](const auto& wanted) -> Attribution { ... });
template <class Of, class T, class Work>
auto enter(const Of& of, const at::Tensor& input, const T& target, const Work& work) {
  detail::require_gradient_at(of, input, target);
  const detail::Recording recording;
  return work(as_target(target));
}

}  // namespace salience
