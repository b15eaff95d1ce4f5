// One chunker for every method that averages over many evaluations of one input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/detail/tensor.hpp>
#include <salience/target/target_selector.hpp>

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

/// What a batch of rows gives: their attributions, in float32 at least, and their scores, in float64 on the
/// CPU.
struct Evaluated {
  at::Tensor values, score;
};

/// Attributes rows, each for the class that was chosen for its sample: the `evaluate` of `stream`.
template <class A, class T>
auto evaluation(const A& attributor, const T& target, const at::Tensor& chosen) {
  return [&attributor, &target, chosen](const at::Tensor& points, const at::Tensor& samples) -> Evaluated {
    const at::Tensor classes =
        chosen.defined() ? chosen.index_select(0, samples.to(chosen.device())) : chosen;
    const auto attribution = attributor(points, FixedTarget<T>{target, classes});
    return {
        .values = widened(attribution.values),
        .score = attribution.score.defined() ? attribution.score.to(at::kCPU, at::kDouble) : at::Tensor()};
  };
}

/// Evaluates `rows` in order, at most `chunk` at once.
///
/// `point(row)` gives one input (without the batch dimension), `evaluate(points, samples)` an Attribution for
/// a batch of them, where `samples` are the rows' positions in the input's batch, (rows) int64; `take(row,
/// values, i)` is handed each row's result in the rows' order, whatever the chunk. `take` returns false to
/// stop.
template <class Point, class Evaluate, class Take>
bool stream(std::span<const Row> rows, std::int64_t chunk, const Point& point, const Evaluate& evaluate,
            const Take& take) {
  for (std::size_t first = 0; first < rows.size(); first += static_cast<std::size_t>(chunk)) {
    const auto part = rows.subspan(first, std::min(static_cast<std::size_t>(chunk), rows.size() - first));
    at::Tensor points;
    std::vector<std::int64_t> samples;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const at::Tensor x = point(part[i]);
      if (!points.defined()) points = batch_like(x, part.size());
      points[static_cast<std::int64_t>(i)].copy_(x);
      samples.push_back(part[i].sample);
    }
    const auto result = evaluate(points, vector_tensor<std::int64_t>(samples).to(points.device()));
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (!take(part[i], result, static_cast<std::int64_t>(i))) return false;
    }
  }
  return true;
}

}  // namespace salience::detail
