// The scores of many variants of an input, for metrics that change the input.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/class_output.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

namespace detail {

/// A float64 table on the CPU of figures that are not known yet: all NaN.
inline at::Tensor unknown(at::IntArrayRef sizes) {
  return empty(sizes, at::kDouble).fill_(std::numeric_limits<double>::quiet_NaN());
}

/// A target that scores the classes that an attribution explains. Choosing others is an ArgumentError.
template <Target T>
struct AgreeingTarget {
  const T& target;
  const at::Tensor& explained;  // (N)

  at::Tensor choose(const at::Tensor& output) const {
    at::Tensor classes = explained.to(output.device());
    if (!takes_any_class(target)) {
      const at::Tensor own = target.choose(output);
      if (own.defined() && !own.equal(classes)) throw conflict(own.cpu(), classes.cpu());
    }
    return classes;
  }
  at::Tensor score(const at::Tensor& output, const at::Tensor& classes) const {
    return target.score(output, classes);
  }
  OutputType output_type(const at::Tensor& output) const { return output_type_of(target, output); }
  at::Tensor samples() const { return samples_of(target); }

 private:
  static ArgumentError conflict(const at::Tensor& own, const at::Tensor& classes) {
    std::int64_t sample = 0;
    while (own.sizes() == classes.sizes() && own[sample].equal(classes[sample])) ++sample;
    if (own.sizes() != classes.sizes() || own.dim() != 1) {
      return ArgumentError(concat("the target's classes, ", shape(own), ", are not as many as the ",
                                  shape(classes), " that the attribution explains"));
    }
    return ArgumentError(concat("the target's class ", own[sample].template item<std::int64_t>(),
                                " is not the class ", classes[sample].template item<std::int64_t>(),
                                " that the attribution explains (sample ", sample,
                                "); leave the target out, or attribute that class"));
  }
};

}  // namespace detail

/// What a metric judges by, a whole target: `target` itself if it is one or a score function, of a bare
/// choice (ClassIndex{5}) that class and the metric's own score. It reads the output as the attribution did.
template <class Score, class T>
auto judged_by(const T& target, const Attribution& attribution, Score score = {}) {
  if constexpr (Target<T>) {
    return detail::read_as(target, attribution.output_type);
  } else if constexpr (TargetChoice<T> && !ScoreFunction<T>) {
    return TargetSelector<T, Score>(target, std::move(score), attribution.output_type);
  } else {
    return TargetSelector<T, Logit>(target);
  }
}

namespace detail {

/// One of the scores that this library knows.
struct KnownScore {
  enum class Kind { logit, probability, log_probability };
  Kind kind = Kind::logit;

  at::Tensor of(const ClassOutput& output, const at::Tensor& chosen) const {
    if (kind == Kind::probability) return output.probability(chosen);
    return kind == Kind::logit ? output.logit(chosen) : output.log_probability(chosen);
  }
};

/// The score that an attribution explains of the class that a choice picks: the one that gives
/// `Attribution::score`, the logit if there is none. Throws ArgumentError if it is a score of another kind.
template <class Choice>
KnownScore score_of(const Attribution& attribution, const Choice& choice) {
  if (!attribution.score.defined() || !attribution.logits.defined()) return {};
  const at::Tensor& logits = attribution.logits;
  const at::Tensor& score = attribution.score;
  const ClassOutput output(logits, attribution.output_type);
  const TargetSelector<Choice, Logit> selector(choice, {}, attribution.output_type);
  const at::Tensor chosen =
      (attribution.target.defined() ? attribution.target : selector.choose(logits)).to(logits.device());
  using Kind = KnownScore::Kind;
  for (const Kind kind : {Kind::logit, Kind::probability, Kind::log_probability}) {
    if (kind != Kind::logit && logits.dim() < 2) break;
    const at::Tensor own = KnownScore{kind}.of(output, chosen);
    const double rounding = 16.0 * (own.scalar_type() == at::kDouble  ? 0x1p-52
                                    : own.scalar_type() == at::kFloat ? 0x1p-23
                                                                      : 0x1p-8);
    if (own.numel() == score.numel() &&
        own.isclose(score.reshape({-1}).to(own), rounding, 0.0, /*equal_nan=*/true).all().item<bool>()) {
      return {kind};
    }
  }
  throw ArgumentError(
      "the attribution explains another score than the logit or probability of this class; give the metric "
      "the target that was attributed");
}

}  // namespace detail

/// As judged_by, for a metric that must take the score which was attributed: of a bare choice it finds out
/// which of Logit, Probability and LogProbability that was. Throws ArgumentError if it was none of them.
template <class T>
auto judged_as_attributed(const T& target, const Attribution& attribution) {
  if constexpr (!Target<T> && TargetChoice<T> && !ScoreFunction<T>) {
    return judged_by(target, attribution, detail::score_of(attribution, target));
  } else {
    return judged_by<Logit>(target, attribution);
  }
}

/// Scores an input and variants of its samples for the classes that an attribution explains. Without such
/// (`Attribution::target` undefined) they are what the target chooses on the clean input. Throws
/// ArgumentError where the target names others; one that takes the predicted class, ArgMax, names none.
template <class M, Target T>
class VariantScores {
 public:
  /// `classes` is Attribution::target, (N) or undefined, `target` a whole target: see judged_by. Runs the
  /// model on the clean input. It refers to the model and the input, which outlive it.
  VariantScores(M& model, const at::Tensor& input, const at::Tensor& classes, const T& target)
      : VariantScores(model, input, target, clean_pass(model, input, classes, target)) {}

  /// The same without running it: `clean` is what was observed of the clean input.
  VariantScores(M& model, const at::Tensor& input, const T& target, const RecordedPass& clean)
      : model_(model),
        input_(input),
        target_(detail::read_as(target, clean.output_type)),
        classes_(clean.chosen),
        clean_(as_scores(clean)),
        explained_(clean.explained()) {}

  /// What is explained of the clean input.
  const Explained& explained() const { return explained_; }
  /// (N) float64, on the CPU, as are the scores below.
  const at::Tensor& clean() const { return clean_; }

  /// `steps` variants of each sample: (N, steps). `point(variant, out)` writes one into `out`; all samples'
  /// first variants come first. At most `chunk` are evaluated at once, 0: chosen by memory. `progress` is
  /// told after each; what it leaves undone is NaN.
  template <class Point>
  at::Tensor operator()(std::int64_t steps, std::int64_t chunk, const Point& point,
                        const ProgressCallback& progress = {}) const {
    return (*this)(all_variants(input_.size(0), steps), steps, chunk, point, progress);
  }

  /// The same of these variants alone, whose steps are below `steps`; the others are NaN.
  template <class Point>
  at::Tensor operator()(std::span<const Variant> variants, std::int64_t steps, std::int64_t chunk,
                        const Point& point, const ProgressCallback& progress = {}) const {
    const auto total = static_cast<std::int64_t>(variants.size());
    at::Tensor scores = detail::unknown({input_.size(0), steps});
    std::int64_t done = 0;
    const auto evaluate = [this](const at::Tensor& points, const at::Tensor& samples) {
      return as_scores(observe(model_, points, detail::fixed_for(target_, classes_, samples)));
    };
    const auto take = [&](const Variant& row, const at::Tensor& result, std::int64_t i) {
      scores.data_ptr<double>()[row.sample * scores.size(1) + row.step] = result.data_ptr<double>()[i];
      return !progress || progress({.done = ++done, .total = total, .error = -1.0});
    };
    Stream stream(input_[0].detach(), chunk_size(chunk, input_));
    stream(variants, point, evaluate, take);
    return scores;
  }

 private:
  static RecordedPass clean_pass(M& model, const at::Tensor& input, const at::Tensor& classes,
                                 const T& target) {
    require_input(input);  // what lies between integers has no meaning
    if (!classes.defined()) return observe(model, input, target);
    return observe(model, input, detail::AgreeingTarget<T>{target, classes});
  }

  static at::Tensor as_scores(const RecordedPass& pass) {
    return pass.score.detach().reshape({-1}).to(at::kCPU, at::kDouble).contiguous();
  }

  M& model_;
  const at::Tensor& input_;
  T target_;
  at::Tensor classes_, clean_;
  Explained explained_;
};

/// The one baseline of an input, in its shape, dtype and device. Throws ArgumentError if there are several.
inline at::Tensor only_baseline(const Baseline& baseline, const at::Tensor& input) {
  if (baseline.count() != 1) {
    throw ArgumentError::out_of_range("the baselines of a metric", baseline.count(), "1");
  }
  return baseline(input.detach());
}

}  // namespace salience
