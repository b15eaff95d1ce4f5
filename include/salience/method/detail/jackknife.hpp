// The delete-a-group jackknife: the standard error of what is no mean.
#pragma once

#include <algorithm>
#include <cstdint>

#include <ATen/core/Tensor.h>

#include <salience/method/detail/moments.hpp>

namespace salience::detail {

/// Draws in groups of neighbours, as many in each as can be, of which one after the other is left out.
struct JackknifeGroups {
  std::int64_t draws;
  std::int64_t most = 50;  ///< more say little: the error's own error falls with the root of the groups

  /// How many groups there are.
  std::int64_t count() const { return std::min(draws, most); }
  /// The first draw of group g; that of group `count()` is `draws`.
  std::int64_t begin(std::int64_t g) const { return g * draws / count(); }
  /// How many draws group g has.
  std::int64_t size(std::int64_t g) const { return begin(g + 1) - begin(g); }
};

/// The standard error of a statistic, \f$ \sqrt{\frac{G - 1}{G} \sum_g (\theta_{(g)} - \bar\theta)^2} \f$,
/// from its values without one of G groups each (Efron, Tibshirani: "An Introduction to the Bootstrap",
/// 1993); NaN of fewer than two.
inline at::Tensor jackknife_errors(const Moments& replicates) {
  return replicates.errors().mul(static_cast<double>(replicates.count - 1));
}

}  // namespace salience::detail
