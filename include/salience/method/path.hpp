// Paths from a baseline to an input, for Integrated Gradients.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <tuple>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/detail/blur.hpp>

namespace salience {

/// A path that is a function of t: `point` gives the point at t, from 0 (the baseline) to 1 (the input), for
/// one sample, without the batch dimension, in float32 or float64.
///
///     struct Curved {
///       at::Tensor point(const at::Tensor& input, const at::Tensor& baseline, double t) const {
///         return baseline.add(input.sub(baseline), t * t);
///       }
///     };
///
/// A path that begins elsewhere than at the baseline says so by `static constexpr bool takes_baseline =
/// false;`: to be given a baseline is then an ArgumentError.
template <class P>
concept ParametricPath = requires(const P& path, const at::Tensor& x, double t) {
  { path.point(x, x, t) } -> std::convertible_to<at::Tensor>;
};

/// A path that depends on the gradients along it: `next` gives the point at `to`, from the point at `from`
/// and the gradient there. It begins at the baseline; at 1 it must give the input.
template <class P>
concept GradientPath = requires(const P& path, const at::Tensor& x, double t) {
  { path.next(x, x, x, x, t, t) } -> std::convertible_to<at::Tensor>;
};

namespace detail {

/// Whether the path begins at the baseline.
template <class P>
constexpr bool takes_baseline() {
  if constexpr (requires { P::takes_baseline; }) return P::takes_baseline;
  return true;
}

/// Fails to compile with one sentence unless P is a path.
template <class P>
constexpr void require_path() {
  static_assert(ParametricPath<P> || GradientPath<P>,
                "Salience: a path must have point(input, baseline, t), or next(input, baseline, here, "
                "gradient, from, to), that gives an at::Tensor");
}

/// Throws ArgumentError for a baseline that the path would not look at.
template <class P>
void require_baseline_of_use(bool given) {
  if (given && !takes_baseline<P>()) {
    throw ArgumentError(
        "a baseline and this path exclude each other: it begins at a point of its own, as the blurred input");
  }
}

}  // namespace detail

/// The straight line (Sundararajan, Taly, Yan: "Axiomatic Attribution for Deep Networks", 2017).
struct StraightPath {
  /// \f$ b + t (x - b) \f$
  at::Tensor point(const at::Tensor& input, const at::Tensor& baseline, double t) const {
    return baseline.add(input.sub(baseline), t);
  }
};

/// From the blurred input to the input, by less and less blur (Xu, Venugopalan, Sundararajan: "Attribution in
/// Scale and Space", CVPR 2020): the path of Blur IG. A baseline is an ArgumentError.
struct BlurPath {
  static constexpr bool takes_baseline = false;  ///< it begins at the blurred input
  double max_sigma = 50.0;  ///< of the Gaussian at the beginning, in pixels; the default is PAIR's

  /// The input under a blur of (1 - t) max_sigma. Throws ArgumentError for a max_sigma that is not above 0,
  /// and for an input that is no picture (..., H, W).
  at::Tensor point(const at::Tensor& input, const at::Tensor&, double t) const {
    if (!(max_sigma > 0.0 && std::isfinite(max_sigma))) {
      throw ArgumentError::out_of_range("max_sigma", max_sigma, "above 0 pixels");
    }
    return detail::blur(input, (1.0 - t) * max_sigma, detail::Border::zero);
  }
};

/// The path of Guided IG (Kapishnikov et al.: "Guided Integrated Gradients: an Adaptive Path Method for
/// Removing Noise", CVPR 2021): in each step the elements with the smallest gradients move, so that regions
/// with large, noisy gradients are crossed late and in few steps.
struct GuidedPath {
  double fraction = 0.25;      ///< of the elements, with the smallest gradients, that are moved at a time
  double max_distance = 0.02;  ///< how far an element may be ahead of or behind the straight line, in [0, 1]

  /// From `here`, where the gradient is `gradient`, to a point whose L1 distance to the input is 1 - `to` of
  /// the baseline's. Throws ArgumentError for an option out of range.
  at::Tensor next(const at::Tensor& input, const at::Tensor& baseline, const at::Tensor& here,
                  const at::Tensor& gradient, double /*from*/, double to) const {
    if (!(fraction > 0.0 && fraction <= 1.0)) {
      throw ArgumentError::out_of_range("fraction", fraction, "above 0 and at most 1");
    }
    if (!(max_distance >= 0.0 && max_distance <= 1.0)) {
      throw ArgumentError::out_of_range("max_distance", max_distance, "from 0 to 1");
    }
    const at::Tensor way = input.sub(baseline);
    const double lowest = std::max(to - max_distance, 0.0);
    const at::Tensor lower = baseline.add(way, lowest);
    const at::Tensor upper = baseline.add(way, std::min(to + max_distance, 1.0));
    const double left = l1(way) * (1.0 - to);  // how far the input shall be after this step
    // Elements without a way give NaN, which is not behind anything.
    at::Tensor x = lower.where(here.sub(baseline).div(way).lt(lowest), here);
    at::Tensor steepness = gradient.abs();
    for (bool more = true; more;) {
      const double distance = l1(input.sub(x));
      const double gap = distance - left;
      if (gap <= 1e-9 * std::max(distance, 1.0)) break;
      const at::Tensor open = x.ne(upper);
      steepness = steepness.masked_fill(open.logical_not(), std::numeric_limits<double>::infinity());
      const auto rank = static_cast<std::int64_t>(fraction * static_cast<double>(x.numel() - 1)) + 1;
      const at::Tensor threshold = std::get<0>(steepness.reshape({-1}).kthvalue(rank));
      const at::Tensor moved = steepness.le(threshold).logical_and(open);
      const at::Tensor room = upper.sub(x);
      const double reach = l1(room.mul(moved));
      if (!(reach > 0.0)) break;
      more = gap > reach;
      x = (more ? upper : x.add(room, gap / reach)).where(moved, x);
    }
    return x;
  }

 private:
  static double l1(const at::Tensor& x) { return x.abs().sum(at::kDouble).item<double>(); }
};

}  // namespace salience
