// IntegratedGradients: the gradient, integrated along a path from a baseline to the input.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/detail/adaptive_integral.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/integrated_gradients_options.hpp>
#include <salience/method/path.hpp>
#include <salience/method/quadrature.hpp>
#include <salience/method/streaming.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// Integrated Gradients (Sundararajan, Taly, Yan: "Axiomatic Attribution for Deep Networks", 2017): \f$ (x -
/// b) \int_0^1 \nabla s_c(b + t (x - b)) \, dt \f$, or \f$ \int_0^1 \nabla s_c(\gamma(t)) \, d\gamma(t) \f$
/// along another path. The values sum to \f$ s_c(x) - s_c(b) \f$, but for the error of the quadrature.
///
///     IntegratedGradients ig{model, {.steps = 50}};
///     Attribution a = ig(x);  // a.completeness, a.relative_completeness, a.evaluations
///     IntegratedGradients blur_ig{model, {.steps = 100}, BlurPath{}};
///     IntegratedGradients guided_ig{model, {.steps = 200}, GuidedPath{}};
///
/// With `{.tolerance = 0.01}` each sample gets as many gradients as it needs. Completeness alone is a poor
/// guide (it is reached early, by cancellation), so the map's own error is estimated and bounded too;
/// `map_error` and `converged` tell. That mode keeps the gradients at its nodes: at most max_evaluations
/// times the input.
///
/// The target is chosen once, on the input. Nodes and weights are in float64, sums in float32 (float64 for
/// float64); memory does not grow with the number of steps. Throws ArgumentError for an option out of range
/// or a baseline that does not fit the input, and what GradientAttributor throws.
template <class M, class P = StraightPath>
class IntegratedGradients {
 public:
  /// `model` is any Model, `path` a ParametricPath or a GradientPath. Throws ArgumentError for an option out
  /// of range.
  explicit IntegratedGradients(M model, IntegratedGradientsOptions options = {}, P path = {})
      : gradient_(std::move(model)), options_(std::move(options)), path_(std::move(path)) {
    static_assert(ParametricPath<P> || GradientPath<P>,
                  "Salience: a path must have point(input, baseline, t), or next(input, baseline, here, "
                  "gradient, from, to), that gives an at::Tensor");
    options_.require_valid();
    if (options_.adaptive() && !known) {
      throw ArgumentError::out_of_range("tolerance", options_.tolerance,
                                        "0 on a path that follows gradients");
    }
  }

  /// The integral for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    detail::require_input(input);
    const detail::Recording recording;
    const auto& wanted = as_target(target);
    Attribution result = predict(input, wanted);
    const auto selector = detail::read_as(wanted, result.output_type);
    const auto evaluate = detail::evaluation(gradient_, selector, result.target);
    const at::Tensor clean = detail::widened(input.detach());
    std::vector<Sum> sums(static_cast<std::size_t>(input.size(0)));
    Work work{.input = clean,
              .baseline = {},
              .way = {},
              .dtype = input.scalar_type(),
              .end_scores = result.score.to(at::kCPU, at::kDouble)};
    for (std::size_t i = 0; i < options_.baseline.count() && result.complete; ++i) {
      work.baseline = options_.baseline(clean, i);
      if (straight) work.way = clean.sub(work.baseline);
      const at::Tensor starts = begin(work);
      const at::Tensor scores =
          predict(starts, FixedTarget{selector, result.target}).score.to(at::kCPU, at::kDouble);
      for (std::size_t n = 0; n < sums.size(); ++n) {
        sums[n].start_score += scores[static_cast<std::int64_t>(n)].template item<double>();
      }
      ++work.baselines;
      if constexpr (known) {
        if (options_.adaptive()) {
          result.complete = refine(work, evaluate, sums);
          continue;
        }
      }
      result.complete = integrate(work, evaluate, sums);
    }
    collect(work, sums, input, result);
    return result;
  }

  /// The prediction without a gradient: see GradientAttributor::predict.
  template <class T = TargetSelector<>>
  Attribution predict(const at::Tensor& input, const T& target = T{}) const {
    return gradient_.predict(input, target);
  }

 private:
  /// The path is known beforehand, so that its steps may be taken in any order.
  static constexpr bool known = ParametricPath<P>;
  static constexpr bool straight = std::is_same_v<P, StraightPath>;

  struct Work {
    at::Tensor input, baseline;  // (N, ...), in float32 at least
    at::Tensor way;              // from one to the other, if the path is straight
    at::ScalarType dtype;        // the caller's
    at::Tensor end_scores;       // (N), at the input
    std::int64_t baselines = 0;  // begun
    std::int64_t told = 0;       // evaluations, of all samples

    /// What a sample that is evaluated looks like.
    at::Tensor like() const { return input[0].to(dtype); }
  };

  /// Writes the path's point at t.
  void place(const Work& work, std::int64_t sample, double t, const at::Tensor& out) const {
    if constexpr (straight) {
      if (out.scalar_type() == work.way.scalar_type()) {
        out.copy_(work.baseline[sample]).add_(work.way[sample], t);  // nothing is allocated
      } else {
        out.copy_(work.baseline[sample].add(work.way[sample], t));
      }
    } else {
      out.copy_(path_.point(work.input[sample], work.baseline[sample], t));
    }
  }

  static void accumulate(at::Tensor& sum, const at::Tensor& values, double weight = 1.0) {
    sum = sum.defined() ? sum.add_(values, weight) : values.mul(weight);
  }

  /// What is kept of one sample.
  struct Sum {
    at::Tensor map;            // of gradient times step
    at::Tensor gradient;       // of gradient times weight, if the map is not wanted
    double weight = 0.0;       // of all steps taken
    double start_score = 0.0;  // of all baselines begun
    std::int64_t evaluations = 0;
    double squared_error = 0.0;  // sum of those of the maps, if they are estimated
    bool converged = true;

    void add(const at::Tensor& values) { accumulate(map, values); }
  };

  at::Tensor start(const at::Tensor& input, const at::Tensor& baseline) const {
    if constexpr (known) {
      return path_.point(input, baseline, 0.0);
    } else {
      return baseline;
    }
  }

  at::Tensor begin(const Work& work) const {
    at::Tensor starts = work.input.new_empty(work.input.sizes());
    for (std::int64_t n = 0; n < starts.size(0); ++n) {
      starts[n].copy_(start(work.input[n], work.baseline[n]));
    }
    return starts.to(work.dtype);
  }

  bool tell(Work& work, double error = -1.0) const {
    const auto nodes = options_.adaptive() ? options_.max_evaluations
                                           : options_.steps + (rule() == Quadrature::trapezoid ? 1 : 0);
    const auto total = static_cast<std::int64_t>(options_.baseline.count()) * work.input.size(0) * nodes;
    return !options_.progress || options_.progress({.done = ++work.told, .total = total, .error = error});
  }

  /// What needs its steps one after the other begins each at its left end.
  Quadrature rule() const { return known && !options_.idgi ? options_.rule : Quadrature::left; }

  bool integrate(Work& work, const auto& evaluate, std::vector<Sum>& sums) const {
    const std::vector<detail::Cell> cells = detail::quadrature(rule(), options_.steps);
    const bool ordered = !known || options_.idgi;
    struct Walk {
      at::Tensor here;      // where a path that looks where to go is
      at::Tensor gradient;  // IDGI's, of a step that has not ended
      double score;         // there
      at::Tensor mean;      // of the gradients on a straight path, by weight
    };
    std::vector<Walk> walks(sums.size());
    for (std::size_t n = 0; !known && n < walks.size(); ++n) {
      walks[n].here = work.baseline[static_cast<std::int64_t>(n)];
    }
    const auto idgi = [&](std::size_t n, double score) {
      if (!walks[n].gradient.defined()) return;
      const at::Tensor square = walks[n].gradient.square();
      const double norm = square.sum(at::kDouble).template item<double>();
      if (norm > 0.0) sums[n].add(square.mul((score - walks[n].score) / norm));
    };

    const auto point = [&](const detail::Row& row, const at::Tensor& out) {
      if constexpr (known) {
        place(work, row.sample, cells[static_cast<std::size_t>(row.step)].node, out);
      } else {
        out.copy_(walks[static_cast<std::size_t>(row.sample)].here);
      }
    };
    const auto take = [&](const detail::Row& row, const detail::Evaluated& evaluated, std::int64_t i) {
      const auto n = static_cast<std::size_t>(row.sample);
      const detail::Cell& cell = cells[static_cast<std::size_t>(row.step)];
      const at::Tensor gradient = evaluated.values[i];
      at::Tensor step;
      if constexpr (known) {
        if (!options_.idgi && !straight) step = along(work, row.sample, cell.begin, cell.end);
      } else {
        const at::Tensor next = path_.next(work.input[row.sample], work.baseline[row.sample], walks[n].here,
                                           gradient, cell.begin, cell.end);
        step = next.sub(walks[n].here);
        walks[n].here = next;
      }
      if (options_.idgi) {
        const double score = evaluated.score[i].template item<double>();
        idgi(n, score);
        walks[n].gradient = gradient.clone();
        walks[n].score = score;
      } else {
        if (!straight) sums[n].add(gradient.mul(step));
        if (straight || !options_.multiply_by_inputs) accumulate(walks[n].mean, gradient, cell.weight);
      }
      // A part of the steps, taken in a spread order, is a coarser quadrature; a walk is one from its start.
      sums[n].weight += !ordered ? cell.weight : row.step == 0 ? 1.0 : 0.0;
      ++sums[n].evaluations;
      return tell(work);
    };

    detail::Stream stream(work.like(), detail::chunk_size(options_.chunk, work.input));
    std::vector<detail::Row> rows;
    bool complete = true;
    const auto evaluate_rows = [&] {
      complete = complete && stream(rows, point, evaluate, take);
      rows.clear();
    };
    for (const std::int64_t k : detail::step_order(static_cast<std::int64_t>(cells.size()), ordered)) {
      for (std::int64_t n = 0; n < work.input.size(0); ++n) rows.push_back({.sample = n, .step = k});
      if (!known) evaluate_rows();  // where the next step begins depends on this one
    }
    evaluate_rows();
    for (std::size_t n = 0; n < sums.size(); ++n) {
      const auto position = static_cast<std::int64_t>(n);
      if (options_.idgi && complete) idgi(n, work.end_scores[position].template item<double>());
      if (!walks[n].mean.defined()) continue;
      if (straight) sums[n].add(work.way[position].mul(walks[n].mean));
      if (!options_.multiply_by_inputs) accumulate(sums[n].gradient, walks[n].mean);
    }
    return complete;
  }

  /// Each sample is refined by itself; the samples of a round are evaluated together.
  bool refine(Work& work, const auto& evaluate, std::vector<Sum>& sums) const {
    constexpr double any = std::numeric_limits<double>::infinity();
    const double completeness = options_.tolerance > 0.0 ? options_.tolerance : any;
    const double map = options_.map_tolerance > 0.0 ? options_.map_tolerance : 5.0 * options_.tolerance;
    std::vector<detail::AdaptiveIntegral> integrals(
        sums.size(), detail::AdaptiveIntegral({completeness, map, options_.max_evaluations}));
    std::vector<double> errors(sums.size(), -1.0);
    std::vector<std::vector<double>> wanted(sums.size());
    const auto node = [&](const detail::Row& row) {
      return wanted[static_cast<std::size_t>(row.sample)][static_cast<std::size_t>(row.step)];
    };
    const auto point = [&](const detail::Row& row, const at::Tensor& out) {
      place(work, row.sample, node(row), out);
    };
    const auto take = [&](const detail::Row& row, const detail::Evaluated& evaluated, std::int64_t i) {
      const auto n = static_cast<std::size_t>(row.sample);
      const bool scaled =
          straight && options_.multiply_by_inputs;  // once and for all, if all steps are parts of one
      integrals[n].add(
          node(row), scaled ? work.way[row.sample].mul(evaluated.values[i]) : evaluated.values[i].clone(),
          evaluated.score[i].template item<double>(), [&](double begin, double end) {
            return scaled ? work.way.new_full({}, end - begin) : along(work, row.sample, begin, end);
          });
      ++sums[n].evaluations;
      return tell(work, errors[n]);
    };
    detail::Stream stream(work.like(), detail::chunk_size(options_.chunk, work.input));
    bool going = true;
    for (bool more = true; more && going;) {
      std::vector<detail::Row> rows;
      std::size_t longest = 0;
      for (std::size_t n = 0; n < sums.size(); ++n) {
        wanted[n] = integrals[n].wanted();
        errors[n] = integrals[n].map_error();
        longest = std::max(longest, wanted[n].size());
      }
      for (std::size_t k = 0; k < longest; ++k) {
        for (std::size_t n = 0; n < sums.size(); ++n) {
          if (k < wanted[n].size())
            rows.push_back({.sample = static_cast<std::int64_t>(n), .step = static_cast<std::int64_t>(k)});
        }
      }
      more = !rows.empty();
      going = stream(rows, point, evaluate, take);
    }
    for (std::size_t n = 0; n < sums.size(); ++n) {
      const detail::AdaptiveIntegral& integral = integrals[n];
      sums[n].converged = sums[n].converged && integral.converged();
      if (!integral.map().defined()) continue;
      sums[n].add(integral.map());
      if (!options_.multiply_by_inputs) {
        accumulate(sums[n].gradient, integral.mean_gradient());
      }
      sums[n].squared_error += std::pow(integral.absolute_error(), 2);
      sums[n].weight += 1.0;
    }
    return going;
  }

  /// The path's step from one place to another.
  at::Tensor along(const Work& work, std::int64_t sample, double begin, double end) const {
    if constexpr (straight) {
      return work.way[sample].mul(end - begin);
    } else {
      const at::Tensor input = work.input[sample], baseline = work.baseline[sample];
      return path_.point(input, baseline, end).sub(path_.point(input, baseline, begin));
    }
  }

  void collect(const Work& work, const std::vector<Sum>& sums, const at::Tensor& input,
               Attribution& result) const {
    std::vector<std::int64_t> evaluations;
    std::vector<double> completeness, relative, errors;
    std::vector<std::int64_t> converged;
    result.values = input.detach().new_empty(input.sizes()).zero_();
    for (std::size_t n = 0; n < sums.size(); ++n) {
      const auto position = static_cast<std::int64_t>(n);
      const Sum& sum = sums[n];
      const double share = 1.0 / (result.complete ? static_cast<double>(work.baselines) : sum.weight);
      const double change = work.end_scores[position].template item<double>() -
                            sum.start_score / static_cast<double>(work.baselines);
      double total = 0.0, error = std::nan("");
      if (sum.map.defined()) {
        total = sum.map.sum(at::kDouble).template item<double>() * share;
        error = detail::ratio(std::sqrt(sum.squared_error),
                              sum.map.abs().sum(at::kDouble).template item<double>());
        result.values[position].copy_((options_.multiply_by_inputs ? sum.map : sum.gradient).mul(share));
      }
      evaluations.push_back(sum.evaluations);
      completeness.push_back(total - change);
      relative.push_back(detail::ratio(total - change, change));
      errors.push_back(error);
      converged.push_back(sum.converged);
    }
    result.evaluations = detail::vector_tensor<std::int64_t>(evaluations);
    result.completeness = detail::vector_tensor<double>(completeness);
    result.relative_completeness = detail::vector_tensor<double>(relative);
    if (!options_.adaptive()) return;
    result.map_error = detail::vector_tensor<double>(errors);
    result.converged = detail::vector_tensor<std::int64_t>(converged).to(at::kBool);
  }

  GradientAttributor<M> gradient_;
  IntegratedGradientsOptions options_;
  P path_;
};

}  // namespace salience
