// pixel_map: an attribution as one number per pixel, for metrics.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/view/attribution_options.hpp>
#include <salience/view/attribution_processor.hpp>

namespace salience {

/// How an attribution becomes one number a pixel. The default is the signed sum over the channels, as Quantus
/// takes it: what speaks against the target comes last. For maps whose sign says nothing (the gradient of a
/// picture), take `{.activation = Activation::abs}`: the sum of the absolute values.
struct PixelMapOptions {
  Activation activation = Activation::none;           ///< of each channel, first
  ChannelReduction channels = ChannelReduction::sum;  ///< then over the channels
};

namespace detail {

/// pixel_map without its dimension of one channel: (N, H, W).
inline at::Tensor pixels_of(const at::Tensor& values, const PixelMapOptions& options) {
  if (!values.defined() || values.dim() < 2 || values.numel() == 0) {
    throw ArgumentError::out_of_range("the map of a metric", shape(values),
                                      "a batch of maps (N, C, H, W), (N, H, W) or (N, F)");
  }
  at::Tensor map = values.detach().to(at::kCPU, at::kDouble).contiguous();
  if (!all_finite(map)) {
    throw ArgumentError("the map of a metric holds values that are not finite");
  }
  // The view's arithmetic: sums channel by channel, as numpy's, and roots rounded correctly.
  const AttributionProcessor reduce({.activation = options.activation,
                                     .reduce_first = true,
                                     .normalize = false,
                                     .channels = options.channels});
  if (map.dim() != 4) return reduce.values(map.reshape({1, -1})).view(map.sizes());
  return reduce.values(map).view({map.size(0), map.size(2), map.size(3)});
}

/// The map of pixels of an input's attribution, which must cover that input.
inline at::Tensor pixel_map_of(const at::Tensor& input, const at::Tensor& values,
                               const PixelMapOptions& options) {
  at::Tensor map = pixels_of(values, options);
  const std::int64_t own = map.dim() - 1;
  if (input.dim() < map.dim() || map.size(0) != input.size(0) ||
      map.sizes().slice(1) != input.sizes().slice(static_cast<std::size_t>(input.dim() - own))) {
    throw ArgumentError(concat("a map of shape ", shape(values), " does not cover an input of shape ",
                               shape(input), ", pixel by pixel"));
  }
  return map;
}

/// Of each pixel how many of its map come before it: 0 for the largest; of equal ones the first in the
/// order of rows is the first. int64, in the map's shape.
inline at::Tensor ranks(const at::Tensor& map) {
  const auto [values, order] =
      map.reshape({map.size(0), -1}).sort(/*stable=*/true, /*dim=*/1, /*descending=*/true);
  return order.argsort(std::int64_t{1}).reshape(map.sizes());
}

}  // namespace detail

/// The maps of pixels of attributions (N, C, H, W) or (N, H, W): (N, 1, H, W), float64, on the CPU; an
/// AttributionProcessor draws it as N pictures. Values of another number of dimensions, as (N, F), have no
/// channels: they keep their shape, and each is a pixel. The result may share the caller's memory. Throws
/// ArgumentError for values that are no batch of maps or not finite.
inline at::Tensor pixel_map(const at::Tensor& values, const PixelMapOptions& options = {}) {
  const at::Tensor map = detail::pixels_of(values, options);
  return map.dim() == 3 ? map.unsqueeze(1) : map;
}

}  // namespace salience
