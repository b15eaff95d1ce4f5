// PathIntegrator: takes the samples of a batch along their paths, from each baseline.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/completeness.hpp>
#include <salience/method/detail/path_sample.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/path.hpp>
#include <salience/method/streaming.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// What the methods along a path have in common of their options.
struct PathSettings {
  Baseline baseline;
  std::int64_t evaluations;  ///< of a sample, from one baseline, at most
  std::int64_t chunk;        ///< 0: chosen by memory
  const ProgressCallback& progress;
  bool multiply_by_inputs = true;
};

/// The result, and what was summed of each sample.
struct PathResult {
  Attribution attribution;
  std::vector<PathSum> sums;
};

/// A model and a path; what is summed along it is a PathAccumulator.
template <class M, class P>
class PathIntegrator {
 public:
  PathIntegrator(M model, P path) : gradient_(std::move(model)), path_(std::move(path)) {}

  template <class T>
  Explained predict(const at::Tensor& input, const T& target) const {
    return gradient_.predict(input, target);
  }

  /// Who is asked along the path.
  const GradientAttributor<M>& gradient() const { return gradient_; }

  /// `make(sample, sum)` gives a PathAccumulator for a PathSample<P> and a PathSum&. The attribution
  /// has values, evaluations and completeness. Called inside of `enter`.
  template <class T, class Make>
  PathResult operator()(const at::Tensor& input, const T& wanted, const PathSettings& settings,
                        const Make& make) const {
    Attribution result{predict(input, wanted)};
    const auto selector = read_as(wanted, result.output_type);
    const auto evaluate = evaluation(gradient_, selector, result.target);
    std::vector<PathSum> sums(static_cast<std::size_t>(input.size(0)));
    Work work{.input = widened(input.detach()),
              .dtype = input.scalar_type(),
              .end_scores = result.score.to(at::kCPU, at::kDouble)};
    for (std::size_t i = 0; i < settings.baseline.count() && !result.stopped; ++i) {
      const auto samples = from(settings.baseline(work.input, i, samples_of(wanted)), work);
      const at::Tensor scores = predict(starts(samples, work), FixedTarget{selector, result.target})
                                    .score.to(at::kCPU, at::kDouble);
      for (std::size_t n = 0; n < sums.size(); ++n) {
        sums[n].start_score += scores[static_cast<std::int64_t>(n)].template item<double>();
      }
      ++work.baselines;
      result.stopped = !integrate(work, settings, samples, evaluate, make, sums);
    }
    collect(work, settings, sums, input, result);
    return {std::move(result), std::move(sums)};
  }

 private:
  struct Work {
    at::Tensor input;            // (N, ...), in float32 at least
    at::ScalarType dtype;        // the caller's
    at::Tensor end_scores;       // (N), at the input
    std::int64_t baselines = 0;  // begun
    std::int64_t told = 0;       // evaluations, of all samples
  };

  /// The samples' paths from one baseline.
  std::vector<PathSample<P>> from(const at::Tensor& baseline, const Work& work) const {
    at::Tensor way;
    if (PathSample<P>::straight) way = work.input.sub(baseline);
    std::vector<PathSample<P>> samples;
    for (std::int64_t n = 0; n < work.input.size(0); ++n) {
      samples.push_back({path_, work.input[n], baseline[n], way.defined() ? way[n] : way});
    }
    return samples;
  }

  at::Tensor starts(const std::vector<PathSample<P>>& samples, const Work& work) const {
    at::Tensor points = work.input.new_empty(work.input.sizes());
    for (std::size_t n = 0; n < samples.size(); ++n) {
      points[static_cast<std::int64_t>(n)].copy_(samples[n].start());
    }
    return points.to(work.dtype);
  }

  /// From one baseline to the input; false if the progress callback stopped the work.
  bool integrate(Work& work, const PathSettings& settings, const std::vector<PathSample<P>>& samples,
                 const auto& evaluate, const auto& make, std::vector<PathSum>& sums) const {
    using Accumulator = decltype(make(samples.front(), sums.front()));
    static_assert(PathAccumulator<Accumulator>);
    std::vector<Accumulator> integrals;
    integrals.reserve(samples.size());
    for (std::size_t n = 0; n < samples.size(); ++n) integrals.push_back(make(samples[n], sums[n]));
    const auto total =
        static_cast<std::int64_t>(settings.baseline.count() * samples.size()) * settings.evaluations;
    const auto point = [&](const Variant& row, const at::Tensor& out) {
      integrals[static_cast<std::size_t>(row.sample)].point(row.step, out);
    };
    const auto take = [&](const Variant& row, const Evaluated& evaluated, std::int64_t i) {
      Accumulator& integral = integrals[static_cast<std::size_t>(row.sample)];
      integral.take(row.step, evaluated.values[i], evaluated.score[i].template item<double>());
      ++work.told;
      return !settings.progress ||
             settings.progress({.done = work.told, .total = total, .error = integral.error()});
    };

    // What a sample that is evaluated looks like.
    Stream stream(work.input[0].to(work.dtype), chunk_size(settings.chunk, work.input));
    bool going = true;
    for (bool more = true; more && going;) {
      std::vector<std::int64_t> wanted;
      wanted.reserve(integrals.size());
      for (Accumulator& integral : integrals) wanted.push_back(integral.begin_round());
      const std::int64_t longest = *std::max_element(wanted.begin(), wanted.end());
      std::vector<Variant> rows;
      for (std::int64_t k = 0; k < longest; ++k) {
        for (std::size_t n = 0; n < wanted.size(); ++n) {
          if (k < wanted[n]) rows.push_back({.sample = static_cast<std::int64_t>(n), .step = k});
        }
      }
      more = !rows.empty();
      going = stream(rows, point, evaluate, take);
    }
    for (std::size_t n = 0; n < integrals.size(); ++n) {
      integrals[n].end(going, work.end_scores[static_cast<std::int64_t>(n)].template item<double>());
    }
    return going;
  }

  void collect(const Work& work, const PathSettings& settings, const std::vector<PathSum>& sums,
               const at::Tensor& input, Attribution& result) const {
    std::vector<std::int64_t> evaluations;
    std::vector<double> totals, changes;
    result.values = input.detach().new_empty(input.sizes()).zero_();
    for (std::size_t n = 0; n < sums.size(); ++n) {
      const auto position = static_cast<std::int64_t>(n);
      const PathSum& sum = sums[n];
      const double share = 1.0 / (result.stopped ? sum.weight : static_cast<double>(work.baselines));
      const double change = work.end_scores[position].template item<double>() -
                            sum.start_score / static_cast<double>(work.baselines);
      double total = 0.0;
      if (sum.map.defined()) {
        total = sum.map.sum(at::kDouble).template item<double>() * share;
        result.values[position].copy_((settings.multiply_by_inputs ? sum.map : sum.gradient).mul(share));
      }
      evaluations.push_back(sum.evaluations);
      totals.push_back(total);
      changes.push_back(change);
    }
    result.evaluations = vector_tensor<std::int64_t>(evaluations);
    fill_in_completeness(result, totals, changes);
  }

  GradientAttributor<M> gradient_;
  P path_;
};

}  // namespace salience::detail
