// The entry of every method: what holds before its own work begins.
#pragma once

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// Throws ArgumentError unless `input` is a dense batch (N, ...) of a floating type, with at least one sample
/// that is not empty. `enter`, `record` and `observe` ask for it themselves.
inline void require_input(const at::Tensor& input) {
  if (!input.defined() || input.dim() < 1 || input.numel() < 1) {
    throw ArgumentError::out_of_range("input", detail::shape(input),
                                      "a batch (N, ...) of at least one sample that is not empty");
  }
  if (input.layout() != at::kStrided || input.is_meta()) {
    throw ArgumentError::out_of_range("input",
                                      detail::concat("layout ", input.layout(), " on ", input.device()),
                                      "a dense tensor that holds its values (x.to_dense() makes one)");
  }
  if (!at::isFloatingType(input.scalar_type())) {
    throw ArgumentError::out_of_range("input", input.scalar_type(), "of a floating type");
  }
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

}  // namespace salience
