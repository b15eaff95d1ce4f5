// FixedRule: the integral of a gradient along a known path by a quadrature rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/detail/path_sample.hpp>
#include <salience/method/quadrature.hpp>

namespace salience::detail {

/// The nodes of a rule and the order in which they are taken.
struct RuleSteps {
  std::vector<Cell> cells;
  std::vector<std::int64_t> order;

  RuleSteps(Quadrature rule, std::int64_t steps, bool ascending)
      : cells(quadrature(rule, steps)), order(step_order(count(), ascending)) {}

  std::int64_t count() const { return static_cast<std::int64_t>(cells.size()); }
  /// The k-th that is taken.
  const Cell& operator[](std::int64_t k) const {
    return cells[static_cast<std::size_t>(order[static_cast<std::size_t>(k)])];
  }
};

/// All steps in one round, in an order in which any first part of them is a coarser quadrature.
template <class P>
class FixedRule {
 public:
  /// `steps` and `sum` outlive it.
  FixedRule(PathSample<P> sample, const RuleSteps& steps, bool multiply_by_inputs, PathSum& sum)
      : sample_(std::move(sample)), steps_(steps), multiply_by_inputs_(multiply_by_inputs), sum_(sum) {}

  std::int64_t begin_round() { return std::exchange(begun_, true) ? 0 : steps_.count(); }
  void point(std::int64_t k, const at::Tensor& out) const { sample_.point(steps_[k].node, out); }

  void take(std::int64_t k, const at::Tensor& gradient, double /*score*/) {
    const Cell& cell = steps_[k];
    if (!straight) sum_.add(gradient.mul(sample_.step(cell.begin, cell.end)));
    if (straight || !multiply_by_inputs_) PathSum::accumulate(mean_, gradient, cell.weight);
    sum_.weight += cell.weight;
    ++sum_.evaluations;
  }

  double error() const { return -1.0; }

  void end(bool /*whole*/, double /*score*/) {
    if (!mean_.defined()) return;
    if (straight) sum_.add(sample_.way.mul(mean_));
    if (!multiply_by_inputs_) PathSum::accumulate(sum_.gradient, mean_);
  }

 private:
  static constexpr bool straight = PathSample<P>::straight;

  PathSample<P> sample_;
  const RuleSteps& steps_;
  bool multiply_by_inputs_;
  PathSum& sum_;
  at::Tensor mean_;  // of the gradients, by weight
  bool begun_ = false;
};

}  // namespace salience::detail
