// Pointing game, energy and overlap: how well a map agrees with the region of an object.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// A rectangle of pixels; it may reach beyond the picture.
struct Box {
  std::int64_t top;     ///< its first row, from 0
  std::int64_t left;    ///< its first column, from 0
  std::int64_t height;  ///< rows
  std::int64_t width;   ///< columns
};

/// Where an object is: a mask (H, W) for all samples or (N, H, W), true or not 0 inside; a box for all
/// samples, or one a sample.
///
///     energy(a.values, mask);
///     pointing_game(a.values, Box{.top = 10, .left = 20, .height = 64, .width = 48});
class Region {
 public:
  /// True or not 0 inside: (H, W) for all samples, or (N, H, W).
  Region(at::Tensor mask) : mask_(std::move(mask)) {}  // NOLINT: a mask is a region
  /// The same box for all samples.
  Region(const Box& box) : boxes_{box} {}  // NOLINT: so is a box
  /// One box a sample.
  Region(std::vector<Box> boxes) : boxes_(std::move(boxes)) {}  // NOLINT

  /// The mask of a batch of maps (N, H, W) or (N, 1, H, W): bool (N, H, W), on the CPU. Throws ArgumentError
  /// if it does not fit them.
  at::Tensor mask_of(const at::Tensor& maps) const {
    const at::Tensor map = maps.dim() == 4 && maps.size(1) == 1 ? maps.squeeze(1) : maps;
    if (map.dim() != 3) throw ArgumentError::out_of_range("a map", detail::shape(map), "(N, H, W)");
    if (mask_.defined()) return fitted(map);
    const auto batch = static_cast<std::size_t>(map.size(0));
    if (boxes_.size() != 1 && boxes_.size() != batch) {
      throw ArgumentError(detail::concat("there are ", boxes_.size(), " boxes for ", batch, " samples"));
    }
    at::Tensor mask = detail::empty(map.sizes(), at::kBool).zero_();
    for (std::size_t n = 0; n < batch; ++n) {
      const Box& box = boxes_[boxes_.size() == 1 ? 0 : n];
      const auto inside = [](std::int64_t place, std::int64_t size) {
        return std::clamp<std::int64_t>(place, 0, size);
      };
      mask[static_cast<std::int64_t>(n)]
          .slice(0, inside(box.top, map.size(1)), inside(box.top + box.height, map.size(1)))
          .slice(1, inside(box.left, map.size(2)), inside(box.left + box.width, map.size(2)))
          .fill_(true);
    }
    return mask;
  }

 private:
  at::Tensor fitted(const at::Tensor& map) const {
    const bool one = mask_.dim() == 2 && mask_.sizes() == map.sizes().slice(1);
    if (!one && mask_.sizes() != map.sizes()) {
      throw ArgumentError(detail::concat("a mask of shape ", detail::shape(mask_),
                                         " does not fit maps of shape ", detail::shape(map)));
    }
    return mask_.ne(0).to(at::kCPU).expand_as(map).contiguous();
  }

  at::Tensor mask_;
  std::vector<Box> boxes_;
};

namespace detail {

/// NaN for the samples without a region.
inline at::Tensor where_there_is_a_region(const at::Tensor& figure, const at::Tensor& mask) {
  return figure.masked_fill(mask.flatten(1).any(1).logical_not(), std::numeric_limits<double>::quiet_NaN());
}

}  // namespace detail

/// The options of pointing_game.
struct PointingGameOptions {
  double tolerance = 15.0;  ///< pixels, by which the maximum may miss the region; the paper's choice
  PixelMapOptions map{};    ///< how values become one number a pixel
};

/// The pointing game (Zhang, Lin, Brandt, Shen, Sclaroff: "Top-down Neural Attention by Excitation Backprop",
/// 2016): 1 if the map's maximum lies in the region or at most `tolerance` pixels from it, else 0; of several
/// maxima the share that does, so that a constant map scores the region's share of the picture, as chance
/// does. (N) float64, in [0, 1]; higher is better. NaN without a region. Its mean over samples is the
/// accuracy that the paper prints. Throws ArgumentError for a tolerance below 0 or a region that does not
/// fit.
inline at::Tensor pointing_game(const at::Tensor& values, const Region& region,
                                const PointingGameOptions& options = {}) {
  if (!(options.tolerance >= 0.0 && std::isfinite(options.tolerance))) {
    throw ArgumentError::out_of_range("tolerance", options.tolerance, "a number of at least 0");
  }
  const at::Tensor map = detail::pixels_of(values, options.map);
  const at::Tensor mask = region.mask_of(map);
  const auto height = map.size(1), width = map.size(2);
  const auto reach =
      static_cast<std::int64_t>(std::min(options.tolerance, static_cast<double>(height + width)));
  std::vector<double> hits;
  for (std::int64_t n = 0; n < map.size(0); ++n) {
    const double* own = map.data_ptr<double>() + n * height * width;
    const bool* inside = mask.data_ptr<bool>() + n * height * width;
    const auto near = [&](std::int64_t y, std::int64_t x) {
      for (std::int64_t v = std::max<std::int64_t>(y - reach, 0); v <= std::min(y + reach, height - 1); ++v) {
        for (std::int64_t u = std::max<std::int64_t>(x - reach, 0); u <= std::min(x + reach, width - 1);
             ++u) {
          const auto dy = static_cast<double>(v - y), dx = static_cast<double>(u - x);
          if (inside[v * width + u] && dy * dy + dx * dx <= options.tolerance * options.tolerance)
            return true;
        }
      }
      return false;
    };
    const double maximum = *std::max_element(own, own + height * width);
    std::int64_t maxima = 0, hit = 0;
    for (std::int64_t i = 0; i < height * width; ++i) {
      if (own[i] != maximum) continue;
      ++maxima;
      hit += near(i / width, i % width) ? 1 : 0;
    }
    hits.push_back(static_cast<double>(hit) / static_cast<double>(maxima));
  }
  return detail::where_there_is_a_region(detail::vector_tensor<double>(hits), mask);
}

/// The energy-based pointing game (Wang et al.: "Score-CAM", 2020), or relevance mass accuracy: the share of
/// the map's positive part m that lies in the region, \f$ \sum_{i \in R} m_i / \sum_i m_i \f$. (N) float64,
/// in [0, 1]; higher is better, and the region's share of the picture is what a constant map has. NaN without
/// a region, or for a map with nothing positive. Throws ArgumentError for a region that does not fit.
inline at::Tensor energy(const at::Tensor& values, const Region& region,
                         const PixelMapOptions& options = {}) {
  const at::Tensor map = detail::pixels_of(values, options).clamp_min(0.0);
  const at::Tensor mask = region.mask_of(map);
  return detail::where_there_is_a_region(map.mul(mask).flatten(1).sum(1).div_(map.flatten(1).sum(1)), mask);
}

/// The options of iou.
struct IouOptions {
  double threshold = 0.2;  ///< of the map's maximum, in [0, 1); the paper's choice
  PixelMapOptions map{};   ///< how values become one number a pixel
};

/// The overlap of the region R with the pixels M above a threshold, which is that of Zhou, Khosla, Lapedriza,
/// Oliva, Torralba: "Learning Deep Features for Discriminative Localization", 2016 (they compare the bounding
/// box of the largest connected part instead): \f$ |M \cap R| / |M \cup R| \f$, M being
/// where the map is above `threshold` times its maximum; nothing if that is not positive. (N) float64, in
/// [0, 1]; higher is better. NaN without a region. Throws ArgumentError for a threshold out of range or a
/// region that does not fit.
inline at::Tensor iou(const at::Tensor& values, const Region& region, const IouOptions& options = {}) {
  if (!(options.threshold >= 0.0 && options.threshold < 1.0)) {
    throw ArgumentError::out_of_range("threshold", options.threshold, "in [0, 1)");
  }
  const at::Tensor map = detail::pixels_of(values, options.map);
  const at::Tensor mask = region.mask_of(map);
  const at::Tensor level = map.flatten(1).amax(1).clamp_min_(0.0).mul_(options.threshold).view({-1, 1, 1});
  const at::Tensor shown = map.gt(level);
  const auto count = [](const at::Tensor& set) { return set.flatten(1).sum(1).to(at::kDouble); };
  return detail::where_there_is_a_region(count(shown.logical_and(mask)).div_(count(shown.logical_or(mask))),
                                         mask);
}

}  // namespace salience
