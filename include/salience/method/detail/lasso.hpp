// The lasso: least squares with a cost on absolute values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include <Eigen/Dense>

namespace salience::detail {

/// Takes the values that are not 0 from the linear system of their signs, if that is the minimum.
inline bool solved_exactly(const Eigen::MatrixXd& a, const Eigen::VectorXd& b, double alpha,
                           Eigen::VectorXd& beta) {
  std::vector<Eigen::Index> own;
  for (Eigen::Index i = 0; i < beta.size(); ++i) {
    if (beta[i] != 0.0) own.push_back(i);
  }
  const auto count = static_cast<Eigen::Index>(own.size());
  Eigen::MatrixXd part(count, count);
  Eigen::VectorXd right(count);
  for (Eigen::Index i = 0; i < count; ++i) {
    const Eigen::Index at = own[static_cast<std::size_t>(i)];
    right[i] = b[at] - std::copysign(alpha, beta[at]);
    for (Eigen::Index j = 0; j < count; ++j) part(i, j) = a(at, own[static_cast<std::size_t>(j)]);
  }
  const Eigen::VectorXd values = Eigen::LDLT<Eigen::MatrixXd>(part).solve(right);
  Eigen::VectorXd found = Eigen::VectorXd::Zero(beta.size());
  for (Eigen::Index i = 0; i < count; ++i) {
    const Eigen::Index at = own[static_cast<std::size_t>(i)];
    if (!(values[i] * beta[at] > 0.0)) return false;
    found[at] = values[i];
  }
  // No other value may pull harder than its cost, and these as hard as theirs.
  const Eigen::VectorXd pull = b - a * found;
  const double rounding = 1e-12 * std::max(b.cwiseAbs().maxCoeff(), alpha);
  for (Eigen::Index i = 0; i < beta.size(); ++i) {
    const double over =
        found[i] == 0.0 ? std::abs(pull[i]) - alpha : std::abs(pull[i] - std::copysign(alpha, found[i]));
    if (!(over <= rounding) && a(i, i) > 1e-15) return false;
  }
  beta = found;
  return true;
}

/// \f$ \min \frac12 \beta^T A \beta - b^T \beta + \alpha |\beta|_1 \f$ by coordinate descent, one value
/// after the other (Friedman, Hastie, Tibshirani 2010). Once it is known which values are not 0, and their
/// signs, a linear system gives them; the search ends where that is the minimum, or none moves by more than
/// 1e-12 of the largest.
inline Eigen::VectorXd lasso(const Eigen::MatrixXd& a, const Eigen::VectorXd& b, double alpha,
                             Eigen::VectorXd beta) {
  Eigen::VectorXd left = b - a * beta;
  double looked = 1e-2;  // at the linear system, once values move by less than this of the largest
  for (int sweep = 0; sweep < 10000; ++sweep) {
    double moved = 0.0, largest = 0.0;
    for (Eigen::Index i = 0; i < beta.size(); ++i) {
      if (!(a(i, i) > 1e-15)) continue;  // always there, or never: its value is the intercept's
      const double free = left[i] + a(i, i) * beta[i];
      const double value = std::copysign(std::max(std::abs(free) - alpha, 0.0), free) / a(i, i);
      if (value != beta[i]) left -= (value - beta[i]) * a.col(i);
      moved = std::max(moved, std::abs(value - beta[i]));
      beta[i] = value;
      largest = std::max(largest, std::abs(value));
    }
    if (moved <= 1e-12 * largest) break;
    if (moved > looked * largest) continue;
    looked /= 4.0;
    if (solved_exactly(a, b, alpha, beta)) break;
  }
  return beta;
}

}  // namespace salience::detail
