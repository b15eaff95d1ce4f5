// InternalInfluence: the mean gradient at a layer, along a path of inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/fixed_rule.hpp>
#include <salience/method/detail/path_sample.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/quadrature.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of InternalInfluence.
struct InternalInfluenceOptions {
  std::string layer{};                           ///< the layer's name; empty: the last convolution
  std::int64_t steps = 50;                       ///< n of the quadrature rule, at least 1; as in Captum
  Quadrature rule = Quadrature::gauss_legendre;  ///< where steps are taken; as in Captum
  std::optional<Baseline> baseline{};  ///< where the path begins; several are averaged over; not set: zero
  std::int64_t chunk = 0;              ///< gradients computed at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};         ///< told after each gradient; false stops and gives what there is
};

/// Internal influence (Leino et al.: "Influence-Directed Explanations for Deep Convolutional Networks", ITC
/// 2018): the gradient of the score at a layer, averaged over the inputs on the straight line from a baseline
/// b to x, \f$ \int_0^1 \partial s_c / \partial a \, (b + t (x - b)) \, dt \f$. `values` has the layer's
/// shape; they are not multiplied by the layer's output.
///
///     InternalInfluence influence{model, {.layer = "features.10"}};
///     Attribution a = influence(x);
///
/// The target is chosen once, on the input. Sums are in float32 (float64 for float64); memory does not grow
/// with the number of steps. Throws ArgumentError for an option out of range or a baseline that does not fit
/// the input, and what LayerGradient throws.
template <class M>
class InternalInfluence {
 public:
  /// `model` is a LayeredModel. Throws ArgumentError for an option out of range.
  explicit InternalInfluence(M model, InternalInfluenceOptions options = {})
      : gradient_(std::move(model), {options.layer}), options_(std::move(options)) {
    if (options_.steps < 1) throw ArgumentError::out_of_range("steps", options_.steps, "at least 1");
    require_chunk(options_.chunk);
  }

  /// The mean gradient for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(gradient_.model(), input, target, [&](const auto& wanted) {
      Attribution result{predict(input, wanted)};
      result.values_of = ValuesOf::layer;
      const auto selector = detail::read_as(wanted, result.output_type);
      const auto evaluate = evaluation(gradient_, selector, result.target);
      const Baseline baseline = options_.baseline.value_or(Baseline::zero());
      const detail::RuleSteps steps(options_.rule, options_.steps, /*ascending=*/false);
      const at::Tensor clean = detail::widened(input.detach());
      std::vector<detail::PathSum> sums(static_cast<std::size_t>(input.size(0)));
      const std::int64_t total = static_cast<std::int64_t>(baseline.count()) * input.size(0) * steps.count();
      std::int64_t done = 0;
      const auto take = [&](const Variant& row, const Evaluated& evaluated, std::int64_t i) {
        detail::PathSum& sum = sums[static_cast<std::size_t>(row.sample)];
        const double weight = steps[row.step].weight;
        detail::PathSum::accumulate(sum.map, evaluated.values[i], weight);
        sum.weight += weight;
        ++sum.evaluations;
        ++done;
        return !options_.progress || options_.progress({.done = done, .total = total, .error = -1.0});
      };
      Stream stream(clean[0].to(input.scalar_type()), chunk_size(options_.chunk, clean));
      for (std::size_t i = 0; i < baseline.count() && !result.stopped; ++i) {
        const at::Tensor start = baseline(clean, i, detail::samples_of(wanted));
        const at::Tensor way = clean.sub(start);
        const auto point = [&](const Variant& row, const at::Tensor& out) {
          out.copy_(start[row.sample].add(way[row.sample], steps[row.step].node));
        };
        result.stopped = !stream(all_variants(input.size(0), steps.count()), point, evaluate, take);
      }
      collect(sums, input, result);
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return gradient_.predict(input, target);
  }

 private:
  static void collect(const std::vector<detail::PathSum>& sums, const at::Tensor& input,
                      Attribution& result) {
    std::vector<std::int64_t> evaluations;
    for (std::size_t n = 0; n < sums.size(); ++n) {
      evaluations.push_back(sums[n].evaluations);
      if (!sums[n].map.defined()) continue;
      const at::Tensor mean = sums[n].map.div(sums[n].weight).to(input.scalar_type());
      if (!result.values.defined()) result.values = detail::batch_like(mean, sums.size()).zero_();
      result.values[static_cast<std::int64_t>(n)].copy_(mean);
    }
    result.evaluations = detail::vector_tensor<std::int64_t>(evaluations);
  }

  LayerGradient<M> gradient_;
  InternalInfluenceOptions options_;
};

}  // namespace salience
