// DeepLift and DeepLiftShap: the change of the score from a baseline on, shared out by multipliers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/completeness.hpp>
#include <salience/method/detail/shap_draws.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/model/relevance_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/deep_lift_rule.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of DeepLift.
struct DeepLiftOptions {
  std::optional<Baseline> baseline{};         ///< one; not set: zero, as Captum's
  DeepLiftRule rule = DeepLiftRule::rescale;  ///< by which an activation's change is shared out
};

namespace detail {

/// The forward pass of an input and its baseline, recorded with DeepLIFT's rules.
struct DeepLiftPass {
  RecordedPass pass;
  at::Tensor base_score;  ///< (N), of the baseline, for the class that is chosen on the input

  /// (x - b) times the multipliers.
  at::Tensor values(const at::Tensor& input, const at::Tensor& baseline) const {
    return pass.gradient().mul(input.detach().sub(baseline));
  }
};

template <class M, class T>
DeepLiftPass deep_lift_pass(const M& model, const at::Tensor& input, const at::Tensor& baseline,
                            DeepLiftRule rule, const T& target) {
  // The rows of the baseline are those of the input already: it must not be asked for samples once more.
  const at::Tensor samples = samples_of(target);
  const auto pairs_of = [&](const at::Tensor& x) {
    if (!samples.defined()) {
      auto against = model.against(baseline, rule);
      return call(against, x);
    }
    auto against = part_for_samples(model, samples.to(input.device())).against(baseline, rule);
    return call(against, x);
  };
  at::Tensor at_baseline;
  DeepLiftPass result;
  result.pass = record_by(
      [&](const at::Tensor& x, RecordedPass& pass) {
        const at::Tensor pairs = pairs_of(x);
        if (pairs.dim() < 2 || pairs.size(1) != 2) {
          throw ModelError(
              concat("DeepLIFT cannot follow the model's output to its end, of shape ", shape(pairs)));
        }
        pass.output = pairs.select(1, 0);
        at_baseline = pairs.detach().select(1, 1);
      },
      input, target);
  result.base_score = target.score(at_baseline, result.pass.chosen).detach().reshape({-1});
  return result;
}

}  // namespace detail

/// DeepLIFT (Shrikumar, Greenside, Kundaje: "Learning Important Features Through
/// Propagating Activation Differences", ICML 2017): the change of the score from a baseline b to the input,
/// \f$ s_c(x) - s_c(b) \f$, shared out over the elements, \f$ (x_i - b_i) \, m_i \f$. The multipliers m come
/// back through the network as a gradient does; an activation y = f(u) hands back \f$ (y - y_0) / (u - u_0)
/// \f$ in place of f'(u), and f' where u does not change.
///
///     DeepLift method{model, {.baseline = Baseline::blurred()}};
///     Attribution a = method(x);  // a.completeness_error, a.relative_completeness_error
///
/// That is the rescale rule. With DeepLiftRule::reveal_cancel what rises and what falls in u have multipliers
/// of their own. They come apart in products with weights, by the signs, and go on through sums, scales,
/// moves and activations; everything else (pooling by maxima, products of two values, softmax, norms) sees
/// one change, and hands it on by its sign. An activation goes by rescale where it has no value for one part
/// alone, or one out of proportion (1000 times the slope of the whole change).
///
/// Where the paper is silent: the change of a maximum (pooling, also with windows that overlap) goes to the
/// place of the larger of the two maxima; a product hands each factor the mean of the other, before and
/// after; softmax, norms, quotients and attention are taken apart into such steps. So the values sum to the
/// change of the output that is explained, up to rounding, on any graph. An operator that has no rule is an
/// error. What a target computes outside of the model, as the softmax of Probability, has none: explain a
/// logit.
///
/// It works on the operators of a model's file: on a GraphModel, so also on the part behind a layer
/// (GraphModel::from), and does not depend on how its modules are written. A branch whose condition depends
/// on values is refused. Costs about 2 gradients, with reveal_cancel 5. Throws ArgumentError for several
/// baselines (see DeepLiftShap) or one that does not fit the input, ModelError, which names them, for
/// operators without a rule, and what GradientAttributor throws.
template <class M>
class DeepLift {
 public:
  /// `model` is a DeepLiftModel: a ScriptModel, an ExportedModel, a GraphModel.
  explicit DeepLift(M model, const DeepLiftOptions& options = {})
      : model_(std::move(model)),
        baseline_(options.baseline.value_or(Baseline::zero())),
        rule_(options.rule) {
    detail::require_deep_lift_model<M>();
    if (baseline_.count() != 1) {
      throw ArgumentError(detail::concat("DeepLift takes one baseline, and there are ", baseline_.count(),
                                         ": DeepLiftShap takes the mean over several"));
    }
  }

  /// The share of each element, for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      const at::Tensor baseline = baseline_(input, 0, detail::samples_of(wanted));
      const detail::DeepLiftPass pass = detail::deep_lift_pass(model_, input, baseline, rule_, wanted);
      Attribution result = pass.pass.explained_by(pass.values(input, baseline));
      detail::fill_in_completeness(result, pass.base_score);
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  mutable M model_;  // a model's call operator may be non-const
  Baseline baseline_;
  DeepLiftRule rule_;
};

/// What can be chosen of DeepLiftShap.
struct DeepLiftShapOptions {
  std::int64_t samples = 0;            ///< random draws of a baseline for each sample; 0: each baseline once
  std::optional<Baseline> baseline{};  ///< several, as Baseline::each; not set: zero alone
  DeepLiftRule rule = DeepLiftRule::rescale;  ///< by which an activation's change is shared out
  std::uint64_t seed = 0;                     ///< the same seed gives the same draws, bit for bit
  std::int64_t chunk = 0;       ///< draws evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each draw; false stops and gives what there is
};

/// DeepSHAP (Lundberg, Lee: "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017): the mean
/// of DeepLift over several baselines, which together stand for what the network usually sees. The values sum
/// to the score's mean change.
///
///     DeepLiftShap shap{model, {.baseline = Baseline::each(photos)}};
///     Attribution a = shap(x);  // a.standard_error, a.copies, a.completeness_error
///
/// The target is chosen once, on the input. Sums are in float32 (float64 for float64); memory does not grow
/// with the number of baselines. Throws ArgumentError for an option out of range, and what DeepLift throws.
template <class M>
class DeepLiftShap {
 public:
  /// `model` is a DeepLiftModel. Throws ArgumentError for an option out of range.
  explicit DeepLiftShap(M model, const DeepLiftShapOptions& options = {})
      : model_(std::move(model)),
        draws_(draws_of(options), /*in_turn=*/options.samples == 0),
        rule_(options.rule) {
    detail::require_deep_lift_model<M>();
  }

  /// The mean for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      Attribution result{predict(input, wanted)};
      const auto selector = detail::read_as(wanted, result.output_type);
      std::vector<double> base_scores(static_cast<std::size_t>(input.size(0)), 0.0);
      const auto share = [&](const detail::ShapRows& rows, const auto& fixed) {
        const at::Tensor x = rows.input.to(input.scalar_type()), b = rows.baseline.to(input.scalar_type());
        const detail::DeepLiftPass pass = detail::deep_lift_pass(model_, x, b, rule_, fixed);
        const at::Tensor scores = pass.base_score.to(at::kCPU, at::kDouble);
        const at::Tensor samples = fixed.samples.cpu();
        for (std::int64_t i = 0; i < samples.numel(); ++i)
          base_scores[static_cast<std::size_t>(samples[i].template item<std::int64_t>())] +=
              scores[i].template item<double>();
        return detail::widened(pass.values(x, b));
      };
      result = draws_(std::move(result), input, selector, share);
      const at::Tensor means = detail::vector_tensor<double>(base_scores).div(result.copies);
      if (!result.stopped) detail::fill_in_completeness(result, means);
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  static GradientShapOptions draws_of(const DeepLiftShapOptions& options) {
    if (options.samples < 0) throw ArgumentError::out_of_range("samples", options.samples, "at least 0");
    const std::size_t count = options.baseline ? options.baseline->count() : 1;
    return {.samples = options.samples > 0 ? options.samples : static_cast<std::int64_t>(count),
            .noise = 0.0,
            .baseline = options.baseline,
            .seed = options.seed,
            .chunk = options.chunk,
            .progress = options.progress};
  }

  mutable M model_;
  detail::ShapDraws draws_;
  DeepLiftRule rule_;
};

}  // namespace salience
