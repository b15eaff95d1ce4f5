// How alike two maps are: Pearson, Spearman, SSIM, overlap of the strongest values.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

namespace detail {

inline void require_same_shape(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes() || a.dim() < 2 || a.numel() == 0) {
    throw ArgumentError(
        concat("maps of one shape (N, ...) can be compared, got ", shape(a), " and ", shape(b)));
  }
  for (const at::Tensor& map : {a, b}) {
    if (!all_finite(map)) {
      throw ArgumentError("maps to compare must not hold NaN or infinity");
    }
  }
}

/// One row a sample.
inline at::Tensor rows(const at::Tensor& values) {
  return values.detach().to(at::kCPU, at::kDouble).reshape({values.size(0), -1});
}

inline at::Tensor correlation(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor from_a = a.sub(a.mean(1, /*keepdim=*/true)), from_b = b.sub(b.mean(1, /*keepdim=*/true));
  const at::Tensor sizes = from_a.square().sum(1).sqrt_().mul_(from_b.square().sum(1).sqrt_());
  const at::Tensor flat_a = a.amax(1).eq(a.amin(1)), flat_b = b.amax(1).eq(b.amin(1));
  return from_a.mul(from_b)
      .sum(1)
      .div_(sizes)
      .clamp_(-1.0, 1.0)
      .masked_fill_(flat_a.logical_or(flat_b), 0.0)
      .masked_fill_(flat_a.logical_and(flat_b), 1.0);
}

/// The ranks of each row's values from 1 on; equal ones share their mean rank.
inline at::Tensor average_ranks(const at::Tensor& rows) {
  const at::Tensor values = rows.contiguous();
  at::Tensor ranks = empty(values.sizes(), at::kDouble);
  const auto count = static_cast<std::size_t>(values.size(1));
  std::vector<std::size_t> order(count);
  for (std::int64_t n = 0; n < values.size(0); ++n) {
    const double* value = values[n].data_ptr<double>();
    double* rank = ranks[n].data_ptr<double>();
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [value](std::size_t i, std::size_t j) { return value[i] < value[j]; });
    for (std::size_t first = 0, end = 0; first < count; first = end) {
      while (end < count && value[order[end]] == value[order[first]]) ++end;
      for (std::size_t i = first; i < end; ++i) rank[order[i]] = 0.5 * static_cast<double>(first + 1 + end);
    }
  }
  return ranks;
}

}  // namespace detail

/// Pearson's correlation of all values of two batches of maps of one shape, sample by sample: (N) float64, in
/// [-1, 1]; 1: alike up to scale and offset. A constant map is like none (0) but another constant one (1).
/// Throws ArgumentError if the shapes differ.
inline at::Tensor pearson(const at::Tensor& a, const at::Tensor& b) {
  detail::require_same_shape(a, b);
  return detail::correlation(detail::rows(a), detail::rows(b));
}

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank. Range and
/// errors as there; 1: the same order.
inline at::Tensor spearman(const at::Tensor& a, const at::Tensor& b) {
  detail::require_same_shape(a, b);
  return detail::correlation(detail::average_ranks(detail::rows(a)), detail::average_ranks(detail::rows(b)));
}

/// The share that the k largest values of two maps have in common (Ghorbani, Abid, Zou: "Interpretation of
/// Neural Networks is Fragile", 2019): (N) float64, in [0, 1]; 1: the same places. Of equal values the first
/// in the order of rows count. Throws ArgumentError if the shapes differ or k is not from 1 to the number of
/// values of a map.
inline at::Tensor top_k_overlap(const at::Tensor& a, const at::Tensor& b, std::int64_t k) {
  detail::require_same_shape(a, b);
  const std::int64_t values = a[0].numel();
  if (k < 1 || k > values) throw ArgumentError::out_of_range("k", k, detail::concat("from 1 to ", values));
  const auto strongest = [k](const at::Tensor& map) { return detail::ranks(detail::rows(map)).lt(k); };
  return strongest(a).logical_and(strongest(b)).sum(1).to(at::kDouble).div_(static_cast<double>(k));
}

/// Structural similarity (Wang, Bovik, Sheikh, Simoncelli: "Image Quality Assessment", 2004), the mean over
/// all whole 7x7 windows of \f$ \frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}{(\mu_a^2 + \mu_b^2 +
/// c_1)(\sigma_a^2 + \sigma_b^2 + c_2)} \f$ with \f$ c_1 = (0.01 L)^2, c_2 = (0.03 L)^2 \f$ and L the range
/// of both maps together: what scikit-image computes by default, and Quantus. The maps are (N, H, W), or
/// (N, C, H, W) and then reduced to pixels; signals and volumes have none. (N) float64, in [-1, 1]; 1: equal.
/// Throws ArgumentError if the shapes differ, the maps are no pictures or a side is shorter than 7.
inline at::Tensor ssim(const at::Tensor& a, const at::Tensor& b, const PixelMapOptions& options = {}) {
  detail::require_same_shape(a, b);
  constexpr std::int64_t side = 7;
  const at::Tensor x = detail::pixels_of(a, options), y = detail::pixels_of(b, options);
  if (x.dim() != 3 || x.size(1) < side || x.size(2) < side) {
    throw ArgumentError::out_of_range("a map of SSIM", detail::shape(a),
                                      "a picture, at least 7 pixels high and wide");
  }
  const auto mean = [](const at::Tensor& map) {
    return map.unfold(1, side, 1).unfold(2, side, 1).mean({-2, -1});
  };
  const at::Tensor mx = mean(x), my = mean(y);
  constexpr double unbiased = 49.0 / 48.0;
  const auto covariance = [&](const at::Tensor& u, const at::Tensor& v, const at::Tensor& mu,
                              const at::Tensor& mv) {
    return mean(u.mul(v)).sub_(mu.mul(mv)).mul_(unbiased);
  };
  const at::Tensor highest = x.flatten(1).amax(1).maximum(y.flatten(1).amax(1));
  const at::Tensor lowest = x.flatten(1).amin(1).minimum(y.flatten(1).amin(1));
  const at::Tensor range = highest.sub(lowest).view({-1, 1, 1});
  const at::Tensor c1 = range.mul(0.01).square_(), c2 = range.mul(0.03).square_();
  const at::Tensor alike = mx.mul(my).mul_(2.0).add_(c1).mul_(covariance(x, y, mx, my).mul_(2.0).add_(c2));
  const at::Tensor sizes = mx.square()
                               .add_(my.square())
                               .add_(c1)
                               .mul_(covariance(x, x, mx, mx).add_(covariance(y, y, my, my)).add_(c2));
  // Without any range both maps are the same constant.
  return alike.div(sizes).mean({1, 2}).masked_fill_(range.view({-1}).eq(0.0), 1.0);
}

}  // namespace salience
