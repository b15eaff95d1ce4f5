// What methods do that take the samples of a batch one by one.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat_ops.h>

#include <salience/method/attribution.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// `explain(sample, target)` of each sample of a batch, for which `chosen` was chosen.
template <class T, class Explain>
std::vector<Attribution> by_samples(const at::Tensor& input, const T& target, const at::Tensor& chosen,
                                    const Explain& explain) {
  std::vector<Attribution> all;
  for (std::int64_t n = 0; n < input.size(0); ++n) {
    const at::Tensor row = vector_tensor<std::int64_t>({n}).to(input.device());
    all.push_back(explain(input.narrow(0, n, 1), fixed_for(target, chosen, row)));
  }
  return all;
}

/// One member of these, (1, ...) each, as (N, ...).
inline at::Tensor joined(const std::vector<Attribution>& samples, at::Tensor Attribution::*member) {
  std::vector<at::Tensor> rows;
  rows.reserve(samples.size());
  for (const Attribution& sample : samples) rows.push_back(sample.*member);
  return at::_ops::cat::call(rows, 0);
}

}  // namespace salience::detail
