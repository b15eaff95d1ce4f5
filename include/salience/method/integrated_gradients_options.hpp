// IntegratedGradientsOptions: how far, how finely and from where to integrate.
#pragma once

#include <cstdint>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/quadrature.hpp>
#include <salience/method/streaming.hpp>

namespace salience {

/// What can be chosen of IntegratedGradients.
struct IntegratedGradientsOptions {
  std::int64_t steps = 50;                       ///< n of the quadrature rule; 50 as in Captum
  Quadrature rule = Quadrature::gauss_legendre;  ///< where steps are taken, without a tolerance
  Baseline baseline = Baseline::zero();          ///< where the path begins; it may be several
  /// Whether the integral is multiplied by (input - baseline), which makes it sum to the score's difference;
  /// if not, the values are the mean gradient along the path.
  bool multiply_by_inputs = true;
  /// IDGI (Yang, Wang, Bilgic: "IDGI: A Framework to Eliminate Explanation Noise from Integrated Gradients",
  /// CVPR 2023): each step hands the difference of the scores at its ends to the elements by their squared
  /// gradients (a step whose gradient is zero everywhere hands out nothing). The rule is `left` then.
  bool idgi = false;
  /// Above 0: instead of `steps`, a trapezoid whose worst intervals are halved, round by round, until the
  /// relative completeness is at most this and the map's error at most `map_tolerance`.
  double tolerance = 0.0;
  /// For the estimated error of the map relative to the map (L1 norms); 0: five times `tolerance`. Above 0
  /// alone, completeness is not looked at.
  double map_tolerance = 0.0;
  std::int64_t max_evaluations = 500;  ///< of a sample, from each baseline, with a tolerance
  std::int64_t chunk = 0;              ///< gradients computed at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};         ///< told after each gradient; false stops and gives what there is

  /// Whether a tolerance was asked for.
  bool adaptive() const { return tolerance > 0.0 || map_tolerance > 0.0; }

  /// Throws ArgumentError for an option out of range, or two that exclude each other.
  void require_valid() const {
    if (steps < 1) throw ArgumentError::out_of_range("steps", steps, "at least 1");
    detail::require_chunk(chunk);
    if (!(tolerance >= 0.0)) {
      throw ArgumentError::out_of_range("tolerance", tolerance, "at least 0");
    }
    if (!(map_tolerance >= 0.0)) {
      throw ArgumentError::out_of_range("map_tolerance", map_tolerance, "at least 0");
    }
    if (max_evaluations < 2) {
      throw ArgumentError::out_of_range("max_evaluations", max_evaluations, "at least 2");
    }
    if (adaptive() && idgi) {
      throw ArgumentError::out_of_range("tolerance", tolerance, "0 with idgi, whose sum is exact");
    }
    if (idgi && !multiply_by_inputs) {
      throw ArgumentError::out_of_range("multiply_by_inputs", "false", "true with idgi");
    }
  }
};

}  // namespace salience
