// Idgi: the score's change along a path, step by step, by the squared gradients.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/fixed_rule.hpp>
#include <salience/method/detail/path_integrator.hpp>
#include <salience/method/detail/path_sample.hpp>
#include <salience/method/detail/score_steps.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/path.hpp>
#include <salience/method/quadrature.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

/// What can be chosen of Idgi.
struct IdgiOptions {
  std::int64_t steps = 50;  ///< of equal length, along the path; at least 1; as IntegratedGradients
  std::optional<Baseline> baseline{};  ///< where the path begins, as IntegratedGradients; not set: zero
  std::int64_t chunk = 0;              ///< gradients computed at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};         ///< told after each gradient; false stops and gives what there is
};

/// IDGI, important direction gradient integration (Yang, Wang, Bilgic: "IDGI: A Framework to Eliminate
/// Explanation Noise from Integrated Gradients", CVPR 2023): each step of a path hands the difference of the
/// scores at its ends to the elements by their squared gradients at its beginning, \f$ \sum_k \big(
/// s_c(x_{k+1}) - s_c(x_k) \big) \, g_k^2 / \|g_k\|^2 \f$, \f$ g_k = \nabla s_c(x_k) \f$. The values sum to
/// \f$ s_c(x) - s_c(b) \f$ but for rounding and for steps at whose beginning the gradient is zero everywhere,
/// which hand out nothing.
///
///     Idgi idgi{model, {.steps = 50, .baseline = black}};
///     Attribution a = idgi(x);  // a.completeness_error, a.relative_completeness_error, a.evaluations
///     Idgi along_blur{model, {}, BlurPath{}};
///
/// The target is chosen once, on the input. Sums are in float32 (float64 for float64); memory does not grow
/// with the number of steps. Throws ArgumentError for an option out of range or a baseline that does not fit
/// the input, and what GradientAttributor throws.
template <class M, class P = StraightPath>
class Idgi {
 public:
  /// `model` is any Model, `path` a ParametricPath or a GradientPath. Throws ArgumentError for an option out
  /// of range, and for a baseline on a path that has no use for it.
  explicit Idgi(M model, IdgiOptions options = {}, P path = {})
      : integrator_(std::move(model), std::move(path)), options_(std::move(options)) {
    detail::require_path<P>();
    if (options_.steps < 1) throw ArgumentError::out_of_range("steps", options_.steps, "at least 1");
    require_chunk(options_.chunk);
    detail::require_baseline_of_use<P>(options_.baseline.has_value());
  }

  /// The sum for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    const detail::RuleSteps steps(Quadrature::left, options_.steps, /*ascending=*/true);
    const detail::PathSettings settings{.baseline = options_.baseline.value_or(Baseline::zero()),
                                        .evaluations = steps.count(),
                                        .chunk = options_.chunk,
                                        .progress = options_.progress};
    return enter(integrator_.gradient(), input, target, [&](const auto& wanted) {
      return integrator_(input, wanted, settings,
                         [&steps](const detail::PathSample<P>& sample, detail::PathSum& sum) {
                           return detail::ScoreSteps<P>(sample, steps, sum);
                         })
          .attribution;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return integrator_.predict(input, target);
  }

 private:
  detail::PathIntegrator<M, P> integrator_;
  IdgiOptions options_;
};

}  // namespace salience
