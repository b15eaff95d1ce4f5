// MaxSensitivity: the largest change of an attribution under small changes of the input.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/noise.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The options of MaxSensitivity.
struct MaxSensitivityOptions {
  std::int64_t samples = 10;  ///< perturbed copies of each sample; Captum's choice
  double radius = 0.02;       ///< of the cube that they are drawn from, in the input's unit; Captum's choice
  std::uint64_t seed = 0;     ///< the same seed gives the same noise, bit for bit
  std::int64_t chunk = 0;     ///< copies evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each copy; false stops, and what is not known is NaN
};

/// Both (N) float64, on the CPU.
struct Sensitivity {
  at::Tensor maximum;  ///< over the copies: the paper's, divided as said below
  at::Tensor mean;     ///< over the copies (Bhatt, Weller, Moura 2020)
};

/// Max-sensitivity (Yeh et al. 2019, as Infidelity) of any attribution method \f$ \Phi \f$: \f$
/// \max_{\|\delta\|_\infty \le r} \|\Phi(x + \delta) - \Phi(x)\|_2 / \|\Phi(x)\|_2 \f$, over as many uniform
/// draws of \f$ \delta \f$ as `samples`. The division by the size of the map is Captum's; the paper has none.
///
///     MaxSensitivity sensitivity{GradientAttributor{model}, {.radius = 0.02}};
///     Sensitivity figures = sensitivity(x);
///
/// At least 0; lower is better, though a map that ignores its input reaches 0: look at the faithfulness too.
/// The class is chosen once, on the clean input. All samples of a batch get the same noise. Where \f$ \Phi(x)
/// \f$ is zero the change is not divided, as in Captum. Throws ArgumentError for an option out of range, and
/// what the method and the progress callback throw. A sample that `progress` stopped before its last copy has
/// NaN.
template <class A>
class MaxSensitivity {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit MaxSensitivity(A attributor, MaxSensitivityOptions options = {})
      : attributor_(std::move(attributor)), options_(std::move(options)) {
    static_assert(Attributor<A>,
                  "Salience: MaxSensitivity looks at an attributor, callable with an input and any target "
                  "(const auto&) to give an Attribution");
    if (options_.samples < 1) throw ArgumentError::out_of_range("samples", options_.samples, "at least 1");
    if (!(options_.radius > 0.0 && std::isfinite(options_.radius))) {
      throw ArgumentError::out_of_range("radius", options_.radius, "a number above 0");
    }
    require_chunk(options_.chunk);
  }

  /// The sensitivity of the map of each sample, for the class chosen on the clean input.
  template <class T = TargetSelector<>>
  Sensitivity operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(attributor_, input, target, [&](const auto& wanted) -> Sensitivity {
      const at::Tensor clean = input.detach();
      const Attribution original = attributor_(input, wanted);
      const auto selector = detail::read_as(wanted, original.output_type);
      const at::Tensor values = detail::widened(original.values);
      const auto batch = clean.size(0);

      SharedNoise noise(clean[0].to(at::kCPU, at::kFloat), options_.seed);
      const auto point = [&](const Variant& row, const at::Tensor& out) {
        const at::Tensor change = noise.uniform(row.step).mul(options_.radius);
        out.copy_(clean[row.sample]).add_(change.to(clean.device(), clean.scalar_type()));
      };
      at::Tensor moved = detail::unknown({batch, options_.samples});
      std::int64_t done = 0;
      const auto take = [&](const Variant& row, const Evaluated& evaluated, std::int64_t i) {
        moved[row.sample][row.step].copy_(norm(evaluated.values[i].sub(values[row.sample])));
        return !options_.progress ||
               options_.progress({.done = ++done, .total = moved.numel(), .error = -1.0});
      };
      Stream stream(clean[0], chunk_size(options_.chunk, clean));
      stream(all_variants(batch, options_.samples), point, evaluation(attributor_, selector, original.target),
             take);

      at::Tensor sizes = detail::empty({batch, 1}, at::kDouble);
      for (std::int64_t n = 0; n < batch; ++n) sizes[n].copy_(norm(values[n]));
      moved.div_(sizes.masked_fill(sizes.eq(0.0), 1.0));
      return {.maximum = moved.amax(1), .mean = moved.mean(1)};
    });
  }

 private:
  static at::Tensor norm(const at::Tensor& values) { return values.to(at::kDouble).norm(); }

  A attributor_;
  MaxSensitivityOptions options_;
};

}  // namespace salience
