// superpixels: the features of a network's input by a segmentation of the picture that it shows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/segments.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The number of each pixel's segment, (1, 1, H, W) int64 on the CPU: a mask of features.
inline at::Tensor segment_numbers(const Segments& segments) {
  at::Tensor numbers = detail::empty({1, 1, segments.height, segments.width}, at::kLong);
  std::copy(segments.labels.begin(), segments.labels.end(), numbers.data_ptr<std::int64_t>());
  return numbers;
}

/// Superpixels of each input, for a FeatureMask: what the network saw is made a picture again, cut into
/// segments, and these are numbered, (N, 1, H, W) int64.
///
///     const auto preprocess = imagenet_preprocessor(224, 224);
///     const FeatureMask mask{superpixels(preprocess, [](const Image& picture) {
///       return slic(picture, {.segments = 50});
///     })};
///     Lime lime{model, {.mask = mask}};
///
/// @param preprocessor   the Preprocessor that makes the network's inputs; its `picture` is the way back
/// @param segment        from an Image to its Segments
template <class Preprocessor, class Segment>
auto superpixels(Preprocessor preprocessor, Segment segment) {
  static_assert(std::is_invocable_r_v<Segments, const Segment&, const Image&>,
                "Salience: superpixels needs a function from a const Image& to Segments, as slic");
  return [preprocessor = std::move(preprocessor), segment = std::move(segment)](const at::Tensor& input) {
    if (input.dim() != 4)
      throw ArgumentError::out_of_range("the input of superpixels", detail::shape(input),
                                        "pictures (N, C, H, W)");
    at::Tensor numbers = detail::empty({input.size(0), 1, input.size(2), input.size(3)}, at::kLong);
    for (std::int64_t n = 0; n < input.size(0); ++n)
      numbers[n].copy_(segment_numbers(segment(preprocessor.picture(input[n])))[0]);
    return numbers;
  };
}

}  // namespace salience
