// pixel_map: an attribution as one number per pixel, for metrics.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/view/attribution_options.hpp>
#include <salience/view/attribution_processor.hpp>

namespace salience {

/// How an attribution becomes one number a pixel. The default is the signed sum over the channels, as Quantus
/// takes it: what speaks against the target comes last. For maps whose sign says nothing (the gradient of a
/// picture), take `{.activation = Activation::abs}`: the sum of the absolute values.
///
/// A pixel is a place of the input, with all its channels: of a signal (N, C, L) a point in time, of a volume
/// (N, C, D, H, W) a voxel. Metrics that are given the input go by its rank. Where only values are given,
/// three dimensions are maps without channels, (N, H, W), unless `signal` says something else.
struct PixelMapOptions {
  Activation activation = Activation::none;           ///< of each channel, first
  ChannelReduction channels = ChannelReduction::sum;  ///< then over the channels
  bool signal = false;  ///< three dimensions are signals (N, C, L); false: maps (N, H, W)
};

namespace detail {

/// pixel_map without its dimension of one channel: (N, places...). `channels` says whether the second
/// dimension of the values has channels.
inline at::Tensor pixels_of(const at::Tensor& values, const PixelMapOptions& options, bool channels) {
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
  if (!channels) return reduce.values(map.reshape({1, -1})).view(map.sizes());
  std::vector<std::int64_t> sizes = map.sizes().vec();
  sizes.erase(sizes.begin() + 1);
  return reduce.values(map.dim() == 4 ? map : map.flatten(2).unsqueeze(2)).view(sizes);
}

/// The same of values of which nothing else is known: see PixelMapOptions.
inline at::Tensor pixels_of(const at::Tensor& values, const PixelMapOptions& options) {
  const bool channels = values.defined() && (values.dim() > 3 || (values.dim() == 3 && options.signal));
  return pixels_of(values, options, channels);
}

/// The same of values for this input: where they have its rank, they have its channels.
inline at::Tensor pixels_for(const at::Tensor& input, const at::Tensor& values,
                             const PixelMapOptions& options) {
  return pixels_of(values, options, values.defined() && values.dim() == input.dim() && values.dim() > 2);
}

/// The map of pixels of an input's attribution, which must cover that input.
inline at::Tensor pixel_map_of(const at::Tensor& input, const at::Tensor& values,
                               const PixelMapOptions& options) {
  at::Tensor map = pixels_for(input, values, options);
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
/// AttributionProcessor draws it as N pictures. Of volumes (N, C, D, H, W) it is (N, 1, D, H, W), of signals
/// (N, C, L), with the option `signal`, (N, 1, L). Values (N, F) have no channels: they keep their shape, and
/// each is a pixel. The result may share the caller's memory. Throws ArgumentError for values that are no
/// batch of maps or not finite.
inline at::Tensor pixel_map(const at::Tensor& values, const PixelMapOptions& options = {}) {
  const at::Tensor map = detail::pixels_of(values, options);
  return values.dim() > 2 ? map.unsqueeze(1) : map;
}

}  // namespace salience
