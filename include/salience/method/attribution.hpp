// Attribution: what every method returns.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

#include <salience/target/target_selector.hpp>

namespace salience {

/// The result of an attribution method for a batch of N samples. All tensors are detached from the autograd
/// graph. `values` lies on the input's device, the rest where the model's output does, in its dtype.
struct Attribution {
  at::Tensor values{};  ///< in the input's dtype and, unless the method says otherwise, in its shape
  at::Tensor target{};  ///< (N) int64, the classes that were explained; undefined for a score function
  at::Tensor score{};   ///< (N), the explained score on the clean input
  at::Tensor logits{};  ///< the model's output on the clean input
  OutputType output_type = OutputType::automatic;  ///< how it was read

  /// Of class activation maps, (N) bool: nothing in the map is above zero, so that there is nothing to show
  /// for the target; undefined otherwise.
  at::Tensor empty{};

  // Figures of the methods that take many evaluations, on the CPU; undefined where they do not apply.
  at::Tensor samples{};         ///< (N) int64, how many noisy copies each sample's values are the average of
  at::Tensor standard_error{};  ///< (N) float64, of the average map relative to the map (L2 norms)
  at::Tensor evaluations{};     ///< (N) int64, how many gradients were computed along the path
  at::Tensor completeness{};    ///< (N) float64, sum of the values minus the score's change along the path
  at::Tensor relative_completeness{};  ///< (N) float64, |completeness| over the |change|
  at::Tensor map_error{};  ///< (N) float64, estimated error of the map relative to the map (L1 norms)
  at::Tensor converged{};  ///< (N) bool, whether both tolerances were met
  bool complete = true;    ///< false if a progress callback stopped the work: the values are of what was done
};

/// How far a long method is.
struct Progress {
  std::int64_t done;   ///< evaluations
  std::int64_t total;  ///< at most this many
  double error;        ///< the method's own estimate, as it would report it now; negative if it has none yet
};

/// Called after each evaluation, on the caller's thread. Returning false ends the work: the method then
/// returns what it has, marked as not `complete`; a metric has NaN for what it does not know.
using ProgressCallback = std::function<bool(const Progress&)>;

namespace detail {

/// Stands for any target in the concept below. Never called, but compiled where a lambda's result is deduced.
struct SomeTarget {
  at::Tensor choose(const at::Tensor& output) const { return output; }
  at::Tensor score(const at::Tensor& output, const at::Tensor&) const { return output; }
};

}  // namespace detail

/// Any attribution method: called with an input and any target it gives an Attribution. Methods that wrap a
/// method ask for no more than this. A method of one's own takes the target as `const auto&`, since a wrapper
/// gives it a FixedTarget.
template <class A>
concept Attributor = requires(const A& attributor, const at::Tensor& input, const TargetSelector<>& target,
                              const detail::SomeTarget& other) {
  { attributor(input, target) } -> std::convertible_to<Attribution>;
  { attributor(input, other) } -> std::convertible_to<Attribution>;
};

namespace detail {

/// What an attributor would explain, without `values`: by its own `predict` if it has one.
template <Attributor A, class T>
Attribution predict_by(const A& attributor, const at::Tensor& input, const T& target) {
  if constexpr (requires { attributor.predict(input, target); }) {
    return attributor.predict(input, target);
  } else {
    Attribution whole = attributor(input, target);
    whole.values.reset();
    return whole;
  }
}

}  // namespace detail

}  // namespace salience
