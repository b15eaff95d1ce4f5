// SegmentationTarget: a class of a segmentation, over the places where it was found.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The sum of one class's logits over the places that belong to it, of an output (N, K, ...): (N, K, H, W) of
/// pictures, (N, K, L), (N, K, D, H, W). Which places these are is chosen once, on the clean input: those
/// that the network gives to the class, or a mask of the user's own.
///
///     IntegratedGradients ig{model};
///     Attribution a = ig(x, SegmentationTarget{15});
///     Attribution b = ig(x, SegmentationTarget{15, mask});  // (N, H, W), (1, H, W) or (H, W)
///
/// A Target whose choice is a state with a row for each sample, (N, ...): it follows the samples in every
/// method. `Attribution::target` is that mask. Throws TargetError for an output of another shape, or where
/// the network gives no place to the class.
class SegmentationTarget {
 public:
  /// The places that the network gives to the class.
  explicit SegmentationTarget(std::int64_t index) : index_(index) {}
  /// These places, with weights.
  SegmentationTarget(std::int64_t index, at::Tensor mask) : index_(index), mask_(std::move(mask)) {}

  /// The mask, (N, ...), in the output's type.
  at::Tensor choose(const at::Tensor& output) const {
    if (output.dim() < 3 || index_ < 0 || index_ >= output.size(1)) {
      throw TargetError(detail::concat("a segmentation with a class ", index_,
                                       " needs an output (N, K, ...) of more than ", index_,
                                       " classes, not of shape ", detail::shape(output)));
    }
    const at::Tensor places = output.select(1, index_);
    if (!mask_.defined()) {
      const at::Tensor found = output.argmax(1).eq(index_);
      const at::Tensor empty = found.flatten(1).any(1).logical_not();
      if (empty.any().item<bool>()) {
        throw TargetError(detail::concat("the network gives no place of sample ",
                                         empty.nonzero()[0].item<std::int64_t>(), " to class ", index_,
                                         ": give SegmentationTarget a mask"));
      }
      return found.to(output.scalar_type());
    }
    const at::Tensor mask = mask_.to(output.device(), output.scalar_type());
    const bool fits = mask.dim() <= places.dim() && mask.dim() > 0 &&
                      mask.sizes().slice(mask.dim() == places.dim() ? 1 : 0) == places.sizes().slice(1) &&
                      (mask.dim() < places.dim() || mask.size(0) == 1 || mask.size(0) == places.size(0));
    if (!fits) {
      throw TargetError(detail::concat("a mask of shape ", detail::shape(mask),
                                       " does not fit places of shape ", detail::shape(places)));
    }
    return mask.expand_as(places);
  }

  /// (N), over the mask that was chosen.
  at::Tensor score(const at::Tensor& output, const at::Tensor& mask) const {
    return output.select(1, index_).mul(mask).flatten(1).sum({1});
  }

 private:
  std::int64_t index_;
  at::Tensor mask_;
};

}  // namespace salience
