// resize and center_crop: the two geometric steps between a photo and a network's input, byte for byte those
// of Pillow and torchvision, so that a network trained in Python sees the same pixels here.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>

namespace salience {

namespace detail {

inline const std::uint8_t* pixel_at(const Image& image, int y, int x) {
  const std::size_t index =
      static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width()) + static_cast<std::size_t>(x);
  return image.pixels().data() + index * static_cast<std::size_t>(image.channels());
}
inline std::uint8_t* pixel_at(Image& image, int y, int x) {
  return image.pixels().data() +
         (pixel_at(std::as_const(image), y, x) - std::as_const(image).pixels().data());
}

/// The weights of one axis of a resampling: out[i] = sum over k of weights[i * stride + k] * in[first[i] +
/// k], k < count[i], in fixed point.
struct ResampleAxis {
  static constexpr int fraction_bits = 22;  // 8 bits of pixel, 22 of weight and 2 to spare fill an int32

  ResampleAxis(int in_size, int out_size);

  std::size_t stride;
  std::vector<int> first;
  std::vector<int> count;
  std::vector<std::int32_t> weights;
};

/// a * b, rounded. Without the volatile a compiler may fuse the product with a later addition (-march=native,
/// ARM), which moves a weight by its last bit and with it a pixel now and then.
inline double rounded_product(double a, double b) {
  const volatile double product = a * b;
  return product;
}

// NOLINTBEGIN(bugprone-incorrect-roundings): as Pillow rounds
inline ResampleAxis::ResampleAxis(int in_size, int out_size) {
  const double scale = static_cast<double>(in_size) / out_size;
  const double support = std::max(scale, 1.0);  // shrinking widens the triangle: that is the antialiasing
  const double inverse = 1.0 / support;
  stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  first.resize(static_cast<std::size_t>(out_size));
  count.resize(first.size());
  weights.resize(first.size() * stride);
  std::vector<double> row(stride);
  for (std::size_t i = 0; i < first.size(); ++i) {
    const double center = rounded_product(static_cast<double>(i) + 0.5, scale);
    first[i] = std::max(0, static_cast<int>(center - support + 0.5));
    count[i] = static_cast<int>(std::min<double>(in_size, center + support + 0.5)) - first[i];
    double total = 0;
    for (int k = 0; k < count[i]; ++k) {
      const double distance = std::abs(rounded_product(k + first[i] - center + 0.5, inverse));
      row[static_cast<std::size_t>(k)] = std::max(0.0, 1.0 - distance);
      total += row[static_cast<std::size_t>(k)];
    }
    for (int k = 0; k < count[i]; ++k) {
      const double weight = total == 0 ? 0 : row[static_cast<std::size_t>(k)] / total;
      weights[i * stride + static_cast<std::size_t>(k)] =
          static_cast<std::int32_t>(0.5 + weight * (1 << fraction_bits));
    }
  }
}
// NOLINTEND(bugprone-incorrect-roundings)

constexpr std::uint32_t resample_half = 1U << (ResampleAxis::fraction_bits - 1);

inline std::uint8_t resample_pixel(std::uint32_t sum) {
  return static_cast<std::uint8_t>(std::min(sum >> ResampleAxis::fraction_bits, 255U));
}

/// One row of pixels, from `in` to `out`. Channels = 0: any number, given at run time.
template <int Channels>
void resample_row(const std::uint8_t* in, std::uint8_t* out, const ResampleAxis& axis, int any_channels) {
  const std::ptrdiff_t channels = Channels ? Channels : any_channels;
  for (std::size_t i = 0; i < axis.first.size(); ++i, out += channels) {
    const std::uint8_t* pixel = in + axis.first[i] * channels;
    const std::int32_t* weight = &axis.weights[i * axis.stride];
    const int count = axis.count[i];
    if constexpr (Channels == 3) {  // three sums side by side: the pixels are read once
      std::uint32_t red = resample_half, green = resample_half, blue = resample_half;
      for (int k = 0; k < count; ++k, pixel += 3) {
        const auto w = static_cast<std::uint32_t>(weight[k]);
        red += pixel[0] * w;
        green += pixel[1] * w;
        blue += pixel[2] * w;
      }
      out[0] = resample_pixel(red);
      out[1] = resample_pixel(green);
      out[2] = resample_pixel(blue);
    } else {
      for (std::ptrdiff_t c = 0; c < channels; ++c) {
        std::uint32_t sum = resample_half;
        for (int k = 0; k < count; ++k) {
          sum += pixel[k * channels + c] * static_cast<std::uint32_t>(weight[k]);
        }
        out[c] = resample_pixel(sum);
      }
    }
  }
}

/// The picture at another width.
inline Image resample_width(const Image& image, int width) {
  const ResampleAxis axis(image.width(), width);
  const int channels = image.channels();
  const auto resample = channels == 3 ? resample_row<3> : channels == 1 ? resample_row<1> : resample_row<0>;
  Image result(image.height(), width, channels);
  for (int y = 0; y < image.height(); ++y) {
    resample(pixel_at(image, y, 0), pixel_at(result, y, 0), axis, channels);
  }
  return result;
}

/// The picture at another height.
inline Image resample_height(const Image& image, int height) {
  const ResampleAxis axis(image.height(), height);
  const auto row_size = static_cast<std::size_t>(image.width()) * static_cast<std::size_t>(image.channels());
  Image result(height, image.width(), image.channels());
  std::uint8_t* out = result.pixels().data();
  // A block of columns has a fixed width, so that the compiler turns its loops into vector instructions at
  // -O2.
  constexpr std::size_t block = 64;
  for (std::size_t i = 0; i < axis.first.size(); ++i, out += row_size) {
    const std::uint8_t* rows = pixel_at(image, axis.first[i], 0);
    const std::int32_t* weight = &axis.weights[i * axis.stride];
    for (std::size_t x = 0; x < row_size; x += block) {
      std::array<std::uint32_t, block> sums;
      sums.fill(resample_half);
      const std::uint8_t* row = rows + x;
      if (x + block <= row_size) {
        for (int k = 0; k < axis.count[i]; ++k, row += row_size) {
          const auto w = static_cast<std::uint32_t>(weight[k]);
          for (std::size_t j = 0; j < block; ++j) sums[j] += row[j] * w;
        }
        for (std::size_t j = 0; j < block; ++j) out[x + j] = resample_pixel(sums[j]);
      } else {
        const std::size_t rest = row_size - x;
        for (int k = 0; k < axis.count[i]; ++k, row += row_size) {
          const auto w = static_cast<std::uint32_t>(weight[k]);
          for (std::size_t j = 0; j < rest; ++j) sums[j] += row[j] * w;
        }
        for (std::size_t j = 0; j < rest; ++j) out[x + j] = resample_pixel(sums[j]);
      }
    }
  }
  return result;
}

inline void require_size(std::string_view what, int height, int width) {
  if (height <= 0 || width <= 0) {
    throw ArgumentError(concat(what, " needs a positive height and width, got ", height, "x", width));
  }
}

}  // namespace detail

/// Which axis resize() goes along first. The two differ by one level here and there, as the first pass rounds
/// to 8 bits.
enum class ResizeOrder {
  pillow,  ///< as Pillow 13: columns first where the height shrinks by more than twice as many pixels as the
           ///< width
  width_first  ///< rows first, always, as Pillow before version 13
};

/// The picture at height x width by bilinear resampling with antialiasing, byte for byte what Pillow's
/// `image.resize((width, height), Image.BILINEAR)` gives for gray and RGB.
///
/// Each output value is the mean of the input values under a triangle as wide as two output pixels (two input
/// pixels when enlarging), along one axis, rounded to 8 bits, then along the other. An axis whose size does
/// not change is left alone.
///
/// Every channel is resampled on its own, whatever their number: alpha is not multiplied in first (Pillow
/// does so for its modes LA and RGBA). Throws ArgumentError if a size is not positive or the picture is
/// empty.
inline Image resize(const Image& image, int height, int width, ResizeOrder order = ResizeOrder::pillow) {
  detail::require_size("resize", height, width);
  if (image.empty()) throw ArgumentError("resize needs a picture, got an empty one");
  if (height == image.height()) return width == image.width() ? image : detail::resample_width(image, width);
  if (width == image.width()) return detail::resample_height(image, height);
  const std::int64_t fewer_rows = std::int64_t{image.height()} - height;
  const std::int64_t fewer_columns = std::int64_t{image.width()} - width;
  const bool height_first = order == ResizeOrder::pillow && fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
  return height_first ? detail::resample_width(detail::resample_height(image, height), width)
                      : detail::resample_height(detail::resample_width(image, width), height);
}

/// The height x width pixels in the middle, as torchvision's CenterCrop: where the picture is smaller, it is
/// first padded with zeros, the odd row or column below and to the right; where an odd number of rows or
/// columns is cut off, the offset (size - crop) / 2 is rounded half to even.
///
/// Throws ArgumentError if a size is not positive or the picture is empty.
inline Image center_crop(const Image& image, int height, int width) {
  detail::require_size("center_crop", height, width);
  if (image.empty()) throw ArgumentError("center_crop needs a picture, got an empty one");
  // Where the input's first row (column) lies in the output; negative when rows are cut off.
  const auto offset = [](int size, int crop) {
    if (crop >= size) return (crop - size) / 2;
    const int cut = size - crop;
    const int half = cut / 2;
    return -(cut % 2 == 0 ? half : half + half % 2);
  };
  const int top = offset(image.height(), height);
  const int left = offset(image.width(), width);
  const int channels = image.channels();
  Image result(height, width, channels);
  const auto copied = std::ptrdiff_t{channels} * std::min(width, image.width());
  for (int y = std::max(0, top); y < std::min(height, top + image.height()); ++y) {
    const std::uint8_t* from = detail::pixel_at(image, y - top, std::max(0, -left));
    std::copy_n(from, copied, detail::pixel_at(result, y, std::max(0, left)));
  }
  return result;
}

}  // namespace salience
