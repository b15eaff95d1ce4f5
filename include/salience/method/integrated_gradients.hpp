// IntegratedGradients: the gradient, integrated along a path from a baseline to the input.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/detail/adaptive_integral.hpp>
#include <salience/method/detail/completeness.hpp>
#include <salience/method/detail/fixed_rule.hpp>
#include <salience/method/detail/gradient_walk.hpp>
#include <salience/method/detail/path_integrator.hpp>
#include <salience/method/detail/path_sample.hpp>
#include <salience/method/detail/refinement.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/integrated_gradients_options.hpp>
#include <salience/method/path.hpp>
#include <salience/method/quadrature.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Integrated Gradients (Sundararajan, Taly, Yan: "Axiomatic Attribution for Deep Networks", 2017): \f$ (x -
/// b) \int_0^1 \nabla s_c(b + t (x - b)) \, dt \f$, or \f$ \int_0^1 \nabla s_c(\gamma(t)) \, d\gamma(t) \f$
/// along another path. The values sum to \f$ s_c(x) - s_c(b) \f$, but for the error of the quadrature.
///
///     IntegratedGradients ig{model, {.steps = 50}};
///     Attribution a = ig(x);  // a.completeness_error, a.relative_completeness_error, a.evaluations
///     IntegratedGradients blur_ig{model, {.steps = 100}, BlurPath{}};
///     IntegratedGradients guided_ig{model, {.steps = 200}, GuidedPath{}};
///
/// With `{.tolerance = 0.01}` each sample gets as many gradients as it needs. Completeness alone is a poor
/// guide (it is reached early, by cancellation), so the map's own error is estimated and bounded too;
/// `map_error` and `converged` tell. That mode keeps the gradients at its nodes: at most max_evaluations
/// times the input.
///
/// The target is chosen once, on the input. Nodes and weights are in float64, sums in float32 (float64 for
/// float64); memory does not grow with the number of steps. Throws ArgumentError for an option out of range,
/// two that exclude each other, or a baseline that does not fit the input, and what GradientAttributor
/// throws.
template <class M, class P = StraightPath>
class IntegratedGradients {
 public:
  /// `model` is any Model, `path` a ParametricPath or a GradientPath. On a GradientPath each step is taken
  /// from where the last one ended, so that there is neither a rule nor a tolerance to choose. Throws
  /// ArgumentError for an option out of range, or two that exclude each other.
  explicit IntegratedGradients(M model, IntegratedGradientsOptions options = {}, P path = {})
      : integrator_(std::move(model), std::move(path)), options_(std::move(options)) {
    detail::require_path<P>();
    options_.require_valid();
    detail::require_baseline_of_use<P>(options_.baseline.has_value());
    if constexpr (!detail::PathSample<P>::known) options_.require_fit_for_gradient_path();
  }

  /// The integral for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(integrator_.gradient(), input, target, [&](const auto& wanted) {
      if constexpr (detail::PathSample<P>::known) {
        if (options_.adaptive()) return refined(input, wanted);
        return by_steps<detail::FixedRule<P>>(input, wanted, options_.rule_taken(), /*ascending=*/false);
      } else {
        // Each step begins at its left end.
        return by_steps<detail::GradientWalk<P>>(input, wanted, Quadrature::left, /*ascending=*/true);
      }
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return integrator_.predict(input, target);
  }

 private:
  using Sample = detail::PathSample<P>;
  using Sum = detail::PathSum;

  detail::PathSettings settings(std::int64_t evaluations) const {
    return {.baseline = options_.baseline_taken(),
            .evaluations = evaluations,
            .chunk = options_.chunk,
            .progress = options_.progress,
            .multiply_by_inputs = options_.multiply_by_inputs};
  }

  /// By a fixed number of steps, which an Accumulator sums up.
  template <class Accumulator, class T>
  Attribution by_steps(const at::Tensor& input, const T& target, Quadrature rule, bool ascending) const {
    const detail::RuleSteps steps(rule, options_.steps_taken(), ascending);
    return integrator_(input, target, settings(steps.count()),
                       [&](const Sample& sample, Sum& sum) {
                         return Accumulator(sample, steps, options_.multiply_by_inputs, sum);
                       })
        .attribution;
  }

  template <class T>
  Attribution refined(const at::Tensor& input, const T& target) const {
    constexpr double any = std::numeric_limits<double>::infinity();
    const std::int64_t most = options_.evaluations_allowed();
    const detail::Tolerances tolerances{
        .completeness = options_.tolerance > 0.0 ? options_.tolerance : any,
        .map = options_.map_tolerance > 0.0 ? options_.map_tolerance : 5.0 * options_.tolerance,
        .evaluations = most};
    const detail::PathResult path =
        integrator_(input, target, settings(most), [&](const Sample& sample, Sum& sum) {
          return detail::Refinement<P>(sample, tolerances, options_.multiply_by_inputs, sum);
        });
    std::vector<double> errors;
    std::vector<std::int64_t> converged;
    for (const Sum& sum : path.sums) {
      errors.push_back(sum.map.defined()
                           ? detail::ratio(std::sqrt(sum.squared_error),
                                           sum.map.abs().sum(at::kDouble).template item<double>())
                           : std::nan(""));
      converged.push_back(sum.converged);
    }
    Attribution result = path.attribution;
    result.map_error = detail::vector_tensor<double>(errors);
    result.converged = detail::vector_tensor<std::int64_t>(converged).to(at::kBool);
    return result;
  }

  detail::PathIntegrator<M, P> integrator_;
  IntegratedGradientsOptions options_;
};

}  // namespace salience
