// Ledger: where relevance went that did not reach the input.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// What one backward pass has taken away from the relevance of each sample. It is written by whatever thread
/// LibTorch runs the pass on.
class Ledger {
 public:
  /// Is given a constant for each channel that an operator adds, and the gradient at its output, (rows, C,
  /// ...), to which it broadcasts.
  using Taker = std::function<void(const at::Tensor& constant, const at::Tensor& gradient)>;

  explicit Ledger(std::int64_t samples, Taker taker = {})
      : samples_(samples),
        taker_(std::move(taker)),
        bias_(empty({samples}, at::kDouble).zero_()),
        epsilon_(bias_.clone()) {}

  /// Notes the constant's share of the score of each sample, the sum of constant times gradient; an undefined
  /// constant is none. One after the other. `has_channels`: the taker is told.
  void take(const at::Tensor& constant, const at::Tensor& gradient, bool has_channels) {
    if (!constant.defined()) return;
    add(constant.mul(gradient), {});
    const std::lock_guard lock(writing_);
    if (taker_ && has_channels) taker_(constant, gradient);
  }

  /// Adds what the bias of one operator took, and what its epsilon did; (rows, ...) each, the samples
  /// outermost, or undefined.
  void add(const at::Tensor& bias, const at::Tensor& epsilon) {
    const std::lock_guard lock(writing_);
    for (auto [sum, share] : {std::pair(&bias_, &bias), std::pair(&epsilon_, &epsilon)}) {
      if (!share->defined()) continue;
      // Of several samples, only where their dimension cannot be mistaken: other layouts have it elsewhere.
      const bool sure = samples_ == 1 || (share->dim() > 0 && share->size(0) == samples_ &&
                                          (share->dim() == 1 || share->size(1) != samples_));
      if (!sure) {
        by_sample_ = false;
        continue;
      }
      const at::Tensor rows =
          share->reshape({samples_, -1}).sum(at::IntArrayRef{1}, false, at::kDouble).to(at::kCPU);
      sum->add_(rows);
    }
  }

  /// (N) float64 each; undefined where the samples could not be told apart.
  at::Tensor bias() const { return by_sample_ ? bias_ : at::Tensor(); }
  at::Tensor epsilon() const { return by_sample_ ? epsilon_ : at::Tensor(); }

 private:
  std::int64_t samples_;
  Taker taker_;
  std::mutex writing_;
  at::Tensor bias_, epsilon_;
  bool by_sample_ = true;
};

/// The ledger into which the forward passes of this thread write when they are walked back.
class OpenLedger {
 public:
  explicit OpenLedger(std::shared_ptr<Ledger> ledger)
      : before_(std::exchange(current(), std::move(ledger))) {}
  OpenLedger(const OpenLedger&) = delete;
  OpenLedger& operator=(const OpenLedger&) = delete;
  ~OpenLedger() { current() = std::move(before_); }

  static std::shared_ptr<Ledger>& current() {
    thread_local std::shared_ptr<Ledger> ledger;
    return ledger;
  }

 private:
  std::shared_ptr<Ledger> before_;
};

}  // namespace salience::detail
