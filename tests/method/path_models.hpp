// Models, an input and a baseline for the methods that go along a path.
#pragma once

#include <ATen/core/Tensor.h>

#include "../support.hpp"

namespace support::paths {

inline const at::Tensor slope = normal({6}, at::kDouble, 6);
inline const auto linear = [](const at::Tensor& x) {
  return x.mul(slope.to(x.scalar_type())).sum(1, /*keepdim=*/true).add(3.0);
};
/// Elementwise and bumpy, so that rows are independent bit by bit.
inline const auto bumpy = [](const at::Tensor& x) { return x.sin().mul(x).add(x.relu()); };
/// Rectifiers with kinks on the way.
inline const at::Tensor weights = normal({6, 8}, at::kDouble, 15);
inline const at::Tensor bias = normal({8}, at::kDouble, 16);
inline const auto kinked = [](const at::Tensor& x) {
  const auto dtype = x.scalar_type();
  return x.matmul(weights.to(dtype)).add(bias.to(dtype)).relu().sum(1, /*keepdim=*/true);
};

inline const at::Tensor input = normal({5, 6}, at::kDouble, 7);
inline const at::Tensor start = normal({5, 6}, at::kDouble, 8);

}  // namespace support::paths
