// What sums of values lack of the change of the score.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// |a / b|, where nothing of nothing is 0.
inline double ratio(double a, double b) { return a == 0.0 ? 0.0 : std::abs(a / b); }

/// What the sums of each sample's values lack of the changes of its score.
inline void fill_in_completeness(Attribution& result, const std::vector<double>& sums,
                                 const std::vector<double>& changes) {
  std::vector<double> errors, relative;
  for (std::size_t n = 0; n < sums.size(); ++n) {
    errors.push_back(sums[n] - changes[n]);
    relative.push_back(ratio(errors.back(), changes[n]));
  }
  result.completeness_error = vector_tensor<double>(errors);
  result.relative_completeness_error = vector_tensor<double>(relative);
}

/// The same of the values as they are, whose baselines have these scores, (N).
inline void fill_in_completeness(Attribution& result, const at::Tensor& base_scores) {
  const auto numbers = [](const at::Tensor& tensor) {
    const at::Tensor dense = tensor.to(at::kCPU, at::kDouble).contiguous();
    return std::vector<double>(dense.data_ptr<double>(), dense.data_ptr<double>() + dense.numel());
  };
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kCPU, at::kDouble); };
  fill_in_completeness(result, numbers(result.values.flatten(1).sum(at::IntArrayRef{1}, false, at::kDouble)),
                       numbers(wide(result.score).sub(wide(base_scores))));
}

}  // namespace salience::detail
