// The scores of many variants of an input, for the metrics that change it and look at what the model says.
#pragma once

#include <cstdint>
#include <limits>

#include <ATen/core/Tensor.h>

#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/target_selector.hpp>

namespace salience::detail {

/// A float64 table on the CPU of figures that are not known yet: all NaN.
inline at::Tensor unknown(at::IntArrayRef sizes) {
  return empty(sizes, at::kDouble).fill_(std::numeric_limits<double>::quiet_NaN());
}

/// Scores an input and variants of its samples for the classes that an attribution explains. Without such
/// (`Attribution::target` undefined) they are what the target chooses on the clean input.
template <class M, Target T>
class VariantScores {
 public:
  VariantScores(M& model, const at::Tensor& input, const at::Tensor& classes, const T& target)
      : model_(model), input_(input), target_(target) {
    const RecordedPass pass = classes.defined() ? observe(model, input, FixedTarget<T>{target, classes})
                                                : observe(model, input, target);
    classes_ = pass.chosen;
    clean_ = as_scores(pass);
  }

  /// (N) float64, on the CPU, as are the scores below.
  const at::Tensor& clean() const { return clean_; }

  /// `steps` variants of each sample: (N, steps). `point(row, out)` writes one into `out`; all samples' first
  /// variants come first. At most `chunk` are evaluated at once, 0: chosen by memory. `progress` is told
  /// after each; what it leaves undone is NaN.
  template <class Point>
  at::Tensor operator()(std::int64_t steps, std::int64_t chunk, const Point& point,
                        const ProgressCallback& progress = {}) const {
    at::Tensor scores = unknown({input_.size(0), steps});
    std::int64_t done = 0;
    const auto evaluate = [this](const at::Tensor& points, const at::Tensor& samples) {
      return as_scores(observe(model_, points, FixedTarget<T>{target_, classes_of(classes_, samples)}));
    };
    const auto take = [&](const Row& row, const at::Tensor& result, std::int64_t i) {
      scores.data_ptr<double>()[row.sample * scores.size(1) + row.step] = result.data_ptr<double>()[i];
      return !progress || progress({.done = ++done, .total = scores.numel(), .error = -1.0});
    };
    Stream stream(input_[0].detach(), chunk_size(chunk, input_));
    stream(all_rows(input_.size(0), steps), point, evaluate, take);
    return scores;
  }

 private:
  static at::Tensor as_scores(const RecordedPass& pass) {
    return pass.score.detach().reshape({-1}).to(at::kCPU, at::kDouble).contiguous();
  }

  M& model_;
  const at::Tensor& input_;
  const T& target_;
  at::Tensor classes_, clean_;
};

/// The one baseline of an input.
inline at::Tensor only_baseline(const Baseline& baseline, const at::Tensor& input) {
  if (baseline.count() != 1) {
    throw ArgumentError::out_of_range("the baselines of a metric", baseline.count(), "1");
  }
  return baseline(input.detach());
}

}  // namespace salience::detail
