// LayerConductance: what flows through a layer's elements, along a path of inputs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat_ops.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/completeness.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/model/concepts.hpp>
#include <salience/model/cuttable_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// What can be chosen of LayerConductance.
struct LayerConductanceOptions {
  std::string layer{};                 ///< what the layer gives, or another place: see LayerPoint
  std::int64_t steps = 50;             ///< of equal length, along the path; at least 1; as in Captum
  std::optional<Baseline> baseline{};  ///< where the path begins; several are averaged over; not set: zero
  std::int64_t chunk = 0;              ///< steps computed at once, of one sample; 0: chosen by memory
  ProgressCallback progress{};         ///< told after each step; false stops and gives what there is
};

/// Conductance (Dhamdhere, Sundararajan, Yan: "How Important Is a Neuron?", ICLR 2019): the score's change
/// along the straight line of inputs from a baseline b to x, shared out among the elements of a layer's
/// output a. Where x_0 ... x_n are the ends of n steps and a_k is the layer's output at x_k, it is \f$ \sum_k
/// \partial s_c / \partial a \, \big((a_k + a_{k+1}) / 2\big) \, (a_{k+1} - a_k) \f$, with the gradient in
/// the middle of the layer's own chord. So it is exact where the rest of the network is piecewise linear with
/// no bend inside of a step, and its error falls with 1/n^2 where that is smooth.
///
///     LayerConductance conductance{model, {.layer = "features.10"}};
///     Attribution a = conductance(x);  // a.values in the layer's shape, a.completeness_error
///
/// The values sum to \f$ s_c(x) - s_c(b) \f$ if all ways through the network lead through the layer;
/// `completeness_error` says what they lack. What goes around the layer, as a residual connection, is held at
/// the step's middle while the gradient is taken.
///
/// The target is chosen once, on the input. Sums are in float32 (float64 for float64); memory does not grow
/// with the number of steps. Throws ArgumentError for an option out of range or a baseline that does not fit
/// the input, and what GraphModel::from and GradientAttributor throw.
template <class M>
class LayerConductance {
 public:
  /// `model` is a CuttableModel. Throws ArgumentError for an option out of range.
  explicit LayerConductance(M model, LayerConductanceOptions options)
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_cuttable_model<M>();
    if (options_.steps < 1) throw ArgumentError::out_of_range("steps", options_.steps, "at least 1");
    require_chunk(options_.chunk);
  }

  /// The conductance for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      Attribution result{predict(input, wanted)};
      result.values_of = ValuesOf::layer;
      const auto selector = detail::read_as(wanted, result.output_type);
      const Baseline baseline = options_.baseline.value_or(Baseline::zero());
      const at::Tensor clean = detail::widened(input.detach());
      Work work{.dtype = input.scalar_type(),
                .total = static_cast<std::int64_t>(baseline.count()) * input.size(0) * options_.steps,
                .chunk = chunk_size(options_.chunk, clean)};
      std::vector<Sum> sums(static_cast<std::size_t>(input.size(0)));
      for (std::size_t i = 0; i < baseline.count() && !result.stopped; ++i) {
        const at::Tensor start = baseline(clean, i, detail::samples_of(wanted));
        const at::Tensor scores = predict(start.to(work.dtype), FixedTarget{selector, result.target})
                                      .score.to(at::kCPU, at::kDouble);
        for (std::int64_t n = 0; n < input.size(0) && !result.stopped; ++n) {
          Sum& sum = sums[static_cast<std::size_t>(n)];
          sum.start_score += scores[n].template item<double>();
          ++sum.baselines;
          result.stopped = !along(clean[n], start[n], n, selector, result.target, work, sum);
        }
      }
      collect(sums, input, result);
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  struct Work {
    at::ScalarType dtype;
    std::int64_t total, chunk, done = 0;
  };
  struct Sum {
    at::Tensor map;
    double start_score = 0.0;
    std::int64_t baselines = 0, evaluations = 0;
  };

  /// The steps of one sample from one baseline; false if the progress callback stopped the work.
  template <class T>
  bool along(const at::Tensor& end, const at::Tensor& start, std::int64_t n, const T& target,
             const at::Tensor& chosen, Work& work, Sum& sum) const {
    const at::Tensor way = end.sub(start);
    const auto count = static_cast<double>(options_.steps);
    at::Tensor last_point, last_layer;  // where the steps before ended
    for (std::int64_t first = 0; first < options_.steps; first += work.chunk) {
      const std::int64_t steps = std::min(work.chunk, options_.steps - first);
      const std::int64_t from = first + (first > 0 ? 1 : 0);
      at::Tensor x = detail::batch_like(start, static_cast<std::size_t>(first + steps + 1 - from));
      for (std::int64_t k = from; k <= first + steps; ++k) {
        x[k - from].copy_(start.add(way, static_cast<double>(k) / count));
      }
      at::Tensor a = activations(x.to(work.dtype), n, target, chosen);
      if (last_point.defined()) {
        x = at::_ops::cat::call(at::ArrayRef<at::Tensor>{last_point, x}, 0);
        a = at::_ops::cat::call(at::ArrayRef<at::Tensor>{last_layer, a}, 0);
      }
      last_point = x.narrow(0, steps, 1);
      last_layer = a.narrow(0, steps, 1);
      const at::Tensor change = a.narrow(0, 1, steps).sub(a.narrow(0, 0, steps));
      const auto middle = [steps](const at::Tensor& ends) {
        return ends.narrow(0, 0, steps).add(ends.narrow(0, 1, steps)).mul(0.5);
      };
      const at::Tensor g = gradients(middle(a).to(work.dtype), middle(x).to(work.dtype), n, target, chosen);
      for (std::int64_t k = 0; k < steps; ++k) {
        const at::Tensor share = detail::widened(g[k]).mul(change[k]);
        sum.map = sum.map.defined() ? sum.map.add_(share) : share;
        ++sum.evaluations;
        ++work.done;
        if (options_.progress && !options_.progress({.done = work.done, .total = work.total, .error = -1.0}))
          return false;
      }
    }
    return true;
  }

  /// The target for rows that are all of sample n.
  template <class T>
  static FixedTarget<T> target_of(const T& target, const at::Tensor& chosen, std::int64_t n,
                                  const at::Tensor& rows) {
    const std::vector<std::int64_t> samples(static_cast<std::size_t>(rows.size(0)), n);
    return detail::fixed_for(target, chosen, detail::vector_tensor<std::int64_t>(samples).to(rows.device()));
  }

  template <class T>
  at::Tensor activations(const at::Tensor& x, std::int64_t n, const T& target,
                         const at::Tensor& chosen) const {
    const detail::Observing observing;
    auto model = detail::part_for_samples(model_, detail::samples_of(target_of(target, chosen, n, x)));
    auto until = model.until(options_.layer);
    return detail::widened(detail::call(until, x));
  }

  /// At these outputs of the layer, with these inputs beside it.
  template <class T>
  at::Tensor gradients(const at::Tensor& a, const at::Tensor& x, std::int64_t n, const T& target,
                       const at::Tensor& chosen) const {
    const auto wanted = target_of(target, chosen, n, x);
    auto model = detail::part_for_samples(model_, detail::samples_of(wanted));
    auto rest = model.from(options_.layer, x);
    // What the rest holds is of these rows already: it must not be asked for samples once more.
    const auto of_rows = [&rest](const at::Tensor& rows) { return detail::call(rest, rows); };
    return record(of_rows, a, wanted).gradient();
  }

  static void collect(const std::vector<Sum>& sums, const at::Tensor& input, Attribution& result) {
    const at::Tensor end_scores = result.score.to(at::kCPU, at::kDouble);
    std::vector<std::int64_t> evaluations;
    std::vector<double> totals, changes;
    for (std::size_t n = 0; n < sums.size(); ++n) {
      const auto position = static_cast<std::int64_t>(n);
      const Sum& sum = sums[n];
      const auto baselines = static_cast<double>(std::max<std::int64_t>(sum.baselines, 1));
      const double change = end_scores[position].item<double>() - sum.start_score / baselines;
      double total = 0.0;
      if (sum.map.defined()) {
        const at::Tensor map = sum.map.div(baselines);
        total = map.sum(at::kDouble).item<double>();
        if (!result.values.defined()) {
          result.values = detail::batch_like(map.to(input.scalar_type()), sums.size()).zero_();
        }
        result.values[position].copy_(map);
      }
      evaluations.push_back(sum.evaluations);
      totals.push_back(total);
      changes.push_back(change);
    }
    result.evaluations = detail::vector_tensor<std::int64_t>(evaluations);
    detail::fill_in_completeness(result, totals, changes);
  }

  M model_;
  LayerConductanceOptions options_;
};

}  // namespace salience
