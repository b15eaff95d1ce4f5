// What superpixels look at: a picture's values as numbers, smoothed, in CIE Lab. Numbers are interleaved as
// the values of an Image are.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>

namespace salience::detail {

/// What each of the 256 values of a picture stands for.
using Levels = std::array<double, 256>;

/// From 0 to 1.
inline Levels unit_levels() {
  Levels levels{};
  for (std::size_t value = 0; value < levels.size(); ++value) {
    levels[value] = static_cast<double>(value) * (1.0 / 255.0);
  }
  return levels;
}

/// The picture's own smallest value becomes 0, its largest 1; of a flat picture each becomes 0.
inline Levels stretched_levels(const Image& image) {
  const auto extent = std::minmax_element(image.pixels().begin(), image.pixels().end());
  Levels levels = unit_levels();
  const double low = levels[*extent.first], range = levels[*extent.second] - low;
  for (double& level : levels) level = range > 0 ? (level - low) / range : level - low;
  return levels;
}

/// The picture without alpha: gray stays gray.
inline Image without_alpha(const Image& image) {
  return image.channels() <= 2 ? to_gray(image) : to_rgb(image);
}

/// The levels of the picture's values.
inline std::vector<double> features(const Image& image, const Levels& levels) {
  std::vector<double> numbers;
  numbers.reserve(image.pixels().size());
  for (const std::uint8_t value : image.pixels()) numbers.push_back(levels[value]);
  return numbers;
}

/// CIE L*a*b* (1976) of an sRGB picture, white being D65 for two degrees: L from 0 to 100, a and b within
/// about 110. The levels are the picture's values from 0 to 1. The constants are those of scikit-image.
inline std::vector<double> lab_features(const Image& rgb, const Levels& levels) {
  Levels linear{};  // IEC 61966-2-1
  std::transform(levels.begin(), levels.end(), linear.begin(), [](double level) {
    return level > 0.04045 ? std::pow((level + 0.055) / 1.055, 2.4) : level / 12.92;
  });
  const auto curve = [](double x) { return x > 0.008856 ? std::cbrt(x) : 7.787 * x + 16.0 / 116.0; };
  std::vector<double> lab;
  lab.reserve(rgb.pixels().size());
  for (const std::uint8_t* pixel = rgb.pixels().data(); lab.size() < rgb.pixels().size(); pixel += 3) {
    const double r = linear[pixel[0]], g = linear[pixel[1]], b = linear[pixel[2]];
    const double x = curve((r * 0.412453 + g * 0.357580 + b * 0.180423) / 0.95047);
    const double y = curve(r * 0.212671 + g * 0.715160 + b * 0.072169);
    const double z = curve((r * 0.019334 + g * 0.119193 + b * 0.950227) / 1.08883);
    lab.push_back(116.0 * y - 16.0);
    lab.push_back(500.0 * (x - y));
    lab.push_back(200.0 * (y - z));
  }
  return lab;
}

/// Throws ArgumentError unless `sigma` is from 0 to 1000.
inline void check_sigma(double sigma) {
  if (!(sigma >= 0 && sigma <= 1000)) {  // above, the kernel would be larger than any picture
    throw ArgumentError::out_of_range("sigma", sigma, "a number from 0 to 1000, in pixels");
  }
}

/// Smooths along the middle one of three axes, (outer, size, inner): a Gaussian that ends at four sigma and
/// sums to 1. Behind an edge the picture is seen in a mirror there, again and again.
inline std::vector<double> gaussian_along(std::span<const double> values, std::size_t outer, std::size_t size,
                                          std::size_t inner, double sigma) {
  const auto radius =
      static_cast<std::size_t>(4 * sigma + 0.5);  // NOLINT(bugprone-incorrect-roundings): as SciPy
  std::vector<double> weights(radius + 1);
  for (std::size_t i = 0; i <= radius; ++i) {
    weights[i] = std::exp(-0.5 / (sigma * sigma) * static_cast<double>(i * i));
  }
  double sum = 0;  // from the left to the right, as NumPy adds the few weights of a small sigma
  for (std::size_t i = radius; i > 0; --i) sum += weights[i];
  for (const double weight : weights) sum += weight;
  for (double& weight : weights) weight /= sum;
  const std::size_t period = 2 * size;
  const auto mirrored = [=](std::size_t i) {  // i counts from a whole number of periods before the picture
    return i % period < size ? i % period : period - 1 - i % period;
  };
  const std::size_t origin = (radius / period + 1) * period;
  std::vector<double> result(values.size());
  for (std::size_t line = 0; line < outer; ++line) {
    const double* from = values.data() + line * size * inner;
    for (std::size_t i = 0; i < size; ++i) {
      double* to = result.data() + (line * size + i) * inner;
      for (std::size_t k = 0; k < inner; ++k) to[k] = from[i * inner + k] * weights[0];
      for (std::size_t j = radius; j > 0; --j) {
        const double* before = from + mirrored(origin + i - j) * inner;
        const double* behind = from + mirrored(origin + i + j) * inner;
        for (std::size_t k = 0; k < inner; ++k) to[k] += (before[k] + behind[k]) * weights[j];
      }
    }
  }
  return result;
}

/// Each channel smoothed by a Gaussian of `sigma` pixels; 0 leaves it as it is.
inline std::vector<double> gaussian(std::vector<double> values, int height, int width, double sigma) {
  if (sigma <= 1e-15) return values;
  const auto rows = static_cast<std::size_t>(height), columns = static_cast<std::size_t>(width);
  values = gaussian_along(values, 1, rows, values.size() / rows, sigma);
  return gaussian_along(values, rows, columns, values.size() / rows / columns, sigma);
}

}  // namespace salience::detail
