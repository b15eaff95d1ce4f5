// CoalitionScores: the score of an input of which only some features are there.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/absent.hpp>
#include <salience/method/detail/completeness.hpp>
#include <salience/method/detail/features.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/streaming.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// How a method of coalitions evaluates.
struct CoalitionOptions {
  const FeatureMask& mask;
  const Baseline& baseline;
  std::int64_t chunk;
  const ProgressCallback& progress;
};

/// What a sampled method says of one sample's features: their values and standard errors, (count) float64,
/// how many draws they are of, and whether the tolerance was met.
struct Estimate {
  at::Tensor values, errors;
  std::int64_t copies;
  bool converged;
};

/// Scores coalitions of features: what is in one is as in the input, the rest as in a baseline. Everything
/// that methods of this kind have in common. A variant's step is coalition * baselines() + baseline.
template <class M, class T>
class CoalitionScores {
 public:
  CoalitionScores(M& model, const at::Tensor& input, const T& target, const CoalitionOptions& options)
      : input_(input.detach()),
        options_(options),
        scores_(model, input_, at::Tensor(), target),
        features_(options.mask, input_, samples_of(target)),
        absent_(options.baseline, input_, samples_of(target)) {}
  CoalitionScores(const CoalitionScores&) = delete;  // scores_ refers to input_
  CoalitionScores& operator=(const CoalitionScores&) = delete;

  const Features& features() const { return features_; }
  std::int64_t samples() const { return input_.size(0); }
  std::int64_t baselines() const { return absent_.count(); }
  /// The score of all features together, and the mean of those of none.
  double all(std::int64_t n) const { return scores_.clean().template data_ptr<double>()[n]; }
  double none(std::int64_t n) const {
    double sum = 0.0;
    for (std::int64_t b = 0; b < baselines(); ++b) sum += none(n, b);
    return sum / static_cast<double>(baselines());
  }
  double none(std::int64_t n, std::int64_t b) const {
    return none_.template data_ptr<double>()[n * baselines() + b];
  }
  /// A progress callback ended the work.
  bool stopped() const { return stopped_; }
  /// Rows that make full batches.
  std::int64_t chunk() const { return chunk_size(options_.chunk, input_); }

  /// Tells how many evaluations are to come, for the callback.
  void expect(std::int64_t evaluations) { total_ = evaluations; }
  /// The same of coalitions, and scores the baselines: what `none` needs.
  void begin(std::int64_t evaluations) {
    expect(evaluations + samples() * baselines());
    none_ = run(
        all_variants(samples(), baselines()), baselines(), [&](const Variant& row, const at::Tensor& out) {
          const std::vector<std::uint8_t> nobody(static_cast<std::size_t>(features_.count(row.sample)));
          out.copy_(absent_(row.sample, row.step, features_.stays(row.sample, nobody)));
        });
  }

  /// The scores of coalitions: (N, steps) float64 on the CPU, NaN where there is no variant and after a stop.
  /// `there(sample, coalition)` gives a 1 or 0 for each feature. `lengths`, if given, gets those of the
  /// composed inputs, (N * steps).
  template <class There>
  at::Tensor operator()(std::span<const Variant> variants, std::int64_t steps, const There& there,
                        std::vector<Lengths>* lengths = nullptr) {
    return run(variants, steps, [&](const Variant& row, const at::Tensor& out) {
      const std::vector<std::uint8_t> flags = there(row.sample, row.step / baselines());
      compose(row, features_.stays(row.sample, flags), out);
      if (lengths != nullptr)
        lengths->at(static_cast<std::size_t>(row.sample * steps + row.step)) = lengths_of(row, flags, out);
    });
  }
  /// The same of all features but one: a variant's step is feature * baselines() + baseline.
  at::Tensor without_one(std::span<const Variant> variants, std::int64_t steps) {
    return run(variants, steps, [&](const Variant& row, const at::Tensor& out) {
      compose(row, features_.stays_without(row.sample, row.step / baselines()), out);
    });
  }

  /// The values of the features of each sample, (count) float64, as the values of its elements. `errors` are
  /// their standard errors, or none.
  Attribution attribution(const std::vector<at::Tensor>& values,
                          const std::vector<at::Tensor>& errors) const {
    Attribution result{scores_.explained()};
    result.stopped = stopped_;
    result.values = at::Tensor(input_.new_empty(input_.sizes()));
    if (!errors.empty()) result.values_error = empty(input_.sizes(), at::kDouble);
    std::vector<double> relative;
    for (std::int64_t n = 0; n < samples(); ++n) {
      const at::Tensor& own = values[static_cast<std::size_t>(n)];
      result.values[n].copy_(features_.spread(n, own));
      if (errors.empty()) continue;
      const at::Tensor& error = errors[static_cast<std::size_t>(n)];
      result.values_error[n].copy_(features_.spread(n, error));
      relative.push_back(relative_error(n, own, error));
    }
    if (!errors.empty()) result.standard_error = vector_tensor<double>(relative);
    return result;
  }

  /// The same of a sampled method, with its figures. `tolerance` is its option, 0 if there is none.
  Attribution attribution(const std::vector<Estimate>& estimates, double tolerance) const {
    std::vector<at::Tensor> values, errors;
    std::vector<std::int64_t> copies, converged;
    for (const Estimate& estimate : estimates) {
      values.push_back(estimate.values);
      errors.push_back(estimate.errors);
      copies.push_back(estimate.copies);
      converged.push_back(estimate.converged);
    }
    Attribution result = attribution(values, errors);
    result.copies = vector_tensor<std::int64_t>(copies);
    if (tolerance > 0.0) result.converged = vector_tensor<std::int64_t>(converged).to(at::kBool);
    return result;
  }

  /// The relative standard error of the map of sample n, as `attribution` states it.
  double relative_error(std::int64_t n, const at::Tensor& values, const at::Tensor& errors) const {
    const at::Tensor sizes = features_.sizes(n);
    const double error = errors.square().mul(sizes).sum().template item<double>();
    // Of nothing that is known exactly it is 0.
    return error == 0.0 ? 0.0 : std::sqrt(error / values.square().mul(sizes).sum().template item<double>());
  }

  /// What the features' values lack of f(x) - f(b); `of(n)` gives those of sample n.
  template <class Of>
  void fill_in_completeness(Attribution& result, const Of& of) const {
    std::vector<double> sums, changes;
    for (std::int64_t n = 0; n < samples(); ++n) {
      const at::Tensor& values = of(static_cast<std::size_t>(n));
      sums.push_back(values.sum().template item<double>());
      changes.push_back(all(n) - none(n));
    }
    detail::fill_in_completeness(result, sums, changes);
  }

 private:
  void compose(const Variant& row, const at::Tensor& stays, const at::Tensor& out) const {
    out.copy_(input_[row.sample].where(stays, absent_(row.sample, row.step % baselines(), stays)));
  }

  /// Of a baseline with values of its own by the sums of each feature, which are made once.
  Lengths lengths_of(const Variant& row, const std::vector<std::uint8_t>& flags, const at::Tensor& composed) {
    const std::int64_t n = row.sample, b = row.step % baselines();
    if (absent_.inpaints(b)) return Lengths::between(input_[n], composed);
    return feature_lengths_.try_emplace(n * baselines() + b, features_, n, input_[n], absent_.row(n, b))
        .first->second.of(flags);
  }

  template <class Point>
  at::Tensor run(std::span<const Variant> variants, std::int64_t steps, const Point& point) {
    if (stopped_) return unknown({samples(), steps});
    return scores_(variants, steps, options_.chunk, point, [&](const Progress&) {
      const Progress now{.done = ++done_, .total = total_, .error = -1.0};
      stopped_ = options_.progress && !options_.progress(now);
      return !stopped_;
    });
  }

  at::Tensor input_;
  CoalitionOptions options_;
  VariantScores<M, T> scores_;
  Features features_;
  Absent absent_;
  std::map<std::int64_t, FeatureLengths> feature_lengths_;  // by sample * baselines() + baseline
  at::Tensor none_;
  std::int64_t done_ = 0, total_ = 0;
  bool stopped_ = false;
};

}  // namespace salience::detail
