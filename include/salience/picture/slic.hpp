// SLIC: compact segments of about equal size, by k-means of positions and colours.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/detail/connected_segments.hpp>
#include <salience/picture/detail/features.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/segments.hpp>

namespace salience {

/// Options of slic; the defaults are those of scikit-image, whose names stand in brackets.
struct SlicOptions {
  /// About how many segments, at least 1 (n_segments).
  int segments = 100;
  /// How much space counts against colour, above 0: the larger, the squarer the segments. For gray pictures,
  /// whose values are from 0 to 1 and not in Lab, take about 0.1.
  double compactness = 10;
  /// Rounds of k-means, at least 1 (max_num_iter).
  int iterations = 10;
  /// The Gaussian that smooths the colours first, in pixels: its standard deviation, from 0 (none) to 1000.
  double sigma = 0;
  /// Whether each segment becomes one connected piece (enforce_connectivity).
  bool connected = true;
  /// Connected pieces below this part of the mean size are joined with a neighbour, not below 0
  /// (min_size_factor).
  double minimum_size = 0.5;
  /// Connected pieces are cut at this multiple of the mean size, not below `minimum_size` (max_size_factor).
  double maximum_size = 3;
  /// SLICO: colours count relative to the largest distance that each segment had so far (slic_zero).
  bool zero = false;
};

namespace detail {

/// Where the centres of a grid are on one axis: at first, first + step, and so on.
struct GridAxis {
  std::size_t first = 0, step = 1;

  std::size_t count(std::size_t size) const { return (size - first + step - 1) / step; }
};

struct Grid {
  GridAxis rows, columns;

  /// About `points` of them, as far from each other down as across; one row if the picture is too low for
  /// that.
  Grid(std::size_t height, std::size_t width, double points) {
    const double lower = static_cast<double>(std::min(height, width));
    const double upper = static_cast<double>(std::max(height, width));
    if (lower * upper <= points) return;
    const auto axis = [](double step) {
      return GridAxis{static_cast<std::size_t>(step / 2), static_cast<std::size_t>(std::nearbyint(step))};
    };
    const double step = std::sqrt(lower * upper / points);
    const GridAxis shorter = axis(lower < step ? lower : step);
    const GridAxis longer = axis(lower < step ? upper / points : step);
    rows = height <= width ? shorter : longer;
    columns = height <= width ? longer : shorter;
  }
};

/// k-means of the pixels of a picture of `channels` numbers a pixel.
template <std::size_t channels>
class SlicMeans {
 public:
  SlicMeans(std::vector<double> features, std::size_t height, std::size_t width, const SlicOptions& options)
      : features_(std::move(features)), height_(height), width_(width), options_(options) {
    const Grid grid(height, width, options.segments);
    // As in scikit-image a first centre has no colour of the picture: the first round sees positions alone.
    centres_.reserve(grid.rows.count(height) * grid.columns.count(width));
    for (std::size_t y = grid.rows.first; y < height; y += grid.rows.step) {
      for (std::size_t x = grid.columns.first; x < width; x += grid.columns.step) {
        centres_.push_back({.y = static_cast<double>(y), .x = static_cast<double>(x)});
      }
    }
    const double step = static_cast<double>(std::max(grid.rows.step, grid.columns.step));
    weight_ = 1 / (step * step);
    const Grid windows(height, width, static_cast<double>(centres_.size()));
    reach_y_ = 2 * static_cast<double>(windows.rows.step);
    reach_x_ = 2 * static_cast<double>(windows.columns.step);
    labels_.assign(height * width, 0);
    distances_.resize(height * width);
  }

  std::size_t centres() const noexcept { return centres_.size(); }

  /// The number of each pixel's centre after all rounds.
  std::vector<std::int32_t> labels() && {
    for (int round = 0; round < options_.iterations; ++round) {
      if (round > 0) move_centres();
      std::fill(distances_.begin(), distances_.end(), std::numeric_limits<double>::infinity());
      for (std::size_t k = 0; k < centres_.size(); ++k) assign(k);
    }
    return std::move(labels_);
  }

 private:
  struct Centre {
    double y = 0, x = 0;
    std::array<double, channels> colour{};
    double pixels = 1;
    double farthest = 1;  // the largest squared distance of a colour so far, for SLICO
  };

  /// Gives the pixels around a centre to it that are nearer to it than to those before.
  void assign(std::size_t k) {
    const Centre centre = centres_[k];
    if (centre.pixels == 0) return;  // it has no place any more
    const auto first = [](double x) { return static_cast<std::size_t>(std::max(x, 0.0)); };
    const auto last = [](double x, std::size_t size) {
      return static_cast<std::size_t>(std::min(x + 1, static_cast<double>(size)));
    };
    const std::size_t bottom = last(centre.y + reach_y_, height_), right = last(centre.x + reach_x_, width_);
    const std::size_t left = first(centre.x - reach_x_);
    for (std::size_t y = first(centre.y - reach_y_); y < bottom; ++y) {
      const double down = centre.y - static_cast<double>(y);
      const double* pixel = features_.data() + (y * width_ + left) * channels;
      for (std::size_t x = left; x < right; ++x, pixel += channels) {
        const double across = centre.x - static_cast<double>(x);
        double distance = colour_distance(centre, pixel);
        if (options_.zero) distance /= centre.farthest;
        distance = (down * down + across * across) * weight_ + distance;
        const std::size_t i = y * width_ + x;
        if (distance < distances_[i]) {
          distances_[i] = distance;
          labels_[i] = static_cast<std::int32_t>(k);
        }
      }
    }
  }

  /// Each centre becomes the mean of its pixels.
  void move_centres() {
    for (Centre& centre : centres_) centre = {.pixels = 0, .farthest = centre.farthest};
    for_each_pixel([](Centre& centre, double y, double x, const double* colour) {
      centre.pixels += 1;
      centre.y += y;
      centre.x += x;
      for (std::size_t c = 0; c < channels; ++c) centre.colour[c] += colour[c];
    });
    for (Centre& centre : centres_) {
      if (centre.pixels == 0) continue;
      centre.y /= centre.pixels;
      centre.x /= centre.pixels;
      for (double& value : centre.colour) value /= centre.pixels;
    }
    if (!options_.zero) return;
    for_each_pixel([](Centre& centre, double, double, const double* colour) {
      centre.farthest = std::max(centre.farthest, colour_distance(centre, colour));
    });
  }

  template <class Visit>
  void for_each_pixel(const Visit& visit) {
    std::size_t i = 0;
    for (std::size_t y = 0; y < height_; ++y) {
      for (std::size_t x = 0; x < width_; ++x, ++i) {
        visit(centres_[static_cast<std::size_t>(labels_[i])], static_cast<double>(y), static_cast<double>(x),
              features_.data() + i * channels);
      }
    }
  }

  static double colour_distance(const Centre& centre, const double* colour) {
    double sum = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      sum += (colour[c] - centre.colour[c]) * (colour[c] - centre.colour[c]);
    }
    return sum;
  }

  std::vector<double> features_;
  std::size_t height_, width_;
  SlicOptions options_;
  std::vector<Centre> centres_;
  double weight_ = 1, reach_y_ = 0, reach_x_ = 0;
  std::vector<std::int32_t> labels_;
  std::vector<double> distances_;
};

template <std::size_t channels>
Segments slic(std::vector<double> features, int height, int width, const SlicOptions& options) {
  features = gaussian(std::move(features), height, width, options.sigma);
  for (double& value : features) value *= 1 / options.compactness;
  SlicMeans<channels> means(std::move(features), static_cast<std::size_t>(height),
                            static_cast<std::size_t>(width), options);
  const std::size_t centres = means.centres();
  std::vector<std::int32_t> labels = std::move(means).labels();
  if (!options.connected) return without_gaps(std::move(labels), centres, height, width);
  const double pixels = static_cast<double>(labels.size());
  const double size = pixels / static_cast<double>(centres);
  const double maximum = std::clamp(std::floor(options.maximum_size * size), 1.0, pixels);
  const double minimum = std::min(std::floor(options.minimum_size * size), maximum);
  return connected_segments(labels, height, width, static_cast<std::size_t>(minimum),
                            static_cast<std::size_t>(maximum));
}

inline void check_slic(const SlicOptions& options) {
  if (options.segments < 1) {
    throw ArgumentError::out_of_range("segments", options.segments, "at least 1");
  }
  if (!(options.compactness > 0 && std::isfinite(options.compactness))) {
    throw ArgumentError::out_of_range("compactness", options.compactness, "a number above 0");
  }
  if (options.iterations < 1) {
    throw ArgumentError::out_of_range("iterations", options.iterations, "at least 1");
  }
  check_sigma(options.sigma);
  if (!(options.minimum_size >= 0 && std::isfinite(options.minimum_size))) {
    throw ArgumentError::out_of_range("minimum_size", options.minimum_size, "a number not below 0");
  }
  if (!(options.maximum_size >= options.minimum_size && std::isfinite(options.maximum_size))) {
    throw ArgumentError::out_of_range("maximum_size", options.maximum_size,
                                      concat("a number not below minimum_size, ", options.minimum_size));
  }
}

}  // namespace detail

/// Simple linear iterative clustering by Radhakrishna Achanta, Appu Shaji, Kevin Smith, Aurelien Lucchi,
/// Pascal Fua and Sabine Suesstrunk, "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods"
/// (2012).
///
/// k-means from a grid of centres a step S apart, in which a pixel looks at the centres within 2 S only, at
/// the squared distance
///
///     (dy^2 + dx^2) / S^2 + (dL^2 + da^2 + db^2) / compactness^2.
///
/// Colours are CIE Lab of the picture after its smallest value has become 0 and its largest 1; a gray picture
/// has its values from 0 to 1 instead. At last, each segment is made connected (up, down, left, right), small
/// pieces are joined and large ones cut. Their number is about `segments`; they are numbered in the order in
/// which they were met, row by row.
///
/// Labels are those of scikit-image's slic, minus its start_label of 1. It differs from the paper where the
/// first centres begin: on the grid, without a colour, not at the least gradient. Alpha is dropped.
///
/// Throws ArgumentError if an option is outside its range, or unless the picture has one to four channels.
inline Segments slic(const Image& image, const SlicOptions& options = {}) {
  detail::count_pixels(image.height(), image.width());
  detail::check_slic(options);
  const Image colours = detail::without_alpha(image);
  const detail::Levels levels = detail::stretched_levels(colours);
  const int height = image.height(), width = image.width();
  return colours.channels() == 1
             ? detail::slic<1>(detail::features(colours, levels), height, width, options)
             : detail::slic<3>(detail::lab_features(colours, levels), height, width, options);
}

}  // namespace salience
