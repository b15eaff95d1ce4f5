#include "stability.hpp"

#include <ATen/ATen.h>
#include <salience/metric/similarity.hpp>
#include <salience/view/attribution_processor.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sal = salience;

namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

double similarity(const std::vector<sal::Attribution>& by_seed, const sal::PixelMapOptions& map) {
  std::vector<at::Tensor> maps;
  maps.reserve(by_seed.size());
  for (const sal::Attribution& one : by_seed) maps.push_back(sal::pixel_map(one.values, map));
  double sum = 0.0;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) sum += sal::pearson(maps[i], maps[j]).item<double>();
  }
  return sum / (0.5 * static_cast<double>(maps.size() * (maps.size() - 1)));
}

double error_ratio(const std::vector<sal::Attribution>& by_seed) {
  // Not `standard_error`: of SmoothGrad squared and VarGrad it is that of the mean gradient, not of the map.
  double stated = 0.0;
  std::vector<at::Tensor> values;
  values.reserve(by_seed.size());
  for (const sal::Attribution& one : by_seed) {
    if (!one.values_error.defined()) return none;
    stated += one.values_error.square().sum().item<double>();
    values.push_back(one.values.cpu().to(at::kDouble).flatten());
  }
  stated /= static_cast<double>(by_seed.size());
  // The unbiased variance between the seeds: that of a single seed's values.
  const double observed = at::stack(values).var(0, /*unbiased=*/true).sum().item<double>();
  return stated > 0.0 ? std::sqrt(observed / stated) : none;
}

}  // namespace

Stability stability(const std::vector<sal::Attribution>& by_seed, const sal::PixelMapOptions& map) {
  const auto finite = [](const sal::Attribution& one) { return sal::count_non_finite(one.values) == 0; };
  if (!std::ranges::all_of(by_seed, finite)) return {.similarity = none, .error_ratio = none};
  return {.similarity = similarity(by_seed, map), .error_ratio = error_ratio(by_seed)};
}
