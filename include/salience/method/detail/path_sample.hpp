// PathSample, PathSum and PathAccumulator: what the integrals along a path have in common.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include <ATen/core/Tensor.h>

#include <salience/method/path.hpp>

namespace salience::detail {

/// One sample's path from one baseline.
template <class P>
struct PathSample {
  /// The path is known beforehand, so that its steps may be taken in any order.
  static constexpr bool known = ParametricPath<P>;
  static constexpr bool straight = std::is_same_v<P, StraightPath>;

  const P& path;
  at::Tensor input, baseline;  ///< (...), without the batch dimension, in float32 at least
  at::Tensor way;              ///< from one to the other, if the path is straight

  /// Writes the path's point at t, of a path that is known.
  void point(double t, const at::Tensor& out) const {
    if constexpr (straight) {
      if (out.scalar_type() == way.scalar_type()) {
        out.copy_(baseline).add_(way, t);  // nothing is allocated
      } else {
        out.copy_(baseline.add(way, t));
      }
    } else {
      out.copy_(path.point(input, baseline, t));
    }
  }

  /// The path's step from one place to another, of a path that is known.
  at::Tensor step(double begin, double end) const {
    if constexpr (straight) {
      return way.mul(end - begin);
    } else {
      return path.point(input, baseline, end).sub(path.point(input, baseline, begin));
    }
  }

  /// Where the path begins.
  at::Tensor start() const {
    if constexpr (known) {
      return path.point(input, baseline, 0.0);
    } else {
      return baseline;
    }
  }
};

/// What is kept of one sample, over all baselines.
struct PathSum {
  at::Tensor map;            ///< of gradient times step
  at::Tensor gradient;       ///< of gradient times weight, if the map is not wanted
  double weight = 0.0;       ///< of all steps taken; 1 for a whole path
  double start_score = 0.0;  ///< of all baselines begun
  std::int64_t evaluations = 0;
  double squared_error = 0.0;  ///< sum of those of the maps, if they are estimated
  bool converged = true;       ///< as far as a tolerance was asked for

  void add(const at::Tensor& values) { accumulate(map, values); }

  static void accumulate(at::Tensor& sum, const at::Tensor& values, double weight = 1.0) {
    sum = sum.defined() ? sum.add_(values, weight) : values.mul(weight);
  }
};

/// Integrates along one sample's path, round by round, into the PathSum that it was made with. The samples of
/// a batch go side by side: what they want in one round is evaluated together, in chunks.
template <class A>
concept PathAccumulator = requires(A& sum, const A& known, std::int64_t k, const at::Tensor& tensor) {
  /// Begins a round: at how many points the gradient is wanted, 0 once there is nothing more to do.
  { sum.begin_round() } -> std::same_as<std::int64_t>;
  /// Writes the round's k-th point.
  known.point(k, tensor);
  /// Takes the gradient and the score at the k-th point, one after the other. The gradient is the caller's.
  sum.take(k, tensor, double{});
  /// The integral's own estimate of its error; negative if it has none.
  { known.error() } -> std::same_as<double>;
  /// Ends: `whole` unless the work was stopped, `score` is that at the input.
  sum.end(bool{}, double{});
};

}  // namespace salience::detail
