// Quadrature rules on [0, 1].
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

namespace salience {

/// Where n steps are taken on [0, 1], and with which weights. Each is exact for a constant integrand at every
/// n, so that an integral of a linear model's gradient is exact.
enum class Quadrature {
  gauss_legendre,  ///< n nodes; exact for polynomials of degree 2n - 1. The default, as in Captum
  left,            ///< n nodes, k / n; first order
  right,           ///< n nodes, (k + 1) / n; first order
  middle,          ///< n nodes, (k + 1/2) / n; exact for linear integrands, second order
  trapezoid,       ///< n + 1 nodes, k / n; exact for linear integrands, second order
};

namespace detail {

/// A node and the part of [0, 1] that it stands for; `weight` is end - begin without the rounding of sums.
struct Cell {
  double node = 0.0, weight = 0.0, begin = 0.0, end = 0.0;
};

/// Nodes and weights of Gauss and Legendre by Newton's method on the Legendre polynomial.
inline std::vector<Cell> gauss_legendre(std::int64_t n) {
  std::vector<Cell> cells(static_cast<std::size_t>(n));
  const auto count = static_cast<double>(n);
  for (std::int64_t i = 0; i < (n + 1) / 2; ++i) {
    double x = std::cos(std::numbers::pi * (static_cast<double>(i) + 0.75) / (count + 0.5));
    double slope = 1.0;
    for (double change = 1.0; std::abs(change) > 1e-15;) {
      double previous = 0.0, value = 1.0;  // P_{-1} and P_0
      for (std::int64_t k = 0; k < n; ++k) {
        const auto degree = static_cast<double>(k);
        const double next = ((2.0 * degree + 1.0) * x * value - degree * previous) / (degree + 1.0);
        previous = value;
        value = next;
      }
      slope = count * (x * value - previous) / (x * x - 1.0);
      change = value / slope;
      x -= change;
    }
    if (2 * i + 1 == n) x = 0.0;
    const double weight = 1.0 / ((1.0 - x * x) * slope * slope);  // half of that on [-1, 1]
    cells[static_cast<std::size_t>(n - 1 - i)] = {.node = 0.5 + 0.5 * x, .weight = weight};
    cells[static_cast<std::size_t>(i)] = {.node = 0.5 - 0.5 * x, .weight = weight};
  }
  return cells;
}

/// The nodes of a rule in ascending order. The cells are laid end to end, which puts each rule's nodes into
/// their own cells (for Gauss and Legendre by the separation theorem of Chebyshev, Markov and Stieltjes).
inline std::vector<Cell> quadrature(Quadrature rule, std::int64_t n) {
  std::vector<Cell> cells;
  if (rule == Quadrature::gauss_legendre) {
    cells = gauss_legendre(n);
  } else {
    const auto count = static_cast<double>(n);
    const double shift = rule == Quadrature::right ? 1.0 : rule == Quadrature::middle ? 0.5 : 0.0;
    const bool trapezoid = rule == Quadrature::trapezoid;
    for (std::int64_t k = 0; k < n + (trapezoid ? 1 : 0); ++k) {
      const bool half = trapezoid && (k == 0 || k == n);
      cells.push_back(
          {.node = (static_cast<double>(k) + shift) / count, .weight = (half ? 0.5 : 1.0) / count});
    }
  }
  double begin = 0.0;
  for (Cell& cell : cells) {
    cell.begin = begin;
    begin += cell.weight;
    cell.end = begin;
  }
  cells.back().end = 1.0;
  return cells;
}

/// 0 ... count - 1; if they need not ascend, by bit reversal (van der Corput), so that any first part of them
/// is spread over the whole.
inline std::vector<std::int64_t> step_order(std::int64_t count, bool ascending) {
  std::vector<std::int64_t> steps;
  std::int64_t bits = 1;
  while (bits < count) bits *= 2;
  for (std::int64_t i = 0; i < bits; ++i) {
    std::int64_t step = ascending ? i : 0;
    for (std::int64_t bit = 1; !ascending && bit < bits; bit *= 2) step = 2 * step + (i & bit ? 1 : 0);
    if (step < count) steps.push_back(step);
  }
  return steps;
}

}  // namespace detail

}  // namespace salience
