// A coarse map in an input's size.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/upsample_bilinear2d_ops.h>
#include <ATen/ops/upsample_linear1d_ops.h>
#include <ATen/ops/upsample_trilinear3d_ops.h>

namespace salience::detail {

/// (N, C, cells...) with as many places as that along each of one, two or three dimensions: linearly,
/// bilinearly or trilinearly, align_corners=false.
inline at::Tensor interpolated(const at::Tensor& map, at::IntArrayRef places) {
  const std::vector<c10::SymInt> sizes(places.begin(), places.end());
  if (map.dim() == 3) return at::_ops::upsample_linear1d::call(map, sizes, /*align_corners=*/false, {});
  if (map.dim() == 4) return at::_ops::upsample_bilinear2d::call(map, sizes, /*align_corners=*/false, {}, {});
  return at::_ops::upsample_trilinear3d::call(map, sizes, /*align_corners=*/false, {}, {}, {});
}

/// A map (N, 1, places...) in the input's size.
inline at::Tensor upsampled(const at::Tensor& map, const at::Tensor& input) {
  if (map.dim() >= 3 && map.dim() <= 5) return interpolated(map, input.sizes().slice(2));
  if (input.dim() < 3) return map;
  std::vector<std::int64_t> sizes = input.sizes().vec(), ones(sizes.size(), 1);  // one number, everywhere
  sizes[1] = 1;
  ones[0] = sizes[0];
  return map.view(ones).expand(sizes).contiguous();
}

}  // namespace salience::detail
