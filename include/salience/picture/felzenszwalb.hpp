// Felzenszwalb: segments between which a picture changes more than inside them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/detail/features.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/segments.hpp>

namespace salience {

/// Options of felzenszwalb; the defaults are those of scikit-image.
struct FelzenszwalbOptions {
  /// k of the paper times 255, for values from 0 to 1: the larger, the larger the segments. At least 0.
  double scale = 1;
  /// The Gaussian that smooths the picture first, in pixels: its standard deviation, from 0 (none) to 1000.
  double sigma = 0.8;
  /// Segments of fewer pixels are joined with a neighbour. At least 0.
  int minimum = 20;
};

namespace detail {

/// Trees of pixels whose root is the tree's first pixel.
class PixelForest {
 public:
  explicit PixelForest(std::size_t pixels) : parents_(pixels) {
    std::iota(parents_.begin(), parents_.end(), std::uint32_t{0});
  }

  std::uint32_t root(std::uint32_t pixel) {
    while (parents_[pixel] != pixel) {
      parents_[pixel] = parents_[parents_[pixel]];
      pixel = parents_[pixel];
    }
    return pixel;
  }

  /// Of two roots; gives the one that remains.
  std::uint32_t join(std::uint32_t a, std::uint32_t b) {
    parents_[std::max(a, b)] = std::min(a, b);
    return std::min(a, b);
  }

  std::span<const std::uint32_t> parents() const noexcept { return parents_; }

 private:
  std::vector<std::uint32_t> parents_;
};

/// Two neighbours and how far apart their colours are.
struct PixelEdge {
  double cost;
  std::uint32_t from, to;
};

/// Each pixel with its eight neighbours, the nearest colours first, equal ones in a fixed order.
inline std::vector<PixelEdge> sorted_edges(std::span<const double> values, std::size_t height,
                                           std::size_t width) {
  const std::size_t channels = values.size() / height / width;
  std::vector<PixelEdge> edges;
  edges.reserve(4 * height * width);
  const auto add = [&](std::size_t from, std::size_t to) {
    double sum = 0;
    for (std::size_t channel = 0; channel < channels; ++channel) {
      const double difference = values[from * channels + channel] - values[to * channels + channel];
      sum += difference * difference;
    }
    edges.push_back({std::sqrt(sum), static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to)});
  };
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 1; x < width; ++x) add(y * width + x, y * width + x - 1);
  }
  for (std::size_t y = 1; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) add(y * width + x, (y - 1) * width + x);
  }
  for (std::size_t y = 1; y < height; ++y) {
    for (std::size_t x = 1; x < width; ++x) add(y * width + x, (y - 1) * width + x - 1);
  }
  for (std::size_t y = 1; y < height; ++y) {
    for (std::size_t x = 1; x < width; ++x) add((y - 1) * width + x, y * width + x - 1);
  }
  std::stable_sort(edges.begin(), edges.end(),
                   [](const PixelEdge& a, const PixelEdge& b) { return a.cost < b.cost; });
  return edges;
}

/// Of `values` that are all finite, (height, width, channels).
inline Segments felzenszwalb(std::vector<double> values, int height, int width,
                             const FelzenszwalbOptions& options) {
  if (!(options.scale >= 0 && std::isfinite(options.scale))) {
    throw ArgumentError::out_of_range("scale", options.scale, "a number not below 0");
  }
  check_sigma(options.sigma);
  if (options.minimum < 0) {
    throw ArgumentError::out_of_range("minimum", options.minimum, "a number of pixels not below 0");
  }
  values = gaussian(std::move(values), height, width, options.sigma);
  const std::vector<PixelEdge> edges =
      sorted_edges(values, static_cast<std::size_t>(height), static_cast<std::size_t>(width));

  struct Tree {
    double inner = 0;  // the largest cost that joined it
    std::int32_t size = 1;
  };
  const std::size_t pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  std::vector<Tree> trees(pixels);
  PixelForest forest(pixels);
  const double k = options.scale / 255;
  const auto bound = [k](const Tree& tree) {  // in float32, as scikit-image has it
    return static_cast<float>(tree.inner + k / tree.size);
  };
  for (const PixelEdge& edge : edges) {
    const std::uint32_t a = forest.root(edge.from), b = forest.root(edge.to);
    if (a != b && edge.cost < static_cast<double>(std::min(bound(trees[a]), bound(trees[b])))) {
      trees[forest.join(a, b)] = {edge.cost, trees[a].size + trees[b].size};
    }
  }
  for (const PixelEdge& edge : edges) {
    const std::uint32_t a = forest.root(edge.from), b = forest.root(edge.to);
    if (a != b && std::min(trees[a].size, trees[b].size) < options.minimum) {
      trees[forest.join(a, b)].size = trees[a].size + trees[b].size;
    }
  }
  return segments_of_forest(height, width, forest.parents());
}

}  // namespace detail

/// Segments by Pedro F. Felzenszwalb and Daniel P. Huttenlocher, "Efficient Graph-Based Image Segmentation"
/// (2004), of any numbers: (height, width, channels), interleaved, row by row.
///
/// The picture is smoothed, and each pixel is joined by edges with its eight neighbours, which cost the
/// Euclidean distance of their colours. From the cheapest edge on, segments A and B at its ends become one if
/// it costs less than both
///
///     Int(A) + k / |A|   and   Int(B) + k / |B|,   k = scale / 255,
///
/// where Int is the largest cost that joined a segment so far and |.| its number of pixels. At last, segments
/// smaller than `minimum` are joined with a neighbour by their cheapest edge. Each segment is connected
/// (diagonally too), and they are numbered in the order of their first pixels. Their number is what the
/// picture makes it.
///
/// Labels are those of scikit-image's felzenszwalb, but for edges of equal costs: those are taken in a fixed
/// order here, and by an unstable sort there. Twice the values need twice the scale for the same segments.
/// Throws ArgumentError if a size is not positive, the values are not height x width x channels finite
/// numbers, or an option is outside its range.
inline Segments felzenszwalb(std::span<const double> values, int height, int width, int channels,
                             const FelzenszwalbOptions& options = {}) {
  const std::size_t pixels = detail::count_pixels(height, width);
  if (channels < 1) {
    throw ArgumentError::out_of_range("the number of channels", channels, "at least 1");
  }
  const std::uint64_t needed = std::uint64_t{pixels} * static_cast<std::uint64_t>(channels);
  if (values.size() != needed) {
    throw ArgumentError(detail::concat("a picture of ", height, "x", width, "x", channels, " needs ", needed,
                                       " values, got ", values.size()));
  }
  const auto bad = std::find_if(values.begin(), values.end(), [](double x) { return !std::isfinite(x); });
  if (bad != values.end()) {
    const std::size_t pixel =
        static_cast<std::size_t>(bad - values.begin()) / static_cast<std::size_t>(channels);
    const auto columns = static_cast<std::size_t>(width);
    throw ArgumentError(detail::concat("values to segment must be finite, got ", *bad, " at row ",
                                       pixel / columns, ", column ", pixel % columns));
  }
  return detail::felzenszwalb({values.begin(), values.end()}, height, width, options);
}

/// The same for a picture: its values from 0 to 1, in sRGB or gray, without alpha.
///
/// Throws ArgumentError unless the picture has one to four channels.
inline Segments felzenszwalb(const Image& image, const FelzenszwalbOptions& options = {}) {
  detail::count_pixels(image.height(), image.width());
  return detail::felzenszwalb(detail::features(detail::without_alpha(image), detail::unit_levels()),
                              image.height(), image.width(), options);
}

}  // namespace salience
