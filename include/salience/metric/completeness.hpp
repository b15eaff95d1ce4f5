// Completeness: whether an attribution sums to the score's change.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The options of Completeness.
struct CompletenessOptions {
  Baseline baseline = Baseline::zero();  ///< where the attribution begins; one alone
};

/// Both (N) float64, on the CPU.
struct CompletenessError {
  at::Tensor absolute;  ///< the sum of the values minus the change of the score
  at::Tensor relative;  ///< its size over that of the change: 0 for nothing of nothing, else infinite
};

/// The completeness axiom (Sundararajan, Taly, Yan: "Axiomatic Attribution for Deep Networks", 2017): an
/// attribution should share out the change of the score, \f$ \sum_i \Phi_i = s_c(x) - s_c(b) \f$. The error
/// is \f$ \sum_i \Phi_i - (s_c(x) - s_c(b)) \f$.
///
///     Completeness completeness{model, {.baseline = Baseline::zero()}};
///     CompletenessError missing = completeness(x, integrated_gradients(x));
///
/// Any number, in the score's unit; the nearer to 0 the better. Methods that make no such claim (gradients,
/// class activation maps) are not judged by it. The score is the one that was attributed, a class's logit,
/// probability or log-probability, found by `Attribution::score`, and the logit where that is undefined; or
/// that of a whole TargetSelector, or a score function. The class is that of Deletion. Throws what the model,
/// the target and the baseline throw, and ArgumentError for several baselines, values of another number of
/// samples, a target whose class is not the attribution's, and a score of another kind that was attributed
/// and is not given.
template <class M>
class Completeness {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Completeness(M model, CompletenessOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
  }

  /// The errors of a batch's attribution: see the class.
  template <class T = ArgMax>
  CompletenessError operator()(const at::Tensor& input, const Attribution& attribution,
                               const T& target = T{}) const {
    return enter([&]() -> CompletenessError {
      const auto selector = judged_as_attributed(target, attribution);
      const VariantScores scores(model_, input, attribution.target, selector);
      const at::Tensor& values = attribution.values;
      if (!values.defined() || values.dim() < 1 || values.size(0) != input.size(0)) {
        throw ArgumentError(detail::concat("values of shape ", detail::shape(values),
                                           " are no attribution of an input of shape ",
                                           detail::shape(input)));
      }
      const at::Tensor baseline = only_baseline(options_.baseline, input);
      const at::Tensor begin =
          scores(1, 0, [&](const Variant& row, const at::Tensor& out) { out.copy_(baseline[row.sample]); });
      const at::Tensor change = scores.clean().sub(begin.select(1, 0));
      const at::Tensor sum = values.detach().reshape({input.size(0), -1}).to(at::kCPU, at::kDouble).sum(1);
      const at::Tensor missing = sum.sub(change);
      return {.absolute = missing, .relative = missing.div(change).abs_().masked_fill_(missing.eq(0.0), 0.0)};
    });
  }

 private:
  mutable M model_;
  CompletenessOptions options_;
};

}  // namespace salience
