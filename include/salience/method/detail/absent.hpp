// Absent: what stands where a part of an input was removed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/baseline.hpp>
#include <salience/tensor/linear_imputation.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// What stands where a part of a sample was removed, by each of several baselines.
class Absent {
 public:
  /// `samples` says which samples of the user's batch the rows are, see Baseline.
  Absent(const Baseline& baseline, const at::Tensor& input, const at::Tensor& samples) {
    rows_.reserve(baseline.count());
    for (std::size_t b = 0; b < baseline.count(); ++b) {
      if (!baseline.inpaints(b)) {
        rows_.push_back(baseline(input, b, samples));
        continue;
      }
      if (input.dim() != 4) {
        throw ArgumentError::out_of_range("the input of an in-painted baseline", shape(input),
                                          "pictures (N, C, H, W)");
      }
      pictures_ = input.detach();
      rows_.emplace_back();
    }
  }

  /// How many baselines there are.
  std::int64_t count() const { return static_cast<std::int64_t>(rows_.size()); }
  /// Whether what stands there depends on what was removed.
  bool inpaints(std::int64_t b) const { return !rows_[static_cast<std::size_t>(b)].defined(); }
  /// Of a baseline whose values do not: the row for sample n.
  at::Tensor row(std::int64_t n, std::int64_t b) const { return rows_[static_cast<std::size_t>(b)][n]; }

  /// A row for sample n of which only `stays` is left, bool that broadcasts to it. Throws ArgumentError where
  /// pixels are to be filled in and a part of their channels stays.
  at::Tensor operator()(std::int64_t n, std::int64_t b, const at::Tensor& stays) const {
    return inpaints(b) ? inpainted(pictures_[n], stays) : row(n, b);
  }

 private:
  static at::Tensor inpainted(const at::Tensor& picture, const at::Tensor& stays) {
    const at::Tensor kept = stays.expand(picture.sizes()).to(at::kCPU);
    if (!kept.eq(kept[0]).all().item<bool>()) {
      throw ArgumentError(
          "an in-painted baseline fills whole pixels, and a part covers only some channels of a pixel: "
          "give parts that cover all of them");
    }
    const at::Tensor values = picture.to(at::kCPU, at::kDouble).contiguous();
    const at::Tensor missing = kept[0].logical_not().contiguous();
    const at::Tensor filled = missing.all().item<bool>()
                                  ? values.mean({1, 2}, /*keepdim=*/true).expand(picture.sizes())
                                  : linear_imputation(values, missing);
    return filled.to(picture.device(), picture.scalar_type());
  }

  std::vector<at::Tensor> rows_;  // for each baseline (N, ...), undefined: in-painted
  at::Tensor pictures_;
};

}  // namespace salience::detail
