// What sums of values lack of the change of the score.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// What the sums of the values lack of the changes of the score.
inline void fill_in_completeness(Attribution& result, const at::Tensor& base_scores) {
  const at::Tensor sums = result.values.flatten(1).sum(at::IntArrayRef{1}, false, at::kDouble).to(at::kCPU);
  const at::Tensor changes =
      result.score.to(at::kCPU, at::kDouble).sub(base_scores.to(at::kCPU, at::kDouble));
  std::vector<double> errors, relative;
  for (std::int64_t n = 0; n < sums.numel(); ++n) {
    const double change = changes[n].item<double>(), error = sums[n].item<double>() - change;
    errors.push_back(error);
    relative.push_back(error == 0.0 ? 0.0 : std::abs(error / change));
  }
  result.completeness_error = vector_tensor<double>(errors);
  result.relative_completeness_error = vector_tensor<double>(relative);
}

}  // namespace salience::detail
