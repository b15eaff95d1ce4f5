// Segments: a picture cut into parts, each pixel with the number of its part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>

namespace salience {

/// A picture cut into segments that do not overlap and leave nothing out.
///
/// What the functions of this library give is whole: the labels run from 0 to count - 1 and each is taken.
struct Segments {
  /// The number of rows.
  int height = 0;
  /// The number of columns.
  int width = 0;
  /// The segment of each pixel, from 0 to count - 1: pixel (y, x) is at y * width + x.
  std::vector<std::int32_t> labels;
  /// How many segments there are.
  std::int32_t count = 0;

  /// The pixel's segment; the position is not checked.
  std::int32_t operator()(int y, int x) const noexcept {
    return labels[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                  static_cast<std::size_t>(x)];
  }

  /// Throws ArgumentError unless both sizes are positive, there are height x width labels, and each is from 0
  /// to count - 1. Whether each segment has a pixel is not asked.
  void check() const;

  /// Equal sizes and equal labels.
  friend bool operator==(const Segments&, const Segments&) = default;
};

namespace detail {

/// Throws ArgumentError unless there are pixels, and no more than a label can count.
inline std::size_t count_pixels(int height, int width) {
  if (height <= 0 || width <= 0) {
    throw ArgumentError(concat("segments need a picture of positive sizes, got ", height, "x", width));
  }
  const std::int64_t pixels = std::int64_t{height} * width;
  if (pixels > std::numeric_limits<std::int32_t>::max()) {
    throw ArgumentError(concat("a picture of ", height, "x", width,
                               " is too large for segments, which take 2^31 - 1 pixels"));
  }
  return static_cast<std::size_t>(pixels);
}

/// Pixels with equal keys are a segment, numbered in the order of their first pixels.
inline Segments segments_by_key(int height, int width, std::span<const std::uint32_t> keys) {
  Segments segments{.height = height, .width = width, .labels = {}, .count = 0};
  segments.labels.reserve(keys.size());
  std::unordered_map<std::uint32_t, std::int32_t> numbers;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (i > 0 && keys[i] == keys[i - 1]) {
      segments.labels.push_back(segments.labels.back());
    } else {
      const auto found = numbers.try_emplace(keys[i], segments.count);
      if (found.second) ++segments.count;
      segments.labels.push_back(found.first->second);
    }
  }
  return segments;
}

/// A forest in which `parents[i]` is the parent of pixel i and a root is its own: each tree is a segment,
/// numbered in the order of the roots.
inline Segments segments_of_forest(int height, int width, std::span<const std::uint32_t> parents) {
  Segments segments{.height = height, .width = width, .labels = {}, .count = 0};
  segments.labels.assign(parents.size(), -1);
  for (std::size_t i = 0; i < parents.size(); ++i) {
    if (parents[i] == i) segments.labels[i] = segments.count++;
  }
  std::vector<std::size_t> path;
  for (std::size_t i = 0; i < parents.size(); ++i) {
    std::size_t node = i;
    for (; segments.labels[node] < 0; node = parents[node]) path.push_back(node);
    for (const std::size_t below : path) segments.labels[below] = segments.labels[node];
    path.clear();
  }
  return segments;
}

}  // namespace detail

inline void Segments::check() const {
  const std::size_t pixels = detail::count_pixels(height, width);
  if (labels.size() != pixels) {
    throw ArgumentError(
        detail::concat("segments of ", height, "x", width, " need ", pixels, " labels, got ", labels.size()));
  }
  for (std::size_t i = 0; i < pixels; ++i) {
    if (labels[i] < 0 || labels[i] >= count) {
      const auto columns = static_cast<std::size_t>(width);
      throw ArgumentError(detail::concat("a label of ", count, " segments must be from 0 to ",
                                         std::int64_t{count} - 1, ", got ", labels[i], " at row ",
                                         i / columns, ", column ", i % columns));
    }
  }
}

/// A grid of `rows` x `columns` rectangles, numbered row by row. Pixel (y, x) is in row floor(y rows /
/// height) and column floor(x columns / width), so heights and widths differ by one pixel at most.
///
/// Throws ArgumentError if a size is not positive, or there are more rows or columns than the picture has.
inline Segments grid_segments(int height, int width, int rows, int columns) {
  const std::size_t pixels = detail::count_pixels(height, width);
  if (rows < 1 || rows > height) {
    throw ArgumentError::out_of_range("the number of rows", rows,
                                      detail::concat("from 1 to the height ", height));
  }
  if (columns < 1 || columns > width) {
    throw ArgumentError::out_of_range("the number of columns", columns,
                                      detail::concat("from 1 to the width ", width));
  }
  const auto cell = [](int position, int cells, int size) {
    return static_cast<std::int32_t>(std::int64_t{position} * cells / size);
  };
  Segments segments{.height = height, .width = width, .labels = {}, .count = rows * columns};
  segments.labels.reserve(pixels);
  for (int y = 0; y < height; ++y) {
    const std::int32_t first = cell(y, rows, height) * columns;
    for (int x = 0; x < width; ++x) segments.labels.push_back(first + cell(x, columns, width));
  }
  return segments;
}

/// The segments that a mask picture shows: pixels of one colour are one segment, connected or not, numbered
/// in the order in which the colours first appear, row by row. Alpha counts as a part of the colour.
///
/// Save masks as PNG: JPEG makes new colours along each edge. Throws ArgumentError unless the picture has one
/// to four channels.
inline Segments segments_of(const Image& mask) {
  const std::size_t pixels = detail::count_pixels(mask.height(), mask.width());
  const int channels = mask.channels();
  if (channels > 4) throw ArgumentError::out_of_range("a mask's number of channels", channels, "from 1 to 4");
  std::vector<std::uint32_t> colours(pixels);
  const std::uint8_t* value = mask.pixels().data();
  for (std::uint32_t& colour : colours) {
    for (int channel = 0; channel < channels; ++channel) colour = colour << 8 | *value++;
  }
  return detail::segments_by_key(mask.height(), mask.width(), colours);
}

/// The segments of any labels, such as another library's: pixels of one label are one segment, connected or
/// not, numbered in the order in which the labels first appear, row by row.
///
/// `labels` has one for each pixel, row by row, of any value. Throws ArgumentError if a size is not positive
/// or there are not height x width labels.
inline Segments segments_of(int height, int width, std::span<const std::int32_t> labels) {
  const std::size_t pixels = detail::count_pixels(height, width);
  if (labels.size() != pixels) {
    throw ArgumentError(
        detail::concat("segments of ", height, "x", width, " need ", pixels, " labels, got ", labels.size()));
  }
  return detail::segments_by_key(height, width, std::vector<std::uint32_t>(labels.begin(), labels.end()));
}

}  // namespace salience
