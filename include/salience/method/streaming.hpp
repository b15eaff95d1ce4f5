// Stream: evaluates many variants of an input in chunks, for methods that average over them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// A variant of a sample, one row of what is evaluated at once: a noisy copy, a point of a path.
struct Variant {
  std::int64_t sample;  ///< of the input's batch, from 0
  std::int64_t step;    ///< which of the sample's variants; what it means is the method's own
};

namespace detail {

/// How many rows to evaluate at once if the user did not say: as many as keep a network's activations, taken
/// as 64 times its input, within 64 MiB. Larger batches gain a CPU little (6% a sample from 1 to 16).
inline std::int64_t automatic_chunk(const at::Tensor& input) {
  const auto sample_bytes = static_cast<std::int64_t>(input.nbytes()) / input.size(0);
  return std::clamp<std::int64_t>((std::int64_t{1} << 20) / std::max<std::int64_t>(sample_bytes, 1), 1, 32);
}

}  // namespace detail

/// Throws ArgumentError for an option `chunk` below 0.
inline void require_chunk(std::int64_t chunk) {
  if (chunk < 0) throw ArgumentError::out_of_range("chunk", chunk, "at least 0");
}

/// Throws ArgumentError for options of a method that draws: `samples` below 1, `tolerance` not at least 0.
inline void require_draws(std::int64_t samples, double tolerance) {
  if (samples < 1) throw ArgumentError::out_of_range("samples", samples, "at least 1");
  if (!(tolerance >= 0.0)) throw ArgumentError::out_of_range("tolerance", tolerance, "at least 0");
}

/// How many variants are evaluated at once: as many as the option says, or for 0 as many as keep a network's
/// activations, taken as 64 times its input, within 64 MiB, at most 32. `input` is the batch (N, ...).
inline std::int64_t chunk_size(std::int64_t option, const at::Tensor& input) {
  return option > 0 ? option : detail::automatic_chunk(input);
}

/// The variants of all samples, `steps` of each; all samples' first ones first, so that what a step has in
/// common (noise, a place on a path) is made once.
inline std::vector<Variant> all_variants(std::int64_t samples, std::int64_t steps) {
  std::vector<Variant> variants;
  for (std::int64_t step = 0; step < steps; ++step) {
    for (std::int64_t n = 0; n < samples; ++n) variants.push_back({.sample = n, .step = step});
  }
  return variants;
}

/// What an attributor gives for a batch of variants.
struct Evaluated {
  at::Tensor values;   ///< one for each variant, in float32 at least
  at::Tensor score;    ///< (variants), in float64, on the CPU; undefined if the attributor gives none
  ValuesOf values_of;  ///< what one value belongs to
};

/// Attributes variants, each for the class that was chosen for its sample: the `evaluate` of a Stream.
///
/// @param attributor   any Attributor; the result refers to it
/// @param target       a whole target (see as_target), which the result refers to
/// @param chosen       (N) int64, what it chose on the clean input; undefined if it chooses nothing
template <class A, class T>
auto evaluation(const A& attributor, const T& target, const at::Tensor& chosen) {
  return [&attributor, &target, chosen](const at::Tensor& points, const at::Tensor& samples) -> Evaluated {
    const Attribution attribution = attributor(points, detail::fixed_for(target, chosen, samples));
    return {.values = detail::widened(attribution.values),
            .score = attribution.score.defined() ? attribution.score.to(at::kCPU, at::kDouble) : at::Tensor(),
            .values_of = attribution.values_of};
  };
}

/// Evaluates variants in order, at most `chunk` at once. The points of a chunk lie where those of the last
/// one did, unless someone still holds these: nothing is allocated but by the model.
///
///     // The mean attribution of 20 darker and darker copies.
///     at::Tensor sum = input.mul(0.0);
///     Stream stream(input[0], chunk_size(options.chunk, input));
///     stream(
///         all_variants(input.size(0), 20),
///         [&](const Variant& one, const at::Tensor& out) {
///           out.copy_(input[one.sample]).mul_(1.0 - 0.05 * one.step);
///         },
///         evaluation(attributor, target, chosen),
///         [&](const Variant& one, const Evaluated& result, std::int64_t i) {
///           sum[one.sample].add_(result.values[i], 0.05);
///           return true;
///         });
class Stream {
 public:
  /// @param sample   what a variant looks like, without the batch dimension: its shape, dtype and device
  /// @param chunk    at least 1
  Stream(at::Tensor sample, std::int64_t chunk)
      : sample_(std::move(sample)), chunk_(static_cast<std::size_t>(chunk)) {}

  /// Evaluates each of the variants.
  ///
  /// @param variants   what to evaluate, in this order
  /// @param point      `point(variant, out)` writes a variant into `out`, which looks as `sample`
  /// @param evaluate   `evaluate(points, samples)` is given a batch of variants and the positions of their
  ///                   samples in the input's batch, (variants) int64, on the points' device
  /// @param take       `take(variant, result, i)` is handed what `evaluate` returned, of which row i is the
  ///                   variant's, in the order of the variants, whatever the chunk. It returns false to stop
  /// @return           false if `take` stopped it
  template <class Point, class Evaluate, class Take>
  bool operator()(std::span<const Variant> variants, const Point& point, const Evaluate& evaluate,
                  const Take& take) {
    for (std::size_t first = 0; first < variants.size(); first += chunk_) {
      const auto part = variants.subspan(first, std::min(chunk_, variants.size() - first));
      const at::Tensor points = room(part.size());
      std::vector<std::int64_t> samples;
      for (std::size_t i = 0; i < part.size(); ++i) {
        point(part[i], points[static_cast<std::int64_t>(i)]);
        samples.push_back(part[i].sample);
      }
      const auto result = evaluate(points, detail::vector_tensor<std::int64_t>(samples).to(points.device()));
      for (std::size_t i = 0; i < part.size(); ++i) {
        if (!take(part[i], result, static_cast<std::int64_t>(i))) return false;
      }
    }
    return true;
  }

 private:
  at::Tensor room(std::size_t rows) {
    const auto count = static_cast<std::int64_t>(rows);
    const bool fits = points_.defined() && points_.size(0) >= count && points_.storage().use_count() == 1;
    if (!fits) points_ = detail::batch_like(sample_, rows);
    return points_.narrow(0, 0, count);
  }

  at::Tensor sample_, points_;
  std::size_t chunk_;
};

}  // namespace salience
