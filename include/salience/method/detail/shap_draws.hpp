// ShapDraws: draws between baselines and noisy copies of the input, evaluated in chunks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/moments.hpp>
#include <salience/method/gradient_shap_options.hpp>
#include <salience/method/noise.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

namespace detail {

/// The points of one chunk of draws, a row each.
struct ShapRows {
  at::Tensor input;     ///< x + noise
  at::Tensor baseline;  ///< b
  at::Tensor between;   ///< b + t (x + noise - b)
};

/// What methods of many baselines have in common: `share(rows, target)` gives the values of the draws, one a
/// row. `in_turn`: the k-th draw takes the k-th baseline, not a random one.
class ShapDraws {
 public:
  explicit ShapDraws(GradientShapOptions options, bool in_turn = false)
      : options_(std::move(options)), in_turn_(in_turn) {
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
    fill_in_draws(result, moments, input);
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
      const std::uint64_t drawn = in_turn_ ? static_cast<std::uint64_t>(row.step) : key;
      start.copy_(starts[drawn % starts.size()][row.sample]);
      rows.between[place].copy_(start.add(input.sub(start), t));
    }
    return rows;
  }

  GradientShapOptions options_;
  bool in_turn_;
};

}  // namespace detail

}  // namespace salience
