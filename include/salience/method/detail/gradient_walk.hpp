// GradientWalk: the integral of a gradient along a path that depends on the gradients.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/method/detail/fixed_rule.hpp>
#include <salience/method/detail/path_sample.hpp>

namespace salience::detail {

/// One step a round, since where the next one begins depends on this one.
template <class P>
class GradientWalk {
 public:
  /// `steps`, ascending, and `sum` outlive it.
  GradientWalk(PathSample<P> sample, const RuleSteps& steps, bool multiply_by_inputs, PathSum& sum)
      : sample_(std::move(sample)),
        steps_(steps),
        multiply_by_inputs_(multiply_by_inputs),
        sum_(sum),
        here_(sample_.start()) {}

  std::int64_t begin_round() { return ++step_ < steps_.count() ? 1 : 0; }
  void point(std::int64_t /*k*/, const at::Tensor& out) const { out.copy_(here_); }

  void take(std::int64_t /*k*/, const at::Tensor& gradient, double /*score*/) {
    const Cell& cell = steps_[step_];
    const at::Tensor next =
        sample_.path.next(sample_.input, sample_.baseline, here_, gradient, cell.begin, cell.end);
    sum_.add(gradient.mul(next.sub(here_)));
    here_ = next;
    if (!multiply_by_inputs_) PathSum::accumulate(mean_, gradient, cell.weight);
    if (step_ == 0) sum_.weight += 1.0;  // a walk that was stopped counts as one
    ++sum_.evaluations;
  }

  double error() const { return -1.0; }

  void end(bool /*whole*/, double /*score*/) {
    if (mean_.defined()) PathSum::accumulate(sum_.gradient, mean_);
  }

 private:
  PathSample<P> sample_;
  const RuleSteps& steps_;
  bool multiply_by_inputs_;
  PathSum& sum_;
  at::Tensor here_, mean_;
  std::int64_t step_ = -1;
};

}  // namespace salience::detail
