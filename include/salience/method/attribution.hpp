// Attribution: what every method returns.
#pragma once

#include <concepts>

#include <ATen/core/Tensor.h>

#include <salience/target/target_selector.hpp>

namespace salience {

/// The result of an attribution method for a batch of N samples. All tensors are detached from the autograd
/// graph. `values` lies on the input's device, the rest where the model's output does, in its dtype.
struct Attribution {
  at::Tensor values;  ///< the attribution of each input element: the input's shape and dtype
  at::Tensor target;  ///< (N) int64, the classes that were explained; undefined for a score function
  at::Tensor score;   ///< (N), the explained score on the clean input
  at::Tensor logits;  ///< the model's output on the clean input
};

/// Any attribution method: called with an input and a target it gives an Attribution. Methods that wrap a
/// method ask for no more than this.
template <class A>
concept Attributor = requires(const A& attributor, const at::Tensor& input, const TargetSelector<>& target) {
  { attributor(input, target) } -> std::convertible_to<Attribution>;
};

}  // namespace salience
