// Quickshift: segments around the modes of a picture's density.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/detail/features.hpp>
#include <salience/picture/detail/normal_draws.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/segments.hpp>

namespace salience {

/// Options of quickshift; the defaults are those of scikit-image. LIME's image explainer takes kernel 4,
/// distance 200 and ratio 0.2.
struct QuickshiftOptions {
  /// What a unit of colour counts against a pixel of distance, not below 0; mostly up to 1.
  double ratio = 1;
  /// The standard deviation of the density's kernel in pixels, at least 1: the larger, the fewer segments.
  double kernel = 5;
  /// How far a pixel may be from its parent, not below 0: the larger, the fewer segments.
  double distance = 10;
  /// The Gaussian that smooths the picture first, in pixels: its standard deviation, from 0 (none) to 1000.
  double sigma = 0;
  /// Of the noise that breaks ties.
  std::uint64_t seed = 42;
};

namespace detail {

/// The rows and columns that a window around a pixel has inside the picture, the last one left out.
struct PixelWindow {
  std::size_t top, bottom, left, right;

  PixelWindow(std::size_t y, std::size_t x, std::size_t height, std::size_t width, std::size_t radius)
      : top(y - std::min(y, radius)),
        bottom(std::min(y + radius + 1, height)),
        left(x - std::min(x, radius)),
        right(std::min(x + radius + 1, width)) {}
};

/// A picture in which a pixel is a point in space and colour.
struct QuickshiftField {
  std::size_t height, width;
  std::vector<double> lab;

  double squared_distance(std::size_t y, std::size_t x, std::size_t v, std::size_t u) const {
    const double* a = lab.data() + 3 * (y * width + x);
    const double* b = lab.data() + 3 * (v * width + u);
    double sum = 0;
    for (int channel = 0; channel < 3; ++channel)
      sum += (a[channel] - b[channel]) * (a[channel] - b[channel]);
    const double down = static_cast<double>(v) - static_cast<double>(y);
    const double right = static_cast<double>(u) - static_cast<double>(x);
    return sum + down * down + right * right;
  }

  /// At each pixel the sum of the kernel over a window of three standard deviations to each side, and noise.
  std::vector<double> densities(double kernel, std::uint64_t seed) const {
    constexpr double negligible = -60;  // e to this is nothing beside a pixel's own 1
    const double factor = -0.5 / (kernel * kernel);
    const std::size_t radius = window(3 * kernel);
    NormalDraws noise(seed);
    std::vector<double> density(height * width);
    for (double& value : density) value = 0.00001 * noise();
    for (std::size_t y = 0; y < height; ++y) {
      for (std::size_t x = 0; x < width; ++x) {
        const PixelWindow near(y, x, height, width, radius);
        double own = density[y * width + x] + 1;
        for (std::size_t v = y; v < near.bottom; ++v) {  // each pair once, and for each pixel row by row
          for (std::size_t u = v == y ? x + 1 : near.left; u < near.right; ++u) {
            const double exponent = squared_distance(y, x, v, u) * factor;
            if (exponent < negligible) continue;
            const double weight = std::exp(exponent);
            own += weight;
            density[v * width + u] += weight;
          }
        }
        density[y * width + x] = own;
      }
    }
    return density;
  }

  /// For each pixel the nearest denser one in the window of the densities, or itself.
  std::vector<std::uint32_t> parents(std::span<const double> density, double kernel, double distance) const {
    const std::size_t radius = std::min(window(3 * kernel), window(distance));
    std::vector<std::uint32_t> parent(density.size());
    std::iota(parent.begin(), parent.end(), std::uint32_t{0});
    for (std::size_t y = 0; y < height; ++y) {
      for (std::size_t x = 0; x < width; ++x) {
        const PixelWindow near(y, x, height, width, radius);
        double closest = std::numeric_limits<double>::infinity();
        std::size_t wanted = y * width + x;
        for (std::size_t v = near.top; v < near.bottom; ++v) {
          for (std::size_t u = near.left; u < near.right; ++u) {
            if (!(density[v * width + u] > density[y * width + x])) continue;
            const double squared = squared_distance(y, x, v, u);
            if (squared < closest) {
              closest = squared;
              wanted = v * width + u;
            }
          }
        }
        if (std::sqrt(closest) <= distance) parent[y * width + x] = static_cast<std::uint32_t>(wanted);
      }
    }
    return parent;
  }

 private:
  /// How many pixels to each side, no more than there can be.
  std::size_t window(double length) const {
    return static_cast<std::size_t>(
        std::min(std::ceil(length), static_cast<double>(std::max(height, width))));
  }
};

}  // namespace detail

/// Segments by Andrea Vedaldi and Stefano Soatto, "Quick Shift and Kernel Methods for Mode Seeking" (2008).
///
/// A pixel is a point p = (y, x, ratio L, ratio a, ratio b), of its position and its colour in CIE Lab. Its
/// density is the sum of exp(-|p - q|^2 / (2 kernel^2)) over the pixels q at most ceil(3 kernel) rows and
/// columns away. Its parent is the nearest q there of a higher density, unless it is farther than `distance`.
/// The trees are the segments, numbered in the order of their roots' pixels. They need not be connected, and
/// their number is what the picture makes it.
///
/// Labels are those of scikit-image's quickshift: the noise that breaks ties is its own, 1e-5 times NumPy's
/// default_rng(seed).normal(). Gray is repeated in three channels and alpha is dropped, where scikit-image
/// refuses them. The work grows with the pixels times kernel^2.
///
/// Throws ArgumentError if an option is outside its range, or unless the picture has one to four channels.
inline Segments quickshift(const Image& image, const QuickshiftOptions& options = {}) {
  detail::count_pixels(image.height(), image.width());
  if (!(options.ratio >= 0 && std::isfinite(options.ratio))) {
    throw ArgumentError::out_of_range("ratio", options.ratio, "a number not below 0");
  }
  if (!(options.kernel >= 1 && std::isfinite(options.kernel))) {
    throw ArgumentError::out_of_range("kernel", options.kernel, "a number of pixels from 1 on");
  }
  if (!(options.distance >= 0)) {
    throw ArgumentError::out_of_range("distance", options.distance, "a number not below 0");
  }
  detail::check_sigma(options.sigma);
  const int height = image.height(), width = image.width();
  detail::QuickshiftField field{static_cast<std::size_t>(height), static_cast<std::size_t>(width),
                                detail::gaussian(detail::lab_features(to_rgb(image), detail::unit_levels()),
                                                 height, width, options.sigma)};
  for (double& value : field.lab) value *= options.ratio;
  const std::vector<double> density = field.densities(options.kernel, options.seed);
  return detail::segments_of_forest(height, width, field.parents(density, options.kernel, options.distance));
}

}  // namespace salience
