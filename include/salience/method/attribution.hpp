// Attribution: what every method returns, and Explained: what it explains.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

/// What an attribution method explains, for a batch of N samples: what every method's `predict` gives by the
/// forward pass alone. All tensors are detached from the autograd graph; they lie where the model's output
/// does, in its dtype.
struct Explained {
  at::Tensor target{};  ///< (N) int64, the classes that are explained; undefined for a score function
  at::Tensor score{};   ///< (N), the explained score on the clean input
  at::Tensor logits{};  ///< the model's output on the clean input
  OutputType output_type = OutputType::automatic;  ///< how it was read

  /// What is explained of sample n, from 0, with N = 1. Output whose first dimension is not N stays whole.
  /// Throws ArgumentError if there is no such sample.
  Explained sample(std::int64_t n) const;
};

/// What one value of an attribution belongs to.
enum class ValuesOf {
  elements,  ///< an element of the input, in whose shape the values are
  regions,   ///< a region of the input, all its channels together: a smooth map (N, 1, places...), to be
             ///< shown over the input. Class activation maps
  layer,     ///< an element of a layer's output, in whose shape the values are
};

/// The result of an attribution method for a batch of N samples: what was explained, the values, and figures
/// of how they came about. All tensors are detached from the autograd graph.
///
///     Attribution own{{.target = classes}, values};  // one that was made elsewhere, for a metric
struct Attribution : Explained {
  at::Tensor values{};  ///< on the input's device and in its dtype; for the shape see `values_of`
  ValuesOf values_of = ValuesOf::elements;  ///< what one value belongs to
  /// Of methods that average over draws: the standard error of each value, float64 on the CPU in the shape of
  /// `values`, NaN after a single draw. Undefined where it does not apply.
  at::Tensor values_error{};
  bool stopped = false;  ///< a progress callback ended the work: the values are of what was done until then

  // Figures, one per sample; undefined where they do not apply. `figures` lists them.

  /// (N) bool, of class activation maps and what is made of them: nothing in the map is above zero, so that
  /// there is nothing to show for the target.
  at::Tensor nothing_positive{};

  // Of the methods that take many evaluations, on the CPU.
  at::Tensor copies{};          ///< (N) int64, how many noisy copies each sample's values are the average of
  at::Tensor standard_error{};  ///< (N) float64, of the average map relative to the map (L2 norms)
  at::Tensor evaluations{};     ///< (N) int64, how many gradients were computed along the path
  /// (N) float64, what the values lack of the completeness axiom: their sum minus the score's change along
  /// the path.
  at::Tensor completeness_error{};
  at::Tensor relative_completeness_error{};  ///< (N) float64, |completeness_error| over the |change|
  // Of relevance, on the CPU: what did not reach the input, over the score. Undefined where the samples could
  // not be told apart: several in a program of a fixed batch.
  at::Tensor bias_share{};      ///< (N) float64, what biases took
  at::Tensor epsilon_share{};   ///< (N) float64, what epsilon took, and what had nobody to go to
  at::Tensor constant_share{};  ///< (N) float64, the rest: what is added or joined that does not depend on
                                ///< the input, and what a softmax loses
  at::Tensor map_error{};       ///< (N) float64, estimated error of the map relative to the map (L1 norms)
  at::Tensor converged{};       ///< (N) bool, of methods to a tolerance: whether it was met, or both were

  /// Sample n, from 0, with N = 1: views of the values, of the figures and of what was explained. A tensor
  /// whose first dimension is not N stays whole. Throws ArgumentError if there is no such sample.
  Attribution sample(std::int64_t n) const;
};

/// A figure of an attribution and its name.
struct Figure {
  std::string_view name;  ///< that of the member of Attribution
  at::Tensor values;      ///< (N) int64, float64 or bool
};

namespace detail {

/// All figures. What walks over the figures reads this list: a new one is added here.
inline constexpr std::array<std::pair<std::string_view, at::Tensor Attribution::*>, 11> figure_members{{
    {"nothing_positive", &Attribution::nothing_positive},
    {"copies", &Attribution::copies},
    {"standard_error", &Attribution::standard_error},
    {"evaluations", &Attribution::evaluations},
    {"completeness_error", &Attribution::completeness_error},
    {"relative_completeness_error", &Attribution::relative_completeness_error},
    {"bias_share", &Attribution::bias_share},
    {"epsilon_share", &Attribution::epsilon_share},
    {"constant_share", &Attribution::constant_share},
    {"map_error", &Attribution::map_error},
    {"converged", &Attribution::converged},
}};

/// Row n of N.
inline at::Tensor row_of(const at::Tensor& rows, std::int64_t n, std::int64_t count) {
  const bool batch = rows.defined() && rows.dim() > 0 && rows.size(0) == count;
  return batch ? rows.narrow(0, n, 1) : rows;
}

/// How many samples there are: as many as scores or, without scores, as values.
inline std::int64_t checked_count(const at::Tensor& score, const at::Tensor& values, std::int64_t n) {
  const at::Tensor& rows = score.defined() ? score : values;
  const std::int64_t count = rows.defined() && rows.dim() > 0 ? rows.size(0) : 0;
  if (n < 0 || n >= count) {
    throw ArgumentError::out_of_range("sample", n, concat("at least 0 and below ", count));
  }
  return count;
}

}  // namespace detail

inline Explained Explained::sample(std::int64_t n) const {
  const std::int64_t count = detail::checked_count(score, logits, n);
  return {.target = detail::row_of(target, n, count),
          .score = detail::row_of(score, n, count),
          .logits = detail::row_of(logits, n, count),
          .output_type = output_type};
}

inline Attribution Attribution::sample(std::int64_t n) const {
  const std::int64_t count = detail::checked_count(score, values, n);
  Attribution one = *this;
  for (at::Tensor* rows : {&one.target, &one.score, &one.logits, &one.values, &one.values_error}) {
    *rows = detail::row_of(*rows, n, count);
  }
  for (const auto& [name, member] : detail::figure_members) {
    one.*member = detail::row_of(one.*member, n, count);
  }
  return one;
}

/// The figures that the attribution has, in the order of its members.
///
///     for (const Figure& figure : figures(attribution)) std::cout << figure.name << figure.values;
inline std::vector<Figure> figures(const Attribution& attribution) {
  std::vector<Figure> defined;
  for (const auto& [name, member] : detail::figure_members) {
    if ((attribution.*member).defined()) defined.push_back({name, attribution.*member});
  }
  return defined;
}

/// How far a long method is.
struct Progress {
  std::int64_t done;   ///< evaluations
  std::int64_t total;  ///< at most this many
  double error;        ///< the method's own estimate, as it would report it now; negative if it has none yet
};

/// Called after each evaluation, on the caller's thread. Returning false ends the work: the method then
/// returns what it has, marked as `stopped`; a metric has NaN for what it does not know.
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

/// What an attributor would explain: by its own `predict` if it has one.
template <Attributor A, class T>
Explained predict_by(const A& attributor, const at::Tensor& input, const T& target) {
  if constexpr (requires { attributor.predict(input, target); }) {
    return attributor.predict(input, target);
  } else {
    Attribution whole = attributor(input, target);
    return whole;
  }
}

}  // namespace detail

}  // namespace salience
