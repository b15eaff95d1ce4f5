// One chunker for every method that averages over many evaluations of one input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// One evaluation: step `step` of sample `sample`.
struct Row {
  std::int64_t sample;
  std::int64_t step;
};

/// How many rows to evaluate at once if the user did not say: as many as keep a network's activations, taken
/// as 64 times its input, within 64 MiB. Larger batches gain a CPU little (6% a sample from 1 to 16).
inline std::int64_t automatic_chunk(const at::Tensor& input) {
  const auto sample_bytes = static_cast<std::int64_t>(input.nbytes()) / input.size(0);
  return std::clamp<std::int64_t>((std::int64_t{1} << 20) / std::max<std::int64_t>(sample_bytes, 1), 1, 32);
}

inline void require_chunk(std::int64_t chunk) {
  if (chunk < 0) throw ArgumentError::out_of_range("chunk", chunk, "at least 0");
}

/// The chunk that an option asks for: its own, or the automatic one for 0.
inline std::int64_t chunk_size(std::int64_t option, const at::Tensor& input) {
  return option > 0 ? option : automatic_chunk(input);
}

/// Each step of each sample, all samples' first steps first.
inline std::vector<Row> all_rows(std::int64_t samples, std::int64_t steps) {
  std::vector<Row> rows;
  for (std::int64_t step = 0; step < steps; ++step) {
    for (std::int64_t n = 0; n < samples; ++n) rows.push_back({.sample = n, .step = step});
  }
  return rows;
}

/// What a batch of rows gives.
struct Evaluated {
  at::Tensor values;   ///< in float32 at least
  at::Tensor score;    ///< in float64, on the CPU
  ValuesOf values_of;  ///< what one value belongs to
};

/// Attributes rows, each for the class that was chosen for its sample: the `evaluate` of a Stream.
template <class A, class T>
auto evaluation(const A& attributor, const T& target, const at::Tensor& chosen) {
  return [&attributor, &target, chosen](const at::Tensor& points, const at::Tensor& samples) -> Evaluated {
    const Attribution attribution = attributor(points, fixed_for(target, chosen, samples));
    return {.values = widened(attribution.values),
            .score = attribution.score.defined() ? attribution.score.to(at::kCPU, at::kDouble) : at::Tensor(),
            .values_of = attribution.values_of};
  };
}

/// Evaluates rows in order, at most `chunk` at once. The points of a chunk lie where those of the last one
/// did, unless someone still holds these: nothing is allocated but by the model.
class Stream {
 public:
  /// @param sample   what a point looks like, without the batch dimension
  Stream(at::Tensor sample, std::int64_t chunk)
      : sample_(std::move(sample)), chunk_(static_cast<std::size_t>(chunk)) {}

  /// `point(row, out)` writes a row's input into `out`; `evaluate(points, samples)` gives an Attribution for
  /// a batch of them, where `samples` are the rows' positions in the input's batch, (rows) int64; `take(row,
  /// values, i)` is handed each row's result in the rows' order, whatever the chunk. `take` returns false to
  /// stop.
  template <class Point, class Evaluate, class Take>
  bool operator()(std::span<const Row> rows, const Point& point, const Evaluate& evaluate, const Take& take) {
    for (std::size_t first = 0; first < rows.size(); first += chunk_) {
      const auto part = rows.subspan(first, std::min(chunk_, rows.size() - first));
      const at::Tensor points = room(part.size());
      std::vector<std::int64_t> samples;
      for (std::size_t i = 0; i < part.size(); ++i) {
        point(part[i], points[static_cast<std::int64_t>(i)]);
        samples.push_back(part[i].sample);
      }
      const auto result = evaluate(points, vector_tensor<std::int64_t>(samples).to(points.device()));
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
    if (!fits) points_ = batch_like(sample_, rows);
    return points_.narrow(0, 0, count);
  }

  at::Tensor sample_, points_;
  std::size_t chunk_;
};

}  // namespace salience::detail
