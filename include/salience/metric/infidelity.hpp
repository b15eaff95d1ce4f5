// Infidelity: how well an attribution predicts the score's change under perturbations.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/noise.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The options of Infidelity.
struct InfidelityOptions {
  std::int64_t samples = 50;  ///< perturbations of each sample
  double noise_level = 0.1;   ///< standard deviation of I, as a fraction of each sample's range of values
  std::uint64_t seed = 0;     ///< the same seed gives the same noise, bit for bit
  /// Scales the attribution to where the infidelity is least, so that a constant factor does not count.
  bool normalize = false;
  /// Instead of the noise: the k-th perturbation I of a sample (C, H, W), in its shape. `sample - baseline`
  /// takes all of it away, zeros but for a square of pixels that square alone.
  std::function<at::Tensor(const at::Tensor& sample, std::int64_t k)> perturbation{};
  std::int64_t chunk = 0;       ///< variants evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each variant; false stops, and what is not known is NaN
};

/// The infidelity of an attribution \f$ \Phi \f$ (Yeh, Hsieh, Suggala, Inouye, Ravikumar: "On the
/// (In)fidelity and Sensitivity of Explanations", 2019): \f$ E_I \big[ (I^T \Phi - (s_c(x) - s_c(x - I)))^2
/// \big] \f$ over perturbations I, by default normal noise.
///
///     Infidelity infidelity{model, {.samples = 100, .normalize = true}};
///     at::Tensor figures = infidelity(x, attribution);  // (N) float64, on the CPU
///
/// At least 0, in the square of the score's unit; lower is better, and 0 for a linear score and its gradient.
/// \f$ \Phi \f$ must say what one unit of the input changes, as a gradient does; divide attributions that are
/// multiplied with the input (Input x Gradient, Integrated Gradients) by their x - b first. Score and
/// class are those of Completeness. The values must broadcast to the input. With `normalize`,
/// \f$ \Phi \f$ is multiplied by \f$ E[I^T \Phi \, \Delta s] / E[(I^T \Phi)^2] \f$, as in the paper's code
/// and Captum. All samples of a batch get the same noise. Throws ArgumentError for an option out of range,
/// values or perturbations that do not fit, and a target that does not, as Completeness, and what the model,
/// the target and the progress callback throw. A sample that `progress` stopped before its last perturbation
/// has NaN.
template <class M>
class Infidelity {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Infidelity(M model, InfidelityOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    if (options_.samples < 1) throw ArgumentError::out_of_range("samples", options_.samples, "at least 1");
    if (!(options_.noise_level > 0.0 && std::isfinite(options_.noise_level))) {
      throw ArgumentError::out_of_range("noise_level", options_.noise_level, "a number above 0");
    }
    require_chunk(options_.chunk);
  }

  /// (N) float64, on the CPU: see the class.
  template <class T = ArgMax>
  at::Tensor operator()(const at::Tensor& input, const Attribution& attribution,
                        const T& target = T{}) const {
    return enter([&] {
      const auto selector = judged_as_attributed(target, attribution);
      const VariantScores scores(model_, input, attribution.target, selector);
      const at::Tensor clean = input.detach();
      const at::Tensor values = fitted(attribution.values, clean);
      std::vector<double> deviation;
      for (std::int64_t n = 0; n < clean.size(0); ++n) {
        const at::Tensor range = clean[n].max().sub(clean[n].min());
        deviation.push_back(options_.noise_level * range.to(at::kDouble).template item<double>());
      }
      SharedNoise noise(clean[0].to(at::kCPU, at::kFloat), options_.seed);
      at::Tensor predicted = detail::unknown({clean.size(0), options_.samples});  // I^T Phi
      const auto point = [&](const Variant& row, const at::Tensor& out) {
        at::Tensor perturbation;
        if (options_.perturbation) {
          perturbation = checked(options_.perturbation(clean[row.sample], row.step), clean);
        } else {
          perturbation = noise.normal(row.step)
                             .mul(deviation[static_cast<std::size_t>(row.sample)])
                             .to(clean.device(), clean.scalar_type());
        }
        out.copy_(clean[row.sample]).sub_(perturbation);
        // Of what the model sees: in float16 the difference is not what was asked for.
        const at::Tensor taken = clean[row.sample].to(at::kDouble).sub(out.to(at::kDouble));
        predicted[row.sample][row.step].copy_(values[row.sample].mul(taken).sum());
      };
      const at::Tensor changed = scores(options_.samples, options_.chunk, point, options_.progress);
      const at::Tensor observed = scores.clean().unsqueeze(1).sub(changed);
      if (options_.normalize) {
        const at::Tensor size = predicted.square().sum(1, /*keepdim=*/true);
        const at::Tensor scale = predicted.mul(observed).sum(1, /*keepdim=*/true).div(size);
        predicted.mul_(scale.masked_fill(size.eq(0.0), 0.0));
      }
      return predicted.sub(observed).square().mean(1);
    });
  }

 private:
  static at::Tensor fitted(const at::Tensor& values, const at::Tensor& input) {
    bool fits = values.defined() && values.dim() == input.dim() && values.size(0) == input.size(0);
    for (std::int64_t i = 1; fits && i < input.dim(); ++i) {
      fits = values.size(i) == input.size(i) || values.size(i) == 1;
    }
    if (!fits) {
      throw ArgumentError::out_of_range("the values of an infidelity", detail::shape(values),
                                        detail::concat("of the input's shape ", detail::shape(input)));
    }
    return values.detach().to(input.device(), at::kDouble).expand_as(input);
  }

  static at::Tensor checked(const at::Tensor& perturbation, const at::Tensor& input) {
    if (!perturbation.defined() || perturbation.sizes() != input.sizes().slice(1)) {
      throw ArgumentError::out_of_range("a perturbation", detail::shape(perturbation),
                                        detail::concat("of the shape of a sample of ", detail::shape(input)));
    }
    return perturbation.detach().to(input.device(), input.scalar_type());
  }

  mutable M model_;
  InfidelityOptions options_;
};

}  // namespace salience
