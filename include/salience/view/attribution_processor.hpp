// AttributionProcessor: a raw attribution to what a person looks at.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>
#include <salience/picture/colormap.hpp>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/overlay.hpp>
#include <salience/view/attribution_options.hpp>

namespace salience {

namespace detail {

/// The planes of one sample, (C, H*W), with the arithmetic of float32 or float64.
template <class Scalar>
class Planes {
 public:
  Planes(const at::Tensor& sample, const AttributionProcessorOptions& options)
      : values_(Eigen::Map<const BasicHeatmap<Scalar>>(sample.data_ptr<Scalar>(), sample.size(0),
                                                       sample.size(1) * sample.size(2))),
        height_(sample.size(1)),
        width_(sample.size(2)) {
    const Eigen::Index not_a_number = values_.isNaN().count();
    if (not_a_number > 0) {
      throw ArgumentError(
          concat("the attribution holds ", not_a_number, " NaN of ", values_.size(), " values"));
    }
    activate(options.activation);
    if (options.percentile < 100.0) clip(options.percentile);
    if (options.reduce_first) values_ = reduced(options.channels);
    if (options.normalize) normalize(options.range);
    if (options.skew) skew(*options.skew);
  }

  /// (H, W, C), or (H, W) for one channel.
  at::Tensor tensor() const {
    at::Tensor planes = empty({values_.rows(), height_, width_}, c10::CppTypeToScalarType<Scalar>::value);
    std::copy_n(values_.data(), values_.size(), planes.template data_ptr<Scalar>());
    return values_.rows() == 1 ? planes[0] : planes.permute({1, 2, 0}).contiguous();
  }

  BasicHeatmap<Scalar> heatmap(ChannelReduction reduction) const {
    const BasicHeatmap<Scalar> row = reduced(reduction);
    return Eigen::Map<const BasicHeatmap<Scalar>>(row.data(), height_, width_);
  }

  /// The channels as they are, uint8(255 * clip(x, 0, 1)).
  Image image() const {
    Image picture(static_cast<int>(height_), static_cast<int>(width_), static_cast<int>(values_.rows()));
    std::uint8_t* pixel = picture.pixels().data();
    for (Eigen::Index i = 0; i < values_.cols(); ++i) {
      for (Eigen::Index channel = 0; channel < values_.rows(); ++channel) {
        const Scalar value = std::clamp(values_(channel, i), Scalar{0}, Scalar{1});
        *pixel++ = static_cast<std::uint8_t>(Scalar{255} * value);
      }
    }
    return picture;
  }

  ValueRange range() const {
    return {static_cast<double>(values_.minCoeff()), static_cast<double>(values_.maxCoeff())};
  }

 private:
  void activate(Activation activation) {
    if (activation == Activation::abs) values_ = values_.abs();
    if (activation == Activation::relu) values_ = values_.max(Scalar{0});
    if (activation == Activation::negative) values_ = (-values_).max(Scalar{0});
  }

  void clip(double percentile) {
    BasicHeatmap<Scalar> sizes = values_.abs();
    const double position = percentile / 100.0 * static_cast<double>(sizes.size() - 1);
    const auto below = static_cast<Eigen::Index>(position);
    Scalar* nth = sizes.data() + below;
    std::nth_element(sizes.data(), nth, sizes.data() + sizes.size());
    const Scalar next =
        below + 1 < sizes.size() ? *std::min_element(nth + 1, sizes.data() + sizes.size()) : *nth;
    const Scalar limit = *nth + static_cast<Scalar>(position - static_cast<double>(below)) * (next - *nth);
    values_ = values_.max(-limit).min(limit);
  }

  void normalize(const std::optional<ValueRange>& shared) {
    if (shared) {
      values_ = values_.max(static_cast<Scalar>(shared->minimum)).min(static_cast<Scalar>(shared->maximum));
    }
    const Scalar lowest = shared ? static_cast<Scalar>(shared->minimum) : values_.minCoeff();
    const Scalar highest = shared ? static_cast<Scalar>(shared->maximum) : values_.maxCoeff();
    const Scalar span = highest - lowest;
    if (!std::isfinite(span)) {
      throw ArgumentError(concat("values from ", lowest, " to ", highest, " cannot be normalised"));
    }
    values_ -= lowest;
    if (span > Scalar{0}) values_ /= span;
  }

  void skew(double power) {
    if (power == 1.0) return;
    if (power == 0.5) {
      values_ = values_.unaryExpr(square_root);
    } else if (power == 2.0) {
      values_ = values_.square();
    } else {
      values_ = values_.unaryExpr(
          [exponent = static_cast<Scalar>(power)](Scalar x) { return std::pow(x, exponent); });
    }
  }

  BasicHeatmap<Scalar> reduced(ChannelReduction reduction) const {
    const auto channels = static_cast<Scalar>(values_.rows());
    // Row by row, so that sums round as numpy's do.
    BasicHeatmap<Scalar> sum =
        reduction == ChannelReduction::l2 ? values_.row(0).square().eval() : values_.row(0).eval();
    for (Eigen::Index channel = 1; channel < values_.rows(); ++channel) {
      if (reduction == ChannelReduction::max) {
        sum = sum.max(values_.row(channel));
      } else if (reduction == ChannelReduction::l2) {
        sum += values_.row(channel).square();
      } else {
        sum += values_.row(channel);
      }
    }
    if (reduction == ChannelReduction::mean) sum /= channels;
    if (reduction == ChannelReduction::l2) sum = sum.unaryExpr(square_root);
    return sum;
  }

  /// Eigen's own float32 square root is off by an ulp, which shows as another colour now and then.
  static constexpr auto square_root = [](Scalar x) { return std::sqrt(x); };

  BasicHeatmap<Scalar> values_;
  std::int64_t height_;
  std::int64_t width_;
};

}  // namespace detail

/// Turns a raw attribution into numbers to look at or a picture, the same way for every method.
///
///     AttributionProcessor view{{.activation = Activation::abs, .skew = 0.5, .colormap = "coolwarm"}};
///     save_image("abs.png", view(a.values));
///
/// Takes (N,C,H,W): one result a sample, N = 1 drops N; (C,H,W) with any C, C = 1 drops C; or (H,W). Any
/// device; float32 arithmetic, float64 for float64; bfloat16 and integers widen to float32. The steps and
/// their order stand in AttributionProcessorOptions. `First` is a step of the user's own before all others, a
/// callable from the raw tensor to a tensor, for instance a smoothing.
///
/// Throws ArgumentError for an option out of range, an unknown colour map, skew without normalize, an empty
/// tensor or another rank, NaN, and infinities where they would be normalised.
template <class First = std::identity>
class AttributionProcessor {
 public:
  explicit AttributionProcessor(AttributionProcessorOptions options = {}, First first = {})
      : options_(std::move(options)), first_(std::move(first)) {
    if (!options_.colormap.empty()) colormap_.emplace(salience::colormap(options_.colormap));
    if (options_.grayscale && colormap_) {
      TORCH_WARN("Salience: grayscale and the colour map '", options_.colormap,
                 "' were both asked for; grayscale wins");
      colormap_.reset();
    }
    if (options_.skew && !(*options_.skew > 0.0 && std::isfinite(*options_.skew))) {
      throw ArgumentError::out_of_range("skew", *options_.skew, "a number above 0");
    }
    if (options_.skew && !options_.normalize)
      throw ArgumentError("skew needs normalize: a power of raw values is not defined");
    if (!(options_.percentile > 0.0 && options_.percentile <= 100.0)) {
      throw ArgumentError::out_of_range("percentile", options_.percentile, "above 0 and at most 100");
    }
    if (!(options_.opacity >= 0.0 && options_.opacity <= 1.0)) {
      throw ArgumentError::out_of_range("opacity", options_.opacity, "from 0 to 1");
    }
    if (options_.range) {
      const auto [minimum, maximum] = *options_.range;
      if (!(minimum <= maximum && std::isfinite(maximum - minimum))) {
        throw ArgumentError::out_of_range("range", detail::concat("from ", minimum, " to ", maximum),
                                          "finite and ascending");
      }
      if (!options_.normalize) throw ArgumentError("range needs normalize: it is what to normalise by");
    }
  }

  const AttributionProcessorOptions& options() const noexcept { return options_; }

  /// The float tensor before channels and colours: (H,W,C), or (H,W) if there is one channel, with N before
  /// it if N > 1.
  at::Tensor values(const at::Tensor& attribution) const {
    std::vector<at::Tensor> samples;
    for_each_sample(attribution, [&](const auto& planes) { samples.push_back(planes.tensor()); });
    if (samples.size() == 1) return samples.front();
    at::Tensor batch = detail::batch_like(samples.front(), samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) batch[static_cast<std::int64_t>(i)].copy_(samples[i]);
    return batch;
  }

  /// One picture. Throws ArgumentError for a batch of several samples: that is what `images` is for.
  Image operator()(const at::Tensor& attribution) const {
    std::vector<Image> pictures = images(attribution);
    if (pictures.size() != 1) {
      throw ArgumentError(detail::concat("one picture was asked for, the attribution of shape ",
                                         detail::shape(attribution), " has ", pictures.size(),
                                         "; use images()"));
    }
    return std::move(pictures.front());
  }

  /// The picture over `background` with the option `opacity`. The sizes must be equal.
  Image operator()(const at::Tensor& attribution, const Image& background) const {
    return overlay(background, (*this)(attribution), options_.opacity);
  }

  /// One picture a sample: three channels for grayscale and colour maps, else as many as the attribution has.
  std::vector<Image> images(const at::Tensor& attribution) const {
    std::vector<Image> pictures;
    for_each_sample(attribution, [&](const auto& planes) {
      if (options_.grayscale) {
        pictures.push_back(salience::grayscale(planes.heatmap(options_.channels)));
      } else if (colormap_) {
        pictures.push_back((*colormap_)(planes.heatmap(options_.channels)));
      } else {
        pictures.push_back(planes.image());
      }
    });
    return pictures;
  }

  /// The smallest and largest value over all samples after activation, percentile and `reduce_first`: what to
  /// give as `range` so that several attributions are shown on one scale.
  ValueRange range(const at::Tensor& attribution) const {
    AttributionProcessorOptions raw = options_;
    raw.normalize = false;
    raw.skew.reset();
    ValueRange all{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
    for_each_sample(attribution, raw, [&](const auto& planes) {
      const ValueRange one = planes.range();
      all = {std::min(all.minimum, one.minimum), std::max(all.maximum, one.maximum)};
    });
    return all;
  }

 private:
  template <class Visit>
  void for_each_sample(const at::Tensor& attribution, const Visit& visit) const {
    for_each_sample(attribution, options_, visit);
  }

  template <class Visit>
  void for_each_sample(const at::Tensor& attribution, const AttributionProcessorOptions& options,
                       const Visit& visit) const {
    const at::Tensor raw = attribution.defined() ? first_(attribution.detach()) : attribution;
    const bool shown = raw.defined() && raw.dim() >= 2 && raw.dim() <= 4;
    if (!shown || raw.numel() == 0 || raw.is_complex()) {
      throw ArgumentError::out_of_range("attribution", detail::shape(raw),
                                        "real and not empty, of shape (N, C, H, W), (C, H, W) or (H, W)");
    }
    const at::ScalarType type = raw.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    at::Tensor batch = raw.to(at::kCPU, type).contiguous();
    while (batch.dim() < 4) batch = batch.unsqueeze(0);
    for (std::int64_t n = 0; n < batch.size(0); ++n) {
      if (type == at::kDouble) {
        visit(detail::Planes<double>(batch[n], options));
      } else {
        visit(detail::Planes<float>(batch[n], options));
      }
    }
  }

  AttributionProcessorOptions options_;
  First first_;
  std::optional<Colormap> colormap_;
};

}  // namespace salience
