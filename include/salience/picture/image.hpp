// Image: 8-bit pixels, interleaved, row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <salience/error.hpp>

namespace salience {

/// An 8-bit picture of shape (height, width, channels), interleaved, rows from top to bottom without padding.
///
/// One channel is gray, two are gray and alpha, three RGB, four RGBA; other numbers are allowed.
class Image {
 public:
  Image() = default;

  /// A black picture. Throws ArgumentError if a size is not positive, or all of them make more values than a
  /// memory can have (2^63).
  Image(int height, int width, int channels)
      : Image(height, width, channels, std::vector<std::uint8_t>(count(height, width, channels))) {}

  /// Takes `pixels` over. Throws ArgumentError if their number is not height x width x channels.
  Image(int height, int width, int channels, std::vector<std::uint8_t> pixels)
      : height_(height), width_(width), channels_(channels), pixels_(std::move(pixels)) {
    if (pixels_.size() != count(height, width, channels)) {
      throw ArgumentError(detail::concat("an image of ", height, "x", width, "x", channels, " needs ",
                                         count(height, width, channels), " values, got ", pixels_.size()));
    }
  }

  /// The number of rows.
  int height() const noexcept { return height_; }
  /// The number of columns.
  int width() const noexcept { return width_; }
  /// Values for each pixel.
  int channels() const noexcept { return channels_; }
  /// Whether there are no pixels, as in an Image{}.
  bool empty() const noexcept { return pixels_.empty(); }

  /// All values: pixel (y, x) begins at (y * width + x) * channels.
  std::span<const std::uint8_t> pixels() const noexcept { return pixels_; }
  /// The same, to write into.
  std::span<std::uint8_t> pixels() noexcept { return pixels_; }

  /// The pixel's value; the position is not checked.
  std::uint8_t operator()(int y, int x, int channel) const noexcept { return pixels_[offset(y, x, channel)]; }
  /// The same, to write into.
  std::uint8_t& operator()(int y, int x, int channel) noexcept { return pixels_[offset(y, x, channel)]; }

  /// Equal sizes and equal values.
  friend bool operator==(const Image&, const Image&) = default;

 private:
  static std::size_t count(int height, int width, int channels) {
    if (height <= 0 || width <= 0 || channels <= 0) {
      throw ArgumentError(
          detail::concat("an image needs positive sizes, got ", height, "x", width, "x", channels));
    }
    const auto pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    if (static_cast<std::size_t>(channels) > std::numeric_limits<std::ptrdiff_t>::max() / pixels) {
      throw ArgumentError(
          detail::concat("an image of ", height, "x", width, "x", channels, " is too large for any memory"));
    }
    return pixels * static_cast<std::size_t>(channels);
  }
  std::size_t offset(int y, int x, int channel) const noexcept {
    return (static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)) *
               static_cast<std::size_t>(channels_) +
           static_cast<std::size_t>(channel);
  }

  int height_ = 0;
  int width_ = 0;
  int channels_ = 0;
  std::vector<std::uint8_t> pixels_;
};

/// The picture in three channels, as Pillow's convert("RGB"): gray is repeated, alpha is dropped, not blended
/// in.
///
/// Throws ArgumentError unless the picture has one to four channels.
inline Image to_rgb(const Image& image) {
  const int channels = image.channels();
  if (channels < 1 || channels > 4) {
    throw ArgumentError::out_of_range("the number of channels", channels, "1 (gray), 2, 3 (RGB) or 4");
  }
  if (channels == 3) return image;
  Image rgb(image.height(), image.width(), 3);
  const std::size_t green = channels < 3 ? 0 : 1;
  const std::size_t blue = channels < 3 ? 0 : 2;
  const std::uint8_t* from = image.pixels().data();
  for (auto to = rgb.pixels().begin(); to != rgb.pixels().end(); to += 3, from += channels) {
    to[0] = from[0];
    to[1] = from[green];
    to[2] = from[blue];
  }
  return rgb;
}

/// The picture in one channel, as Pillow's convert("L"): L = (19595 R + 38470 G + 7471 B + 32768) >> 16,
/// which is 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2) in fixed point. Gray stays as it is, alpha is dropped.
///
/// Throws ArgumentError unless the picture has one to four channels.
inline Image to_gray(const Image& image) {
  if (image.channels() == 1) return image;
  const Image rgb = to_rgb(image);
  Image gray(image.height(), image.width(), 1);
  const std::uint8_t* from = rgb.pixels().data();
  for (std::uint8_t& to : gray.pixels()) {
    to = static_cast<std::uint8_t>((19595U * from[0] + 38470U * from[1] + 7471U * from[2] + 32768U) >> 16);
    from += 3;
  }
  return gray;
}

}  // namespace salience
