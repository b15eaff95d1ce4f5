// SmoothGrad: the mean, mean square or variance of an attribution over noisy copies of the input.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/detail/moments.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/noise.hpp>
#include <salience/method/streaming.hpp>
#include <salience/tensor/parts.hpp>

namespace salience {

/// What is kept of the noisy attributions A_1 ... A_n.
enum class SmoothGradType {
  smoothgrad,     ///< their mean (Smilkov et al. 2017)
  smoothgrad_sq,  ///< the mean of their squares (Hooker et al. 2019)
  vargrad,        ///< their variance, divided by n (Adebayo et al. 2018)
};

/// What the noise level is a fraction of.
enum class NoiseScale {
  range,     ///< each sample's own largest minus smallest value
  absolute,  ///< nothing: it is the standard deviation itself
};

/// What can be chosen of SmoothGrad.
struct SmoothGradOptions {
  std::int64_t samples = 50;  ///< noisy copies of each sample, at most; the paper's choice
  double noise_level =
      0.15;  ///< standard deviation of the noise, see noise_scale; the paper finds 0.1 to 0.2 good
  NoiseScale noise_scale = NoiseScale::range;        ///< what noise_level is a fraction of
  SmoothGradType type = SmoothGradType::smoothgrad;  ///< what is kept of the noisy attributions
  std::uint64_t seed = 0;                            ///< the same seed gives the same noise, bit for bit
  std::optional<Parts> parts{};  ///< of an input that is packed so: each part has noise by its own range
  /// Above 0: a sample stops early, after 10 copies or more, once the standard error of its mean map relative
  /// to the map (both as L2 norms) is at most this. `Attribution::converged` says whether it is.
  double tolerance = 0.0;
  std::int64_t chunk = 0;       ///< noisy copies evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each evaluation; false stops and gives what there is
};

/// SmoothGrad (Smilkov et al.: "SmoothGrad: removing noise by adding noise", 2017) around any attributor A:
/// \f$ \frac1n \sum_{k=1}^n A(x + \sigma \varepsilon_k) \f$, \f$ \varepsilon_k \sim N(0, I) \f$, or the mean
/// square or the variance of the same.
///
///     SmoothGrad smooth{GradientAttributor{model}, {.samples = 50, .noise_level = 0.15, .seed = 7}};
///     Attribution a = smooth(x);  // a.copies, a.standard_error
///
/// The target is chosen once, on the clean input. The k-th copy of every sample of a batch gets the same
/// noise, whatever the chunk, the batch and the number of threads. Sums are kept in float32, in float64 for
/// float64; memory does not grow with the number of copies. Besides the values the result has, per sample,
/// `copies`: how many were taken, and `standard_error`: that of the mean map, relative (L2), NaN
/// after a single copy, and `values_error` of each value where the mean is kept; with a tolerance also
/// `converged`: whether it was reached. Throws ArgumentError for an option out of range, and what A throws.
template <class A>
class SmoothGrad {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit SmoothGrad(A attributor, SmoothGradOptions options = {})
      : attributor_(std::move(attributor)), options_(std::move(options)) {
    static_assert(Attributor<A>,
                  "Salience: SmoothGrad wraps an attributor, callable with an input and any target "
                  "(const auto&) to give an Attribution");
    require_draws(options_.samples, options_.tolerance);
    if (!(options_.noise_level >= 0.0 && std::isfinite(options_.noise_level))) {
      throw ArgumentError::out_of_range("noise_level", options_.noise_level, "a number of at least 0");
    }
    require_chunk(options_.chunk);
  }

  /// The average for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(attributor_, input, target, [&](const auto& wanted) {
      Attribution result{predict(input, wanted)};
      const auto selector = detail::read_as(wanted, result.output_type);
      const at::Tensor clean = detail::widened(input.detach());
      std::vector<Sample> moments(static_cast<std::size_t>(input.size(0)));
      result.stopped = !draw(clean, input.scalar_type(), selector, result, moments);
      collect(moments, input, result);
      return result;
    });
  }

  /// What the call above would explain, as the wrapped attributor tells.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return detail::predict_by(attributor_, input, target);
  }

 private:
  static constexpr std::int64_t fewest_to_stop = 10;

  struct Sample : detail::Moments {
    bool finished = false;
  };

  bool draw(const at::Tensor& clean, at::ScalarType dtype, const auto& selector, Attribution& result,
            std::vector<Sample>& moments) const {
    const auto batch = clean.size(0);
    std::vector<double> deviation;
    std::vector<at::Tensor> by_part;
    for (std::int64_t n = 0; n < batch; ++n) {
      deviation.push_back(standard_deviation(clean[n]));
      if (options_.parts) by_part.push_back(standard_deviations(clean.narrow(0, n, 1)));
    }
    const std::int64_t chunk = chunk_size(options_.chunk, clean);

    SharedNoise noise(clean[0], options_.seed);
    const auto point = [&](const Variant& row, const at::Tensor& out) {
      const auto n = static_cast<std::size_t>(row.sample);
      if (options_.parts) {
        out.copy_(clean[row.sample].add(noise.normal(row.step).mul(by_part[n])));
      } else if (dtype == clean.scalar_type()) {
        out.copy_(clean[row.sample]).add_(noise.normal(row.step), deviation[n]);  // nothing is allocated
      } else {
        out.copy_(clean[row.sample].add(noise.normal(row.step), deviation[n]));
      }
    };
    const auto evaluate = evaluation(attributor_, selector, result.target);
    const std::int64_t total = batch * options_.samples;
    std::int64_t done = 0;
    const auto take = [&](const Variant& row, const Evaluated& evaluated, std::int64_t i) {
      Sample& sample = moments[static_cast<std::size_t>(row.sample)];
      result.values_of = evaluated.values_of;
      ++done;
      if (sample.finished) return true;  // drawn in the chunk in which the sample became good enough
      sample.add(evaluated.values[i], options_.type == SmoothGradType::smoothgrad_sq);
      double error = -1.0;
      if (options_.tolerance > 0.0 && sample.count >= fewest_to_stop) {
        error = sample.standard_error();
        sample.finished = error <= options_.tolerance;
      }
      return !options_.progress || options_.progress({.done = done, .total = total, .error = error});
    };

    Stream stream(clean[0].to(dtype), chunk);
    // As many draws at a time as fill a chunk, so that a sample that is good enough is left out of the next
    // ones.
    const std::int64_t draws = std::max<std::int64_t>(1, chunk / batch);
    for (std::int64_t first = 0; first < options_.samples; first += draws) {
      std::vector<Variant> rows;
      for (std::int64_t k = first; k < std::min(first + draws, options_.samples); ++k) {
        for (std::int64_t n = 0; n < batch; ++n) {
          if (!moments[static_cast<std::size_t>(n)].finished) rows.push_back({.sample = n, .step = k});
        }
      }
      if (rows.empty()) break;
      if (!stream(rows, point, evaluate, take)) return false;
    }
    return true;
  }

  double standard_deviation(const at::Tensor& sample) const {
    if (options_.noise_scale == NoiseScale::absolute) return options_.noise_level;
    return options_.noise_level * sample.max().sub(sample.min()).to(at::kDouble).template item<double>();
  }

  /// That of each element of a packed sample, (1, total), from (1, total) to (total).
  at::Tensor standard_deviations(const at::Tensor& sample) const {
    std::vector<at::Tensor> deviations;
    for (const at::Tensor& part : options_.parts->split(sample)) {
      deviations.push_back(at::Tensor(part.new_full(part.sizes(), standard_deviation(part))));
    }
    return options_.parts->pack(deviations)[0];
  }

  void collect(const std::vector<Sample>& moments, const at::Tensor& input, Attribution& result) const {
    const bool is_mean = options_.type == SmoothGradType::smoothgrad;
    detail::fill_in_draws(result, moments, input, is_mean, [this](const Sample& sample) -> at::Tensor {
      const double share = 1.0 / static_cast<double>(sample.count);
      if (options_.type == SmoothGradType::smoothgrad_sq) return sample.squares.mul(share);
      return options_.type == SmoothGradType::vargrad ? sample.deviations.mul(share) : sample.mean;
    });
    if (options_.tolerance > 0.0) result.converged = detail::finished_of(moments);
  }

  A attributor_;
  SmoothGradOptions options_;
};

}  // namespace salience
