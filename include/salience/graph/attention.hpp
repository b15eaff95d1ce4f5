// Attention in one operator, computed openly.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include <torch/script.h>

namespace salience::detail {

/// What `scaled_dot_product_attention` computes in one step, of the operator's inputs: queries, keys, values,
/// mask, dropout, whether it looks back only, scale, and whether several queries share a key.
class Attention {
 public:
  explicit Attention(c10::ArrayRef<c10::IValue> inputs)
      : q_(inputs[0].toTensor()), k_(inputs[1].toTensor()), v_(inputs[2].toTensor()) {
    const c10::IValue scale = inputs.size() > 6 ? inputs[6] : c10::IValue();
    factor_ = scale.isNone() ? 1.0 / std::sqrt(static_cast<double>(q_.size(-1))) : scale.toDouble();
    if (q_.dim() > 3 && k_.size(-3) != q_.size(-3)) {
      groups_ = q_.size(-3) / k_.size(-3);
      k_ = k_.repeat_interleave(groups_, -3);
      v_ = v_.repeat_interleave(groups_, -3);
    }
    const double hidden = -std::numeric_limits<double>::infinity();
    if (inputs[5].toBool()) {
      const at::Tensor seen = q_.new_ones({q_.size(-2), k_.size(-2)}, at::kBool).tril();
      bias_ = q_.new_zeros(seen.sizes()).masked_fill_(seen.logical_not(), hidden);
    } else if (inputs[3].isTensor()) {
      const at::Tensor mask = inputs[3].toTensor();
      bias_ = mask.scalar_type() == at::kBool
                  ? q_.new_zeros(mask.sizes()).masked_fill_(mask.logical_not(), hidden)
                  : mask;
    }
  }

  const at::Tensor& queries() const noexcept { return q_; }
  const at::Tensor& keys() const noexcept { return k_; }    ///< one for each query's head
  const at::Tensor& values() const noexcept { return v_; }  ///< one for each query's head
  double factor() const noexcept { return factor_; }

  /// Before softmax, (..., queries, keys).
  at::Tensor scores() const {
    const at::Tensor products = q_.matmul(k_.transpose(-2, -1)).mul_(factor_);
    return bias_.defined() ? products.add(bias_) : products;
  }
  /// Behind it; zero for a query that may look at nothing, as LibTorch has it.
  at::Tensor weights() const {
    const at::Tensor s = scores();
    const at::Tensor blind = s.amax(-1, true).eq(-std::numeric_limits<double>::infinity());
    return s.softmax(-1).masked_fill(blind, 0.0);
  }

  /// What belongs to keys or values, summed over the heads that share them.
  at::Tensor shared(const at::Tensor& by_head) const {
    return groups_ == 1 ? by_head : by_head.unflatten(-3, {by_head.size(-3) / groups_, groups_}).sum(-3);
  }

 private:
  at::Tensor q_, k_, v_, bias_;
  double factor_ = 1.0;
  std::int64_t groups_ = 1;
};

}  // namespace salience::detail
