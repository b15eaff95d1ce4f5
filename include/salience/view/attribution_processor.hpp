// AttributionProcessor: turns a raw attribution into a picture.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/picture/colormap.hpp>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/overlay.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/view/attribution_options.hpp>
#include <salience/view/detail/planes.hpp>

namespace salience {

/// How many values of an attribution, or of any tensor, are NaN or infinite: what NonFinite::zero shows as 0.
inline std::int64_t count_non_finite(const at::Tensor& attribution) {
  if (!attribution.defined()) throw ArgumentError::out_of_range("attribution", "(undefined)", "a tensor");
  if (detail::all_finite(attribution)) return 0;
  return attribution.isfinite().logical_not().sum().item<std::int64_t>();
}

/// Turns a raw attribution into numbers to look at or a picture, the same way for every method.
///
///     AttributionProcessor view{{.activation = Activation::abs, .skew = 0.5, .colormap = "coolwarm"}};
///     save_image("abs.png", view(a.values));
///
/// Takes (N,C,H,W): one result a sample, N = 1 drops N; (C,H,W) with any C, C = 1 drops C; or (H,W). So three
/// dimensions are always one sample: make N maps without channels (N,1,H,W), as pixel_map gives them. Signals
/// and volumes are shown by signal_plot and volume_slices, which take a view. Any
/// device; float32 arithmetic, float64 for float64; bfloat16 and integers widen to float32. The steps and
/// their order stand in AttributionProcessorOptions. `First` is a step of the user's own before all others, a
/// callable from the raw tensor to a tensor, for instance a smoothing.
///
/// Throws ArgumentError for an option out of range, an unknown colour map, skew without normalize, an empty
/// tensor or another rank, NaN and infinities (but with NonFinite::zero), and values too far apart to be
/// normalised.
template <class First = std::identity>
class AttributionProcessor {
  static_assert(
      std::is_invocable_r_v<at::Tensor, const First&, at::Tensor>,
      "Salience: the first step of an AttributionProcessor must take a const at::Tensor& and return an "
      "at::Tensor");

 public:
  /// Throws ArgumentError for an option out of range, or two that exclude each other.
  explicit AttributionProcessor(AttributionProcessorOptions options = {}, First first = {})
      : options_(std::move(options)), first_(std::move(first)) {
    if (!options_.colormap.empty()) palette_ = salience::colormap(options_.colormap).palette();
    if (options_.grayscale && palette_) {
      TORCH_WARN("Salience: grayscale and the colour map '", options_.colormap,
                 "' were both asked for; grayscale wins");
    }
    if (options_.grayscale) palette_ = detail::grays();
    if (options_.skew && !(*options_.skew > 0.0 && std::isfinite(static_cast<float>(*options_.skew)))) {
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

  /// What it was made with.
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
      pictures.push_back(palette_ ? planes.image(*palette_) : planes.image());
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
    if (!shown || raw.numel() == 0 || raw.is_complex() || raw.layout() != at::kStrided || raw.is_meta()) {
      throw ArgumentError::out_of_range(
          "attribution",
          raw.defined() ? detail::concat(detail::shape(raw), ", ", raw.scalar_type(), ", ", raw.layout(),
                                         " on ", raw.device())
                        : detail::shape(raw),
          "dense, real and not empty, of shape (N, C, H, W), (C, H, W) or (H, W)");
    }
    const at::ScalarType type = raw.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    at::Tensor batch = raw.to(at::kCPU, type).resolve_neg().contiguous();
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
  std::optional<detail::Palette> palette_;
};

}  // namespace salience
