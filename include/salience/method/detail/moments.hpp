// Moments: mean, square and variance of maps that come one by one, and what they say of a method's draws.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/tensor/tensor.hpp>

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

/// Which of the samples are finished, (N) bool.
template <class Samples>
at::Tensor finished_of(const Samples& samples) {
  std::vector<std::int64_t> finished;
  finished.reserve(samples.size());
  for (const auto& sample : samples) finished.push_back(sample.finished);
  return vector_tensor<std::int64_t>(finished).to(at::kBool);
}

/// Fills in what the draws of each sample, a Moments each, give: `map(sample)` as its values, the errors of
/// these where they are the mean, and the figures `copies` and `standard_error`. A sample without a draw is
/// 0; without any the values stay undefined.
template <class Samples, class Map>
void fill_in_draws(Attribution& result, const Samples& samples, const at::Tensor& input, bool is_mean,
                   const Map& map) {
  std::vector<std::int64_t> copies;
  std::vector<double> errors;
  copies.reserve(samples.size());
  errors.reserve(samples.size());
  for (std::size_t n = 0; n < samples.size(); ++n) {
    const auto& sample = samples[n];
    copies.push_back(sample.count);
    errors.push_back(sample.standard_error());
    if (sample.count == 0) continue;
    const at::Tensor own = map(sample);
    if (!result.values.defined()) {
      result.values = batch_like(own.to(input.device(), input.scalar_type()), samples.size()).zero_();
      if (is_mean) result.values_error = empty(result.values.sizes(), at::kDouble).fill_(NAN);
    }
    result.values[static_cast<std::int64_t>(n)].copy_(own);
    if (is_mean) result.values_error[static_cast<std::int64_t>(n)].copy_(sample.errors());
  }
  result.copies = vector_tensor<std::int64_t>(copies);
  result.standard_error = vector_tensor<double>(errors);
}

/// The same of a method whose values are the mean.
template <class Samples>
void fill_in_draws(Attribution& result, const Samples& samples, const at::Tensor& input) {
  fill_in_draws(result, samples, input, /*is_mean=*/true, [](const Moments& sample) { return sample.mean; });
}

}  // namespace salience::detail
