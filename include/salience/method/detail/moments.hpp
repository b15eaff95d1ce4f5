// Moments: mean, square and variance of maps that come one by one.
#pragma once

#include <cmath>
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace salience::detail {

/// Welford's one-pass mean and sum of squared deviations of one sample's maps.
struct Moments {
  std::int64_t count = 0;
  at::Tensor mean, deviations, squares;
  at::Tensor delta;  // a place to work in

  void add(const at::Tensor& value, bool keep_squares = false) {
    if (++count == 1) {
      mean = value.clone();
      deviations = value.mul(0.0);
      delta = value.new_empty(value.sizes());
      if (keep_squares) squares = value.square();
      return;
    }
    const double share = 1.0 / static_cast<double>(count);
    delta.copy_(value).sub_(mean);
    mean.add_(delta, share);
    deviations.addcmul_(delta, delta, 1.0 - share);  // value - mean is now (1 - share) delta
    if (keep_squares) squares.addcmul_(value, value);
  }

  /// The standard error of each value of the mean, in float64; NaN of fewer than two.
  at::Tensor errors() const {
    const auto n = static_cast<double>(count);
    return deviations.to(at::kDouble).div(n * (n - 1.0)).sqrt();
  }

  /// The L2 norm of the mean's standard error over that of the mean; NaN of fewer than two.
  double standard_error() const {
    if (count == 0) return NAN;
    const auto n = static_cast<double>(count);
    const double variance = deviations.sum(at::kDouble).item<double>() / (n - 1.0);  // NaN for n = 1
    return std::sqrt(variance / n) / mean.to(at::kDouble).norm().item<double>();
  }
};

}  // namespace salience::detail
