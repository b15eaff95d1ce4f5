// Sparseness and complexity: over how few pixels a map is concentrated.
#pragma once

#include <tuple>

#include <ATen/core/Tensor.h>

#include <salience/metric/pixel_map.hpp>

namespace salience {

namespace detail {

/// The sizes of a map's values, one row a sample.
inline at::Tensor magnitudes(const at::Tensor& values, const PixelMapOptions& options) {
  const at::Tensor map = pixels_of(values, options);
  return map.reshape({map.size(0), -1}).abs();
}

}  // namespace detail

/// Sparseness, the Gini index of a map's magnitudes \f$ a_1 \le \dots \le a_P \f$ (Chalasani, Chen,
/// Chowdhury, Jha, Wu: "Concise Explanations of Neural Networks using Adversarial Training", 2020): \f$
/// \sum_k (2k - P - 1) a_k / (P \sum_k a_k) \f$. (N) float64, in [0, 1 - 1/P]: 0 for a constant map, 1 - 1/P
/// for a single pixel; higher is sparser. NaN for a map of zeros.
inline at::Tensor gini(const at::Tensor& values, const PixelMapOptions& options = {}) {
  const at::Tensor sizes = std::get<0>(detail::magnitudes(values, options).sort(1));
  const auto pixels = static_cast<double>(sizes.size(1));
  const at::Tensor weight = sizes.new_ones({sizes.size(1)}).cumsum(0).mul_(2.0).sub_(pixels + 1.0);
  return sizes.matmul(weight).div_(sizes.sum(1)).div_(pixels);
}

/// Complexity, the entropy of the shares \f$ p_i = |a_i| / \sum_j |a_j| \f$ of a map (Bhatt, Weller, Moura:
/// "Evaluating and Aggregating Feature-based Model Explanations", 2020): \f$ -\sum_i p_i \ln p_i \f$. (N)
/// float64, in [0, ln P]: 0 for a single pixel, ln P for a constant map; lower is simpler. NaN for a map of
/// zeros.
inline at::Tensor entropy(const at::Tensor& values, const PixelMapOptions& options = {}) {
  const at::Tensor sizes = detail::magnitudes(values, options);
  const at::Tensor share = sizes.div(sizes.sum(1, /*keepdim=*/true));
  return share.mul(share.log().masked_fill_(share.eq(0.0), 0.0)).sum(1).neg_();
}

}  // namespace salience
