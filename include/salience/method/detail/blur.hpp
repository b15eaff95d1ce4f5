// Gaussian blur of signals, pictures and volumes in tensors, as matrix products.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// What lies outside of a picture.
enum class Border {
  zero,     ///< nothing: scipy's "constant"
  nearest,  ///< the value at the border: scipy's "nearest"
};

/// The (size, size) matrix of a Gaussian of standard deviation `sigma`, sampled at whole pixels to 4 sigma
/// and normalised, as scipy.ndimage's gaussian_filter has it.
inline at::Tensor blur_matrix(std::int64_t size, double sigma, Border border) {
  // NOLINTNEXTLINE(bugprone-incorrect-roundings): as scipy rounds
  const auto radius = static_cast<std::int64_t>(4.0 * sigma + 0.5);
  std::vector<double> weight;
  double sum = 0.0;
  for (std::int64_t k = 0; k <= radius; ++k) {
    const double z = sigma > 0.0 ? static_cast<double>(k) / sigma : 0.0;
    weight.push_back(std::exp(-0.5 * z * z));
    sum += k == 0 ? weight.back() : 2.0 * weight.back();
  }
  at::Tensor matrix = empty({size, size}, at::kDouble).zero_();
  double* values = matrix.data_ptr<double>();
  for (std::int64_t row = 0; row < size; ++row) {
    for (std::int64_t k = -radius; k <= radius; ++k) {
      const std::int64_t column = row + k;
      const bool inside = column >= 0 && column < size;
      if (!inside && border == Border::zero) continue;
      values[row * size + std::clamp<std::int64_t>(column, 0, size - 1)] +=
          weight[static_cast<std::size_t>(std::abs(k))] / sum;
    }
  }
  return matrix;
}

/// Blurs the last dimensions: two, (H, W), or one or three; sigma in pixels.
inline at::Tensor blur(const at::Tensor& picture, double sigma, Border border, std::int64_t dimensions = 2) {
  if (picture.dim() < dimensions) {
    throw ArgumentError::out_of_range("the input of a blur", shape(picture), "pictures (..., H, W)");
  }
  if (sigma == 0.0) return picture;
  const auto along = [&](std::int64_t dimension) {
    return blur_matrix(picture.size(dimension), sigma, border).to(picture.device(), picture.scalar_type());
  };
  if (dimensions == 1) return picture.matmul(along(-1).t());
  const at::Tensor slices =
      dimensions == 3 ? along(-3).matmul(picture.flatten(-2)).view(picture.sizes()) : picture;
  return along(-2).matmul(slices).matmul(along(-1).t());
}

}  // namespace salience::detail
