// GradientShap and LayerGradientShap: gradients at random places between random baselines and noisy copies.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/moments.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/noise.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of GradientShap and LayerGradientShap.
struct GradientShapOptions {
  std::int64_t samples = 5;  ///< draws for each sample, at least 1; Captum's default
  double noise = 0.0;  ///< standard deviation of what is added to the input, at least 0; Captum's default
  /// Where the lines begin: of several, Baseline::each, one is drawn at a time. Not set: zero.
  std::optional<Baseline> baseline{};
  std::uint64_t seed = 0;       ///< the same seed gives the same draws, bit for bit
  std::int64_t chunk = 0;       ///< draws evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each draw; false stops and gives what there is
};

namespace detail {

/// The points of one chunk of draws, a row each.
struct ShapRows {
  at::Tensor input;     ///< x + noise
  at::Tensor baseline;  ///< b
  at::Tensor between;   ///< b + t (x + noise - b)
};

/// What the two methods have in common: `share(rows, target)` gives the values of the draws, one a row.
class ShapDraws {
 public:
  explicit ShapDraws(GradientShapOptions options) : options_(std::move(options)) {
    if (options_.samples < 1) throw ArgumentError::out_of_range("samples", options_.samples, "at least 1");
    if (!(options_.noise >= 0.0 && std::isfinite(options_.noise))) {
      throw ArgumentError::out_of_range("noise", options_.noise, "a number of at least 0");
    }
    require_chunk(options_.chunk);
  }

  template <class T, class Share>
  Attribution operator()(Attribution result, const at::Tensor& input, const T& target,
                         const Share& share) const {
    const at::Tensor clean = widened(input.detach());
    const Baseline baseline = options_.baseline.value_or(Baseline::zero());
    std::vector<at::Tensor> starts;
    for (std::size_t i = 0; i < baseline.count(); ++i)
      starts.push_back(baseline(clean, i, samples_of(target)));
    SharedNoise noise(clean[0], options_.seed);
    std::vector<Moments> moments(static_cast<std::size_t>(input.size(0)));
    const std::vector<Variant> all = all_variants(input.size(0), options_.samples);
    const auto chunk = static_cast<std::size_t>(chunk_size(options_.chunk, clean));
    const auto total = static_cast<std::int64_t>(all.size());
    std::int64_t done = 0;
    for (std::size_t first = 0; first < all.size() && !result.stopped; first += chunk) {
      const std::span<const Variant> part =
          std::span(all).subspan(first, std::min(chunk, all.size() - first));
      std::vector<std::int64_t> samples;
      for (const Variant& row : part) samples.push_back(row.sample);
      const ShapRows rows = drawn(part, clean, starts, noise);
      const at::Tensor values = share(
          rows, fixed_for(target, result.target, vector_tensor<std::int64_t>(samples).to(input.device())));
      for (std::size_t i = 0; i < part.size() && !result.stopped; ++i) {
        moments[static_cast<std::size_t>(samples[i])].add(values[static_cast<std::int64_t>(i)]);
        const Progress now{.done = ++done, .total = total, .error = -1.0};
        result.stopped = options_.progress && !options_.progress(now);
      }
    }
    collect(moments, input, result);
    return result;
  }

 private:
  ShapRows drawn(std::span<const Variant> part, const at::Tensor& clean,
                 const std::vector<at::Tensor>& starts, SharedNoise& noise) const {
    ShapRows rows{batch_like(clean[0], part.size()), batch_like(clean[0], part.size()),
                  batch_like(clean[0], part.size())};
    for (std::size_t i = 0; i < part.size(); ++i) {
      const Variant& row = part[i];
      // The same for all samples, by a hash of the seed and the draw.
      const std::uint64_t key =
          mix(mix(options_.seed + 0x2545f4914f6cdd1dULL) ^ static_cast<std::uint64_t>(row.step + 1));
      const double t = static_cast<double>(mix(key + 0x9e3779b97f4a7c15ULL) >> 11) * 0x1p-53;
      const auto place = static_cast<std::int64_t>(i);
      const at::Tensor input = rows.input[place], start = rows.baseline[place];
      input.copy_(clean[row.sample]);
      if (options_.noise > 0.0) input.add_(noise.normal(row.step), options_.noise);
      start.copy_(starts[key % starts.size()][row.sample]);
      rows.between[place].copy_(start.add(input.sub(start), t));
    }
    return rows;
  }

  static void collect(const std::vector<Moments>& moments, const at::Tensor& input, Attribution& result) {
    std::vector<std::int64_t> copies;
    std::vector<double> errors;
    for (std::size_t n = 0; n < moments.size(); ++n) {
      copies.push_back(moments[n].count);
      errors.push_back(moments[n].standard_error());
      if (moments[n].count == 0) continue;
      const at::Tensor mean = moments[n].mean.to(input.scalar_type());
      if (!result.values.defined()) result.values = batch_like(mean, moments.size()).zero_();
      result.values[static_cast<std::int64_t>(n)].copy_(mean);
    }
    result.copies = vector_tensor<std::int64_t>(copies);
    result.standard_error = vector_tensor<double>(errors);
  }

  GradientShapOptions options_;
};

}  // namespace detail

/// Gradient SHAP (Lundberg, Lee: "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017; Erion
/// et al.: "Improving performance of deep learning models with axiomatic attribution priors and expected
/// gradients", 2021): the mean of \f$ (x + \varepsilon - b) \, \nabla s_c(b + t (x + \varepsilon - b)) \f$
/// over random baselines b, t uniform in (0, 1) and noise. Without noise its expectation sums to the score's
/// mean change.
///
///     GradientShap shap{model, {.samples = 50, .baseline = Baseline::each(photos), .seed = 7}};
///     Attribution a = shap(x);  // a.standard_error, a.copies
///
/// The target is chosen once, on the input. The k-th draw of every sample of a batch is the same, whatever
/// the chunk, the batch and the number of threads. Sums are in float32 (float64 for float64); memory does not
/// grow with the number of draws. Throws ArgumentError for an option out of range or a baseline that does not
/// fit the input, and what GradientAttributor throws.
template <class M>
class GradientShap {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit GradientShap(M model, GradientShapOptions options = {})
      : gradient_(std::move(model)), draws_(std::move(options)) {}

  /// The mean for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(gradient_, input, target, [&](const auto& wanted) {
      Attribution result{predict(input, wanted)};
      const auto selector = detail::read_as(wanted, result.output_type);
      return draws_(std::move(result), input, selector, [&](const detail::ShapRows& rows, const auto& fixed) {
        const at::Tensor g = gradient_(rows.between.to(input.scalar_type()), fixed).values;
        return detail::widened(g).mul(rows.input.sub(rows.baseline));
      });
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return gradient_.predict(input, target);
  }

 private:
  GradientAttributor<M> gradient_;
  detail::ShapDraws draws_;
};

/// Gradient SHAP at a layer, as Captum defines it: the mean of \f$ (a(x + \varepsilon) - a(b)) \, \partial
/// s_c / \partial a \f$, with the gradient at the layer for the *input* b + t (x + noise - b). (The line at
/// the layer itself, from a(b) to a(x), is GradientShap of GraphModel::from.) `values` has the layer's shape.
/// Otherwise as GradientShap.
template <class M>
class LayerGradientShap {
 public:
  /// `model` is a LayeredModel. Throws ArgumentError for an option out of range.
  explicit LayerGradientShap(const M& model, const LayerOptions& layer, GradientShapOptions options = {})
      : gradient_(model, layer), activation_(model, layer), draws_(std::move(options)) {}

  /// The mean for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(gradient_.model(), input, target, [&](const auto& wanted) {
      Attribution result{predict(input, wanted)};
      result.values_of = ValuesOf::layer;
      const auto selector = detail::read_as(wanted, result.output_type);
      return draws_(std::move(result), input, selector, [&](const detail::ShapRows& rows, const auto& fixed) {
        const auto at = [&](const auto& method, const at::Tensor& points) {
          return detail::widened(method(points.to(input.scalar_type()), fixed).values);
        };
        const at::Tensor change = at(activation_, rows.input).sub(at(activation_, rows.baseline));
        return at(gradient_, rows.between).mul(change);
      });
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return gradient_.predict(input, target);
  }

 private:
  LayerGradient<M> gradient_;
  LayerActivation<M> activation_;
  detail::ShapDraws draws_;
};

}  // namespace salience
