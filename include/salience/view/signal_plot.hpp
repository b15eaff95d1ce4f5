// signal_plot: a signal as a curve, with its map as colour behind it.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/overlay.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/view/attribution_options.hpp>
#include <salience/view/attribution_processor.hpp>

namespace salience {

/// What can be chosen of a plot of a signal. Sizes are in pixels.
struct SignalPlotOptions {
  int width = 640;  ///< of the plot, at least 16
  int height = 96;  ///< of the band of a channel, at least 16
  int gap = 8;      ///< white between two bands
  /// What the lower and the upper edge of a band stand for; by default the smallest and the largest value of
  /// each channel.
  std::optional<ValueRange> range{};
};

namespace detail {

/// One sample (C, L) of (C, L) or (1, C, L), float64 and contiguous on the CPU.
inline at::Tensor one_signal(const at::Tensor& signal, const char* name) {
  const bool fits = signal.defined() && signal.numel() > 0 &&
                    (signal.dim() == 2 || (signal.dim() == 3 && signal.size(0) == 1));
  if (!fits) throw ArgumentError::out_of_range(name, shape(signal), "one signal, (1, C, L) or (C, L)");
  const at::Tensor rows = signal.detach().to(at::kCPU, at::kDouble).contiguous();
  return rows.dim() == 3 ? rows[0] : rows;
}

/// Of each of `width` columns the place that it shows: the one in its middle, or of several places the one
/// with the largest magnitude in `values`, so that a short peak stays visible.
inline std::vector<std::int64_t> shown_places(const double* values, std::int64_t length, int width) {
  std::vector<std::int64_t> places;
  for (std::int64_t x = 0; x < width; ++x) {
    const std::int64_t first = x * length / width;
    const std::int64_t end = std::max((x + 1) * length / width, first + 1);
    const auto smaller = [](double a, double b) { return std::abs(a) < std::abs(b); };
    places.push_back(length <= width ? (2 * x + 1) * length / (2 * std::int64_t{width})
                                     : std::max_element(values + first, values + end, smaller) - values);
  }
  return places;
}

/// A part of an RGB picture that one channel's curve is drawn into.
struct Band {
  Image& picture;
  int top, height;

  void fill(int x, int first, int last, const std::array<std::uint8_t, 3>& color) const {
    for (int y = std::max(first, 0); y <= std::min(last, height - 1); ++y) {
      for (int c = 0; c < 3; ++c) picture(top + y, x, c) = color[static_cast<std::size_t>(c)];
    }
  }

  /// Straight lines between the values, in the middle of their places, two pixels thick.
  void curve(const double* values, std::int64_t length, const ValueRange& range) const {
    constexpr std::array<std::uint8_t, 3> axis{128, 128, 128}, ink{24, 24, 24};
    const double margin = 0.06 * height;  // the curve keeps off the edges
    const double span = range.maximum - range.minimum;
    const auto row = [&](double value) {
      const double share = span > 0.0 ? (value - range.minimum) / span : 0.5;
      return height - 1 - margin - std::clamp(share, 0.0, 1.0) * (height - 1 - 2 * margin);
    };
    const int width = picture.width();
    if (range.minimum <= 0.0 && range.maximum >= 0.0) {
      const auto zero = static_cast<int>(std::lround(row(0.0)));
      for (int x = 0; x < width; ++x) fill(x, zero, zero, axis);
    }
    const double step = static_cast<double>(width) / static_cast<double>(length);
    const auto line = [&](double from, double from_row, double to, double to_row) {
      const int last = std::min(static_cast<int>(to), width - 1);
      for (int x = static_cast<int>(from); x <= last; ++x) {
        const auto at = [&](double where) {
          const double share = to > from ? std::clamp((where - from) / (to - from), 0.0, 1.0) : 1.0;
          return from_row + share * (to_row - from_row);
        };
        const auto [low, high] = std::minmax({at(x), at(x + 1)});
        fill(x, static_cast<int>(std::lround(low)), static_cast<int>(std::lround(high)) + 1, ink);
      }
    };
    line(0.0, row(values[0]), 0.5 * step, row(values[0]));
    for (std::int64_t i = 0; i + 1 < length; ++i) {
      const double from = (static_cast<double>(i) + 0.5) * step;
      line(from, row(values[i]), from + step, row(values[i + 1]));
    }
    line(width - 0.5 * step, row(values[length - 1]), width, row(values[length - 1]));
  }

  void frame() const {
    constexpr std::array<std::uint8_t, 3> edge{160, 160, 160};
    for (int x = 0; x < picture.width(); ++x) {
      fill(x, 0, 0, edge);
      fill(x, height - 1, height - 1, edge);
    }
    fill(0, 0, height - 1, edge);
    fill(picture.width() - 1, 0, height - 1, edge);
  }
};

}  // namespace detail

/// A signal as a plot: a band for each channel with its curve, a gray line where zero is, and behind it the
/// map as colour, by the view's steps and with the view's opacity over white. RGB.
///
///     const AttributionProcessor view{{.activation = Activation::relu, .colormap = "viridis"}};
///     save_image("plot.png", signal_plot(x, cam(x).values, view));
///
/// Both are one sample, (1, C, L) or (C, L), time from left to right. A map of one channel, (1, 1, L), lies
/// behind all bands; one of C channels has a colour of its own in each, on one scale, so the view's
/// `channels` and `reduce_first` do nothing here: take pixel_map(values, {.signal = true}) for a map of the
/// places. Where several places share a column of pixels, the one with the largest magnitude gives the
/// colour.
///
/// Throws ArgumentError for tensors of another shape, a signal that is not finite, sizes out of range, and
/// what the view throws for the map.
template <class First>
Image signal_plot(const at::Tensor& signal, const at::Tensor& values, const AttributionProcessor<First>& view,
                  const SignalPlotOptions& options = {}) {
  const at::Tensor curves = detail::one_signal(signal, "the signal of a plot");
  const at::Tensor map = detail::one_signal(values, "the map of a plot");
  const std::int64_t channels = curves.size(0), length = curves.size(1);
  if (map.size(1) != length || (map.size(0) != channels && map.size(0) != 1)) {
    throw ArgumentError(detail::concat("a map of shape ", detail::shape(values),
                                       " does not cover a signal of shape ", detail::shape(signal)));
  }
  if (!detail::all_finite(curves)) throw ArgumentError("a signal to plot must not hold NaN or infinity");
  const auto at_least = [](const char* name, int value, int least) {
    if (value < least) throw ArgumentError::out_of_range(name, value, detail::concat("at least ", least));
  };
  at_least("width", options.width, 16);
  at_least("height", options.height, 16);
  at_least("gap", options.gap, 0);
  if (options.range && !(options.range->minimum <= options.range->maximum)) {
    throw ArgumentError::out_of_range(
        "range", detail::concat("from ", options.range->minimum, " to ", options.range->maximum),
        "ascending");
  }
  // A row for each channel of the map, a column for each place.
  const Image colors = to_rgb(view(values.reshape({1, 1, map.size(0), length})));
  const std::int64_t step = std::int64_t{options.height} + options.gap;
  Image background = detail::canvas(step * channels - options.gap, options.width, 3);
  std::fill(background.pixels().begin(), background.pixels().end(), std::uint8_t{255});
  Image heat = background;
  for (int c = 0; c < channels; ++c) {
    const int row = map.size(0) == 1 ? 0 : c;
    const std::vector<std::int64_t> places =
        detail::shown_places(map[row].template data_ptr<double>(), length, options.width);
    const detail::Band band{heat, static_cast<int>(step) * c, options.height};
    for (int x = 0; x < options.width; ++x) {
      const auto place = static_cast<int>(places[static_cast<std::size_t>(x)]);
      band.fill(x, 0, options.height - 1,
                {colors(row, place, 0), colors(row, place, 1), colors(row, place, 2)});
    }
  }
  Image plot = overlay(background, heat, view.options().opacity);
  for (int c = 0; c < channels; ++c) {
    const detail::Band band{plot, static_cast<int>(step) * c, options.height};
    const double* own = curves[c].template data_ptr<double>();
    const auto [lowest, highest] = std::minmax_element(own, own + length);
    band.curve(own, length, options.range.value_or(ValueRange{*lowest, *highest}));
    band.frame();
  }
  return plot;
}

}  // namespace salience
