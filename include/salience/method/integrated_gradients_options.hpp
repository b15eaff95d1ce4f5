// IntegratedGradientsOptions: how far, how finely and from where to integrate.
#pragma once

#include <cstdint>
#include <optional>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/quadrature.hpp>
#include <salience/method/streaming.hpp>

namespace salience {

/// What can be chosen of IntegratedGradients. `steps` and `rule` say where a fixed number of gradients is
/// computed, `tolerance`, `map_tolerance` and `max_evaluations` that as many are computed as are needed: of
/// these two groups only one may be set.
struct IntegratedGradientsOptions {
  std::optional<std::int64_t> steps{};  ///< n of the quadrature rule, at least 1; not set: 50 as in Captum
  std::optional<Quadrature> rule{};     ///< where steps are taken; not set: gauss_legendre as in Captum
  /// Where the path begins; it may be several. Not set: zero. On a path that begins elsewhere, as BlurPath,
  /// there is none to set.
  std::optional<Baseline> baseline{};
  /// Whether the integral is multiplied by (input - baseline), which makes it sum to the score's difference;
  /// if not, the values are the mean gradient along the path.
  bool multiply_by_inputs = true;
  /// Above 0: a trapezoid whose worst intervals are halved, round by round, until the relative completeness
  /// is at most this and the map's error at most `map_tolerance`.
  double tolerance = 0.0;
  /// For the estimated error of the map relative to the map (L1 norms); 0: five times `tolerance`. Above 0
  /// alone, completeness is not looked at.
  double map_tolerance = 0.0;
  /// Of a sample, from each baseline, with a tolerance; at least 2; not set: 500.
  std::optional<std::int64_t> max_evaluations{};
  std::int64_t chunk = 0;       ///< gradients computed at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each gradient; false stops and gives what there is

  /// Whether a tolerance was asked for.
  bool adaptive() const { return tolerance > 0.0 || map_tolerance > 0.0; }
  /// `steps`, or 50.
  std::int64_t steps_taken() const { return steps.value_or(50); }
  /// `rule`, or gauss_legendre.
  Quadrature rule_taken() const { return rule.value_or(Quadrature::gauss_legendre); }
  /// `baseline`, or zero.
  Baseline baseline_taken() const { return baseline.value_or(Baseline::zero()); }
  /// `max_evaluations`, or 500.
  std::int64_t evaluations_allowed() const { return max_evaluations.value_or(500); }

  /// Throws ArgumentError for an option out of range, or two that exclude each other.
  void require_valid() const {
    if (steps_taken() < 1) throw ArgumentError::out_of_range("steps", steps_taken(), "at least 1");
    require_chunk(chunk);
    if (!(tolerance >= 0.0)) {
      throw ArgumentError::out_of_range("tolerance", tolerance, "at least 0");
    }
    if (!(map_tolerance >= 0.0)) {
      throw ArgumentError::out_of_range("map_tolerance", map_tolerance, "at least 0");
    }
    if (evaluations_allowed() < 2) {
      throw ArgumentError::out_of_range("max_evaluations", evaluations_allowed(), "at least 2");
    }
    if (adaptive() && steps) throw exclude("steps", "as many steps are taken as it needs");
    if (adaptive() && rule) throw exclude("rule", "the rule is an adaptive trapezoid");
    if (!adaptive() && max_evaluations) {
      throw ArgumentError(
          "max_evaluations needs a tolerance or a map_tolerance; without, steps says how many");
    }
  }

  /// Throws ArgumentError for an option that a GradientPath excludes.
  void require_fit_for_gradient_path() const {
    if (adaptive()) {
      throw ArgumentError::out_of_range(tolerance_name(), tolerance > 0.0 ? tolerance : map_tolerance,
                                        "0 on a path that follows gradients");
    }
    if (rule) {
      throw ArgumentError(
          "rule and a path that follows gradients exclude each other: each step begins where the last ended");
    }
  }

 private:
  const char* tolerance_name() const { return tolerance > 0.0 ? "tolerance" : "map_tolerance"; }
  ArgumentError exclude(const char* option, const char* reason) const {
    return ArgumentError(
        detail::concat(option, " and ", tolerance_name(), " exclude each other: with a tolerance ", reason));
  }
};

}  // namespace salience
