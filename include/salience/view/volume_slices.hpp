// volume_slices: a volume slice by slice, with its map over each.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/overlay.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/view/attribution_options.hpp>
#include <salience/view/attribution_processor.hpp>

namespace salience {

/// What can be chosen of the slices of a volume.
struct VolumeSlicesOptions {
  std::int64_t count = 0;  ///< so many slices, evenly spaced; 0: all
  /// What is black and what is white in the volume, such as a window of a CT; by default its smallest and
  /// largest value.
  std::optional<ValueRange> range{};
};

namespace detail {

/// The slices that are shown, from 0: the middles of `count` equal parts.
inline std::vector<std::int64_t> chosen_slices(std::int64_t depth, std::int64_t count) {
  if (count < 0 || count > depth) {
    throw ArgumentError::out_of_range("count", count, concat("from 1 to ", depth, ", or 0 for all slices"));
  }
  if (count == 0) count = depth;
  std::vector<std::int64_t> slices;
  for (std::int64_t i = 0; i < count; ++i) slices.push_back((2 * i + 1) * depth / (2 * count));
  return slices;
}

/// One sample (C, D, H, W) of that or (1, C, D, H, W).
inline at::Tensor one_volume(const at::Tensor& volume, const char* name) {
  const bool fits = volume.defined() && volume.numel() > 0 &&
                    (volume.dim() == 4 || (volume.dim() == 5 && volume.size(0) == 1));
  if (!fits) {
    throw ArgumentError::out_of_range(name, shape(volume), "one volume, (1, C, D, H, W) or (C, D, H, W)");
  }
  return volume.dim() == 5 ? volume[0] : volume;
}

/// So many rows of a picture.
inline Image rows_of(const Image& picture, int first, int count) {
  Image part(count, picture.width(), picture.channels());
  const auto row = static_cast<std::size_t>(picture.width()) * static_cast<std::size_t>(picture.channels());
  std::memcpy(part.pixels().data(), picture.pixels().data() + static_cast<std::size_t>(first) * row,
              part.pixels().size());
  return part;
}

}  // namespace detail

/// A volume as pictures, a slice along its depth each, with its map over it, by the view's steps and with its
/// opacity. The scale is one for the whole volume, so that slices can be compared. RGB.
///
///     const AttributionProcessor view{{.activation = Activation::relu, .colormap = "jet"}};
///     std::vector<Image> slices = volume_slices(x, cam(x).values, view, {.count = 12});
///
/// Both are one sample, (1, C, D, H, W) or (C, D, H, W), and the map may have other channels than the volume.
/// A volume of three channels is shown in colour, any other by the mean of its channels in gray. For slices
/// along another dimension permute both. volume_sheet (view/volume_sheet.hpp) puts them on one sheet.
///
/// Throws ArgumentError for tensors of another shape, options out of range, a volume that is not finite, and
/// what the view throws for the map.
template <class First>
std::vector<Image> volume_slices(const at::Tensor& volume, const at::Tensor& values,
                                 const AttributionProcessor<First>& view,
                                 const VolumeSlicesOptions& options = {}) {
  const at::Tensor voxels = detail::one_volume(volume, "the volume to show");
  const at::Tensor map = detail::one_volume(values, "the map of a volume");
  if (map.sizes().slice(1) != voxels.sizes().slice(1)) {
    throw ArgumentError(detail::concat("a map of shape ", detail::shape(values),
                                       " does not cover a volume of shape ", detail::shape(volume)));
  }
  const std::vector<std::int64_t> slices = detail::chosen_slices(voxels.size(1), options.count);
  // All slices below one another are one picture, which a view normalises as a whole.
  const auto as_picture = [](const at::Tensor& all) { return all.flatten(1, 2).unsqueeze(0); };
  const AttributionProcessor gray(
      {.range = options.range, .channels = ChannelReduction::mean, .grayscale = voxels.size(0) != 3});
  const Image all = gray(as_picture(voxels)), heat = view(as_picture(map));
  const auto height = static_cast<int>(voxels.size(2));
  std::vector<Image> pictures;
  for (const std::int64_t slice : slices) {
    const int first = static_cast<int>(slice) * height;
    pictures.push_back(overlay(detail::rows_of(all, first, height), detail::rows_of(heat, first, height),
                               view.options().opacity));
  }
  return pictures;
}

}  // namespace salience
