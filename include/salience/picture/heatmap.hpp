// Heatmap: one number a pixel, and its plainest picture.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include <Eigen/Core>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>

namespace salience {

/// A map of shape (height, width), rows from top to bottom; `heatmap(y, x)` is one value.
template <class Scalar>
using BasicHeatmap = Eigen::Array<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

using Heatmap = BasicHeatmap<float>;

namespace detail {

/// An RGB picture whose pixel at (y, x) is `color(heatmap(y, x))`. Throws ArgumentError for NaN, which has no
/// colour.
template <class Scalar, class Color>
Image paint(const BasicHeatmap<Scalar>& heatmap, const Color& color) {
  if (heatmap.rows() > std::numeric_limits<int>::max() || heatmap.cols() > std::numeric_limits<int>::max()) {
    throw ArgumentError(
        concat("a heatmap of ", heatmap.rows(), "x", heatmap.cols(), " is too large for a picture"));
  }
  Image picture(static_cast<int>(heatmap.rows()), static_cast<int>(heatmap.cols()), 3);
  std::uint8_t* out = picture.pixels().data();
  for (Eigen::Index y = 0; y < heatmap.rows(); ++y) {
    for (Eigen::Index x = 0; x < heatmap.cols(); ++x, out += 3) {
      if (std::isnan(heatmap(y, x))) {
        throw ArgumentError(
            concat("a heatmap to draw must not hold NaN, got one at row ", y, ", column ", x));
      }
      std::copy_n(color(heatmap(y, x)).data(), 3, out);
    }
  }
  return picture;
}

}  // namespace detail

/// The heatmap in shades of gray, as RGB: every channel is 255 * min(max(x, 0), 1), computed in `Scalar` and
/// truncated to 8 bits, as numpy's `(255 * x.clip(0, 1)).astype(uint8)`. Infinities are clipped too.
///
/// Throws ArgumentError if the heatmap is empty or holds NaN.
template <class Scalar>
Image grayscale(const BasicHeatmap<Scalar>& heatmap) {
  return detail::paint(heatmap, [](Scalar value) {
    const auto level = static_cast<std::uint8_t>(Scalar{255} * std::clamp(value, Scalar{0}, Scalar{1}));
    return std::array{level, level, level};
  });
}

}  // namespace salience
