// Pointing game, energy and overlap: how well a map agrees with the region of an object.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
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
/// samples, or one a sample. Of volumes the mask is (D, H, W) or (N, D, H, W), of signals (L) or (N, L), with
/// the option `signal` of PixelMapOptions; boxes are for pictures alone.
///
///     energy(a.values, mask);
///     pointing_game(a.values, Box{.top = 10, .left = 20, .height = 64, .width = 48});
class Region {
 public:
  /// True or not 0 inside: (places...) for all samples, or (N, places...).
  Region(at::Tensor mask) : mask_(std::move(mask)) {}  // NOLINT: a mask is a region
  /// The same box for all samples.
  Region(const Box& box) : boxes_{box} {}  // NOLINT: so is a box
  /// One box a sample.
  Region(std::vector<Box> boxes) : boxes_(std::move(boxes)) {}  // NOLINT

  /// The mask of a batch of maps (N, H, W) or (N, 1, H, W): bool (N, H, W), on the CPU. Of volumes
  /// (N, 1, D, H, W) it is (N, D, H, W), of signals (N, L) or (N, 1, L) it is (N, L). Throws ArgumentError if
  /// it does not fit them, and for boxes of what is no picture.
  at::Tensor mask_of(const at::Tensor& maps) const {
    // Three dimensions are (N, 1, L) where the mask says so; (N, H, W) otherwise.
    const bool line = maps.dim() == 3 && mask_.defined() && !fits(maps);
    const bool channel = (maps.dim() > 3 || line) && maps.size(1) == 1;
    const at::Tensor map = channel ? maps.squeeze(1) : maps;
    if (mask_.defined()) return fitted(map);
    if (map.dim() != 3) {
      throw ArgumentError::out_of_range("a map for a box", detail::shape(map),
                                        "a picture (N, H, W); a mask is for all others");
    }
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
  bool fits(const at::Tensor& map) const {
    return mask_.sizes() == map.sizes() || mask_.sizes() == map.sizes().slice(1);
  }
  at::Tensor fitted(const at::Tensor& map) const {
    if (map.dim() < 2 || !fits(map)) {
      throw ArgumentError(detail::concat("a mask of shape ", detail::shape(mask_),
                                         " does not fit maps of shape ", detail::shape(map)));
    }
    return mask_.ne(0).to(at::kCPU).expand_as(map).contiguous();
  }

  at::Tensor mask_;
  std::vector<Box> boxes_;
};

namespace detail {

/// The region's mask of maps without channels, (N, places...).
inline at::Tensor mask_of(const Region& region, const at::Tensor& map) {
  return region.mask_of(map.dim() > 2 ? map.unsqueeze(1) : map);
}

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
  const at::Tensor mask = detail::mask_of(region, map);
  if (map.dim() > 4) {
    throw ArgumentError::out_of_range("the map of a pointing game", detail::shape(values),
                                      "of signals, pictures or volumes");
  }
  // A picture is a volume of one slice, a signal one of one row.
  std::array<std::int64_t, 3> sizes{1, 1, 1};
  for (std::int64_t i = 1; i < map.dim(); ++i) sizes[static_cast<std::size_t>(3 - i)] = map.size(-i);
  const auto [depth, height, width] = sizes;
  const std::int64_t pixels = depth * height * width;
  const auto reach =
      static_cast<std::int64_t>(std::min(options.tolerance, static_cast<double>(depth + height + width)));
  std::vector<double> hits;
  for (std::int64_t n = 0; n < map.size(0); ++n) {
    const double* own = map.data_ptr<double>() + n * pixels;
    const bool* inside = mask.data_ptr<bool>() + n * pixels;
    const auto near = [&, d = depth, h = height, w = width](std::int64_t z, std::int64_t y, std::int64_t x) {
      for (std::int64_t t = std::max<std::int64_t>(z - reach, 0); t <= std::min(z + reach, d - 1); ++t) {
        for (std::int64_t v = std::max<std::int64_t>(y - reach, 0); v <= std::min(y + reach, h - 1); ++v) {
          for (std::int64_t u = std::max<std::int64_t>(x - reach, 0); u <= std::min(x + reach, w - 1); ++u) {
            const auto dz = static_cast<double>(t - z), dy = static_cast<double>(v - y),
                       dx = static_cast<double>(u - x);
            const double square = dz * dz + dy * dy + dx * dx;
            if (inside[(t * h + v) * w + u] && square <= options.tolerance * options.tolerance) return true;
          }
        }
      }
      return false;
    };
    const double maximum = *std::max_element(own, own + pixels);
    std::int64_t maxima = 0, hit = 0;
    for (std::int64_t i = 0; i < pixels; ++i) {
      if (own[i] != maximum) continue;
      ++maxima;
      hit += near(i / (height * width), i / width % height, i % width) ? 1 : 0;
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
  const at::Tensor mask = detail::mask_of(region, map);
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
  const at::Tensor mask = detail::mask_of(region, map);
  const at::Tensor level = map.flatten(1).amax(1).clamp_min_(0.0).mul_(options.threshold).unsqueeze(1);
  const at::Tensor shown = map.flatten(1).gt(level).view(map.sizes());
  const auto count = [](const at::Tensor& set) { return set.flatten(1).sum(1).to(at::kDouble); };
  return detail::where_there_is_a_region(count(shown.logical_and(mask)).div_(count(shown.logical_or(mask))),
                                         mask);
}

}  // namespace salience
