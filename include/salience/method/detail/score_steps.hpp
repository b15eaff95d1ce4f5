// ScoreSteps: IDGI's sum along a path.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/method/detail/fixed_rule.hpp>
#include <salience/method/detail/path_sample.hpp>

namespace salience::detail {

/// Each step hands the difference of the scores at its ends to the elements by their squared gradients at its
/// beginning. All steps are wanted in one round, in ascending order; on a path that depends on the gradients,
/// one step a round.
template <class P>
class ScoreSteps {
 public:
  /// `steps`, ascending, and `sum` outlive it.
  ScoreSteps(PathSample<P> sample, const RuleSteps& steps, PathSum& sum)
      : sample_(std::move(sample)), steps_(steps), sum_(sum) {
    if constexpr (!known) here_ = sample_.start();
  }

  std::int64_t begin_round() {
    const std::int64_t left = steps_.count() - step_;
    return known || left == 0 ? left : 1;
  }
  void point(std::int64_t k, const at::Tensor& out) const {
    if constexpr (known) {
      sample_.point(steps_[k].node, out);
    } else {
      out.copy_(here_);
    }
  }

  void take(std::int64_t /*k*/, const at::Tensor& gradient, double score) {
    hand_out(score);
    gradient_ = gradient.clone();
    score_ = score;
    if constexpr (!known) {
      const Cell& cell = steps_[step_];
      here_ = sample_.path.next(sample_.input, sample_.baseline, here_, gradient, cell.begin, cell.end);
    }
    if (step_ == 0) sum_.weight += 1.0;  // a walk that was stopped counts as one
    ++step_;
    ++sum_.evaluations;
  }

  double error() const { return -1.0; }

  void end(bool whole, double score) {
    if (whole) hand_out(score);
  }

 private:
  static constexpr bool known = PathSample<P>::known;

  /// Ends the step that was begun last, if there is one.
  void hand_out(double score) {
    if (!gradient_.defined()) return;
    const at::Tensor square = gradient_.square();
    const double norm = square.sum(at::kDouble).template item<double>();
    if (norm > 0.0) sum_.add(square.mul((score - score_) / norm));
  }

  PathSample<P> sample_;
  const RuleSteps& steps_;
  PathSum& sum_;
  at::Tensor here_, gradient_;  // the gradient at the beginning of a step that has not ended
  double score_ = 0.0;          // there
  std::int64_t step_ = 0;
};

}  // namespace salience::detail
