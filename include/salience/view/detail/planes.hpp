// Planes: one sample's attribution on its way to a picture.
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
#include <salience/picture/detail/vectorized.hpp>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/image.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/view/attribution_options.hpp>

namespace salience::detail {

/// The sample as the option says: as it is, with 0 for what is not finite, or an ArgumentError.
template <class Scalar>
at::Tensor finite(const at::Tensor& sample, NonFinite wanted) {
  const auto* values = sample.data_ptr<Scalar>();
  const auto total = static_cast<std::size_t>(sample.numel());
  const std::size_t bad = count_where(values, total, [](Scalar x) { return x - x != Scalar{0}; });
  if (bad == 0) return sample;
  if (wanted == NonFinite::zero) return sample.nan_to_num(0.0, 0.0, 0.0);
  const std::size_t nan = count_nan(values, total);
  throw ArgumentError(concat("the attribution holds ", nan, " NaN and ", bad - nan, " infinite of ", total,
                             " values; the option non_finite = NonFinite::zero shows them as 0"));
}

/// One sample's attribution (C, H, W) on its way to a picture, in the arithmetic of float32 or float64.
/// Nothing of its size is stored: its values are made block by block, where they are wanted.
template <class Scalar>
class Planes {
 public:
  Planes(const at::Tensor& sample, const AttributionProcessorOptions& options)
      : sample_(finite<Scalar>(sample, options.non_finite)),
        raw_(sample_.data_ptr<Scalar>()),
        channels_(sample.size(0)),
        height_(sample.size(1)),
        width_(sample.size(2)),
        options_(options) {
    if (options.percentile < 100.0) limit_ = percentile();
    if (options.normalize) measure();
  }

  /// (H, W, C), or (H, W) for one channel.
  at::Tensor tensor() const {
    at::Tensor values = rows() == 1
                            ? empty({height_, width_}, c10::CppTypeToScalarType<Scalar>::value)
                            : empty({height_, width_, rows()}, c10::CppTypeToScalarType<Scalar>::value);
    interleave(values.template data_ptr<Scalar>(), [](Scalar x) { return x; });
    return values;
  }

  /// The channels as they are, uint8(255 * clip(x, 0, 1)).
  Image image() const {
    Image picture = canvas(height_, width_, rows());
    interleave(picture.pixels().data(), [](Scalar x) {
      const Scalar level = x > 0 ? Scalar{255} * x : Scalar{0};
      return static_cast<std::int32_t>(level < 255 ? level : Scalar{255});
    });
    return picture;
  }

  /// The channels taken together, in colours.
  Image image(const Palette& palette) const {
    Image picture = canvas(height_, width_, 3);
    each_block([&](std::int64_t first, std::size_t count) {
      Row row;
      if (options_.reduce_first) {
        shown(0, first, count, row.data());
      } else {
        reduce(first, count, row.data(), [this](auto... of) { shown(of...); });
      }
      palette.draw(row.data(), count, picture.pixels().data() + 3 * first);
    });
    return picture;
  }

  /// Before normalising.
  ValueRange range() const {
    Extent<Scalar> all;
    each_block([&](std::int64_t first, std::size_t count) {
      Row row;
      for (std::int64_t r = 0; r < rows(); ++r) {
        plain(r, first, count, row.data());
        all.add(row.data(), count);
      }
    });
    return {static_cast<double>(all.low), static_cast<double>(all.high)};
  }

 private:
  static constexpr std::int64_t block = 2048;  // pixels: a few rows of them stay in the first-level cache
  using Row = std::array<Scalar, block>;

  std::int64_t pixels() const { return height_ * width_; }
  /// How many values a pixel has after `reduce_first`.
  std::int64_t rows() const { return options_.reduce_first ? 1 : channels_; }

  template <class Visit>
  void each_block(const Visit& visit) const {
    for (std::int64_t first = 0; first < pixels(); first += block) {
      visit(first, static_cast<std::size_t>(std::min(block, pixels() - first)));
    }
  }

  template <class Out, class Convert>
  void interleave(Out* out, const Convert& convert) const {
    each_block([&](std::int64_t first, std::size_t count) {
      Row row;
      std::array<decltype(convert(Scalar{})), block> converted;
      for (std::int64_t r = 0; r < rows(); ++r) {
        shown(r, first, count, row.data());
        transform(row.data(), count, converted.data(), convert);
        Out* to = out + first * rows() + r;
        for (std::size_t i = 0; i < count; ++i, to += rows()) *to = static_cast<Out>(converted[i]);
      }
    });
  }

  // The steps, each on `count` values of one channel from pixel `first` on.

  void activated(std::int64_t channel, std::int64_t first, std::size_t count, Scalar* out) const {
    const Scalar* in = raw_ + channel * pixels() + first;
    const auto zero = Scalar{0};
    switch (options_.activation) {
      case Activation::none:
        std::copy_n(in, count, out);
        break;
      case Activation::abs:
        transform(in, count, out, [](Scalar x) { return std::abs(x); });
        break;
      case Activation::relu:
        transform(in, count, out, [=](Scalar x) { return x > zero ? x : zero; });
        break;
      case Activation::negative:
        transform(in, count, out, [=](Scalar x) { return x < zero ? -x : zero; });
    }
    if (!limit_) return;
    transform(out, count, out, [limit = *limit_](Scalar x) { return std::clamp(x, -limit, limit); });
  }

  /// Row `row` before normalising.
  void plain(std::int64_t row, std::int64_t first, std::size_t count, Scalar* out) const {
    if (!options_.reduce_first) return activated(row, first, count, out);
    reduce(first, count, out, [this](auto... of) { activated(of...); });
  }

  /// Row `row` after all steps.
  void shown(std::int64_t row, std::int64_t first, std::size_t count, Scalar* out) const {
    plain(row, first, count, out);
    if (options_.normalize) {
      transform(out, count, out, [low = low_, high = high_, span = span_](Scalar x) {
        return (std::clamp(x, low, high) - low) / span;
      });
    }
    if (!options_.skew || *options_.skew == 1.0) return;
    if (*options_.skew == 0.5) {
      square_root(out, count);
    } else if (*options_.skew == 2.0) {
      transform(out, count, out, [](Scalar x) { return x * x; });
    } else {
      power(out, count, static_cast<Scalar>(*options_.skew));
    }
  }

  /// All channels of a block in one row. Channel by channel, so that sums round as numpy's do.
  template <class Channel>
  void reduce(std::int64_t first, std::size_t count, Scalar* sum, const Channel& channel) const {
    const ChannelReduction kind = options_.channels;
    Row row;
    for (std::int64_t c = 0; c < channels_; ++c) {
      Scalar* out = c == 0 ? sum : row.data();
      channel(c, first, count, out);
      // In a loop of its own: a product and a sum in one could be rounded once instead of twice.
      if (kind == ChannelReduction::l2) transform(out, count, out, [](Scalar x) { return x * x; });
      if (c == 0) continue;
      if (kind == ChannelReduction::max) {
        combine(out, count, sum, [](Scalar a, Scalar b) { return a > b ? a : b; });
      } else {
        combine(out, count, sum, [](Scalar a, Scalar b) { return a + b; });
      }
    }
    if (kind == ChannelReduction::mean) {
      transform(sum, count, sum, [n = static_cast<Scalar>(channels_)](Scalar x) { return x / n; });
    }
    if (kind == ChannelReduction::l2) square_root(sum, count);
  }

  /// The percentile of all magnitudes, linearly interpolated.
  Scalar percentile() const {
    std::vector<Scalar> sizes(static_cast<std::size_t>(channels_ * pixels()));
    for (std::int64_t c = 0; c < channels_; ++c) {
      each_block([&](std::int64_t first, std::size_t count) {
        Scalar* out = sizes.data() + c * pixels() + first;
        activated(c, first, count, out);
        transform(out, count, out, [](Scalar x) { return std::abs(x); });
      });
    }
    const double position = options_.percentile / 100.0 * static_cast<double>(sizes.size() - 1);
    const auto nth = sizes.begin() + static_cast<std::ptrdiff_t>(position);
    std::nth_element(sizes.begin(), nth, sizes.end());
    const Scalar next = nth + 1 < sizes.end() ? *std::min_element(nth + 1, sizes.end()) : *nth;
    return *nth + static_cast<Scalar>(position - std::floor(position)) * (next - *nth);
  }

  /// What to normalise by: the options' range, or the values' own.
  void measure() {
    const ValueRange all = options_.range.value_or(range());
    low_ = static_cast<Scalar>(all.minimum);
    high_ = static_cast<Scalar>(all.maximum);
    span_ = high_ - low_;
    if (!std::isfinite(span_)) {
      throw ArgumentError(concat("values from ", all.minimum, " to ", all.maximum,
                                 " cannot be normalised: their difference is too large for ",
                                 c10::CppTypeToScalarType<Scalar>::value, " numbers; scale them down"));
    }
    if (!(span_ > Scalar{0})) span_ = Scalar{1};
  }

  at::Tensor sample_;
  const Scalar* raw_;
  std::int64_t channels_, height_, width_;
  const AttributionProcessorOptions& options_;
  std::optional<Scalar> limit_;
  Scalar low_{}, high_{}, span_{};
};

}  // namespace salience::detail
