// Refinement: the integral of a gradient along a known path, refined to a tolerance.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/detail/adaptive_integral.hpp>
#include <salience/method/detail/path_sample.hpp>

namespace salience::detail {

/// Each round halves the intervals that AdaptiveIntegral wants halved.
template <class P>
class Refinement {
 public:
  /// `sum` outlives it.
  Refinement(PathSample<P> sample, const Tolerances& tolerances, bool multiply_by_inputs, PathSum& sum)
      : sample_(std::move(sample)),
        multiply_by_inputs_(multiply_by_inputs),
        sum_(sum),
        integral_(tolerances) {}

  std::int64_t begin_round() {
    wanted_ = integral_.wanted();
    error_ = integral_.map_error();
    return static_cast<std::int64_t>(wanted_.size());
  }
  void point(std::int64_t k, const at::Tensor& out) const { sample_.point(node(k), out); }

  void take(std::int64_t k, const at::Tensor& gradient, double score) {
    // Once and for all, if all steps are parts of one.
    const bool scaled = PathSample<P>::straight && multiply_by_inputs_;
    integral_.add(node(k), scaled ? sample_.way.mul(gradient) : gradient.clone(), score,
                  [&](double begin, double end) {
                    return scaled ? sample_.way.new_full({}, end - begin) : sample_.step(begin, end);
                  });
    ++sum_.evaluations;
  }

  double error() const { return error_; }

  void end(bool /*whole*/, double /*score*/) {
    sum_.converged = sum_.converged && integral_.converged();
    if (!integral_.map().defined()) return;
    sum_.add(integral_.map());
    if (!multiply_by_inputs_) PathSum::accumulate(sum_.gradient, integral_.mean_gradient());
    sum_.squared_error += std::pow(integral_.absolute_error(), 2);
    sum_.weight += 1.0;
  }

 private:
  double node(std::int64_t k) const { return wanted_[static_cast<std::size_t>(k)]; }

  PathSample<P> sample_;
  bool multiply_by_inputs_;
  PathSum& sum_;
  AdaptiveIntegral integral_;
  std::vector<double> wanted_;
  double error_ = -1.0;
};

}  // namespace salience::detail
