// Heatmap: one number per pixel, and its picture in gray.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <salience/error.hpp>
#include <salience/picture/detail/vectorized.hpp>
#include <salience/picture/image.hpp>

namespace salience {

/// A map of shape (height, width), rows from top to bottom; `heatmap(y, x)` is one value.
template <class Scalar>
using BasicHeatmap = Eigen::Array<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// One of float, as all of this library's own are.
using Heatmap = BasicHeatmap<float>;

namespace detail {

/// A black picture. Throws ArgumentError if a size is not positive or above an int's.
inline Image canvas(std::int64_t height, std::int64_t width, std::int64_t channels) {
  if (std::max({height, width, channels}) > std::numeric_limits<int>::max()) {
    throw ArgumentError(concat(height, "x", width, "x", channels, " is too large for a picture"));
  }
  return {static_cast<int>(height), static_cast<int>(width), static_cast<int>(channels)};
}

/// Colours for values: x gets the entry at floor(scale * x), computed in the values' type, or the first or
/// the last.
class Palette {
 public:
  /// Red, green, blue, and a byte that is not shown: four are written at once, and the next pixel overwrites
  /// it.
  using Entry = std::array<std::uint8_t, 4>;

  Palette(double scale, std::vector<Entry> entries) : scale_(scale), entries_(std::move(entries)) {}

  const std::vector<Entry>& entries() const noexcept { return entries_; }

  /// `rgb` holds three bytes a value. NaN gets the first colour.
  template <class Scalar>
  void draw(const Scalar* values, std::size_t count, std::uint8_t* rgb) const {
    const auto scale = static_cast<Scalar>(scale_);
    const auto last = static_cast<Scalar>(entries_.size() - 1);
    std::array<std::int32_t, 1024> positions;
    for (std::size_t done = 0; done < count;) {
      const std::size_t part = std::min(positions.size(), count - done);
      transform(values + done, part, positions.data(), [=](Scalar x) {
        const Scalar position = x * scale > 0 ? x * scale : Scalar{0};
        return static_cast<std::int32_t>(position < last ? position : last);
      });
      done += part;
      const bool ends = done == count;
      for (std::size_t i = 0; i + ends < part; ++i, rgb += 3) {
        std::memcpy(rgb, entries_[static_cast<std::size_t>(positions[i])].data(), 4);
      }
      if (ends) std::memcpy(rgb, entries_[static_cast<std::size_t>(positions[part - 1])].data(), 3);
    }
  }

  /// Throws ArgumentError for an empty heatmap and for NaN, which has no colour.
  template <class Scalar>
  Image operator()(const BasicHeatmap<Scalar>& heatmap) const {
    Image picture = canvas(heatmap.rows(), heatmap.cols(), 3);
    const auto count = static_cast<std::size_t>(heatmap.size());
    if (count_nan(heatmap.data(), count) > 0) {
      const Scalar* nan =
          std::find_if(heatmap.data(), heatmap.data() + count, [](Scalar x) { return x != x; });
      const auto position = nan - heatmap.data();
      throw ArgumentError(concat("a heatmap to draw must not hold NaN, got one at row ",
                                 position / heatmap.cols(), ", column ", position % heatmap.cols()));
    }
    draw(heatmap.data(), count, picture.pixels().data());
    return picture;
  }

 private:
  double scale_;
  std::vector<Entry> entries_;
};

inline Palette grays() {
  std::vector<Palette::Entry> entries;
  for (int level = 0; level < 256; ++level) {
    const auto byte = static_cast<std::uint8_t>(level);
    entries.push_back({byte, byte, byte, 0});
  }
  return {255.0, std::move(entries)};
}

}  // namespace detail

/// The heatmap in shades of gray, as RGB: every channel is 255 * min(max(x, 0), 1), computed in `Scalar` and
/// truncated to 8 bits, as numpy's `(255 * x.clip(0, 1)).astype(uint8)`. Infinities are clipped too.
///
/// Throws ArgumentError if the heatmap is empty or holds NaN.
template <class Scalar>
Image grayscale(const BasicHeatmap<Scalar>& heatmap) {
  return detail::grays()(heatmap);
}

}  // namespace salience
