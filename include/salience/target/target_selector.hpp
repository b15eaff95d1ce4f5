// TargetSelector<Choice, Score>: a class and a score of it, or a score of the whole output.
#pragma once

#include <concepts>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/model/concepts.hpp>
#include <salience/target/class_output.hpp>
#include <salience/target/class_score.hpp>
#include <salience/target/target_choice.hpp>

namespace salience {

/// Takes the model's whole output, of any shape, to one score per sample, (N): for segmentation, detection,
/// regression.
template <class F>
concept ScoreFunction = requires(const F& function, const at::Tensor& output) {
  { function(output) } -> std::convertible_to<at::Tensor>;
};

/// What is explained: a Choice (ArgMax, ClassIndex, ClassName, PerSample or one of the user's) and a Score of
/// the chosen class (Logit, Probability, LogProbability or one of the user's), or a ScoreFunction alone.
///
///     TargetSelector{}                                  // the predicted class's logit
///     TargetSelector{ClassIndex{5}, Probability{}}
///     TargetSelector{ArgMax{}, Logit{}, OutputType::probabilities}  // the model ends in a softmax
///     TargetSelector{[](const at::Tensor& out) { return out.select(1, 15).sum({1, 2}); }}  // segmentation
template <class Choice = ArgMax, class Score = Logit>
class TargetSelector {
  static_assert(
      TargetChoice<Choice>,
      "Salience: a target must be a choice, ClassIndex{5}, ClassName{name, labels} or PerSample{{1, 2}}, a "
      "TargetSelector{choice, score}, or a callable from const at::Tensor& to one score per sample");
  static_assert(ClassScore<Score>,
                "Salience: the score of a TargetSelector must be Logit{}, Probability{}, LogProbability{} or "
                "a callable "
                "from the logits and the chosen classes, two const at::Tensor&, to one score per sample");

 public:
  /// Score of the class that `choice` picks.
  explicit TargetSelector(Choice choice = {}, Score score = {}, OutputType type = OutputType::automatic)
      : choice_(std::move(choice)), score_(std::move(score)), type_(type) {}

  /// (N) int64, from an output (N, K), (N, 1) or (N), see ClassOutput. Warns (TORCH_WARN) where it takes the
  /// output for probabilities and that is not stated. Throws TargetError for another shape, and what the
  /// choice throws.
  at::Tensor choose(const at::Tensor& output) const {
    const ClassOutput classes(output, type_);
    classes.notice();
    if constexpr (detail::ChoosesFromOutput<Choice>) {
      return choice_.of(classes);
    } else {
      return choice_.choose(classes.rows());
    }
  }
  /// (N), for the classes that `choose` gave.
  at::Tensor score(const at::Tensor& output, const at::Tensor& chosen) const {
    const ClassOutput classes(output, type_);
    if constexpr (detail::ScoresOutput<Score>) {
      return score_.of(classes, chosen);
    } else {
      return score_(classes.logits(chosen), chosen);
    }
  }

  /// How it reads the output.
  OutputType output_type() const { return type_; }
  /// How it reads this output: as stated, or what was found where all rows are alike.
  OutputType output_type(const at::Tensor& output) const { return ClassOutput(output, type_).type(); }
  /// The same target, which reads the output so.
  TargetSelector read_as(OutputType type) const { return TargetSelector(choice_, score_, type); }
  /// Does it name no class of its own, as ArgMax does? A metric then judges by the class that is explained.
  static constexpr bool takes_any_class() { return std::is_same_v<Choice, ArgMax>; }

 private:
  Choice choice_;
  Score score_;
  OutputType type_;
};

/// A ScoreFunction alone, which takes the whole output: there is no class to choose.
template <ScoreFunction Function>
class TargetSelector<Function, Logit> {
 public:
  /// The score is what `function` gives.
  explicit TargetSelector(Function function) : function_(std::move(function)) {}

  /// An undefined tensor.
  at::Tensor choose(const at::Tensor&) const { return {}; }
  /// (N), of the whole output.
  at::Tensor score(const at::Tensor& output, const at::Tensor&) const { return function_(output); }

 private:
  Function function_;
};

/// The logit of a bare choice, or a ScoreFunction.
template <class Choice>
TargetSelector(Choice) -> TargetSelector<Choice, Logit>;
/// A choice and a score of it.
template <class Choice, class Score>
TargetSelector(Choice, Score) -> TargetSelector<Choice, Score>;
/// And how the output is read.
template <class Choice, class Score>
TargetSelector(Choice, Score, OutputType) -> TargetSelector<Choice, Score>;

/// A method takes a whole target, a bare choice or a bare callable; this makes a target of each.
template <Target T>
const T& as_target(const T& target) {
  return target;
}
/// The same for what is no whole target.
template <class T>
TargetSelector<T, Logit> as_target(const T& target) {
  return TargetSelector<T, Logit>(target);
}

namespace detail {

/// How a target reads this output, if it says so.
template <Target T>
OutputType output_type_of(const T& target, const at::Tensor& output) {
  if constexpr (requires { target.output_type(output); }) {
    return target.output_type(output);
  } else {
    return OutputType::automatic;
  }
}

/// Does the target name no class of its own, so that it takes the one that is explained?
template <class T>
constexpr bool takes_any_class(const T& target) {
  if constexpr (requires { target.takes_any_class(); }) {
    return target.takes_any_class();
  } else {
    return false;
  }
}

/// The same target, which reads the output so unless it says how: along a path and among copies an output is
/// what it was on the clean input, also where some other values look like probabilities.
template <Target T>
T read_as(const T& target, OutputType type) {
  if constexpr (requires { target.read_as(type); }) {
    if (target.output_type() == OutputType::automatic) return target.read_as(type);
  }
  return target;
}

}  // namespace detail

/// A target whose choice was made before, one class per row of the batch that it is asked about: what a
/// method that wraps another one, and evaluates it at other points, gives that one.
///
///     const auto& target = as_target(wanted);
///     const at::Tensor chosen = wrapped.predict(x, target).target;  // on the clean input, once
///     wrapped(x.add(noise), FixedTarget{target, chosen});
///
/// If the rows are not the samples in their order, `samples` says which they are, for models that need to
/// know (SampleAwareModel): it goes to the model by way of the target, through all methods that wrap methods.
template <Target T>
struct FixedTarget {
  T target;           ///< that scores
  at::Tensor chosen;  ///< (rows) int64, or undefined if the target chooses nothing
  /// (rows) int64, the place of each row's sample in the batch of the call that the user made. Undefined:
  /// what `target` says or, if that says nothing, row n is sample n.
  at::Tensor samples{};

  /// What was chosen before, on the output's device.
  at::Tensor choose(const at::Tensor& output) const {
    return chosen.defined() ? chosen.to(output.device()) : chosen;
  }
  /// The target's own score.
  at::Tensor score(const at::Tensor& output, const at::Tensor& classes) const {
    return target.score(output, classes);
  }
};

/// A target and what it chose.
template <class T>
FixedTarget(T, at::Tensor) -> FixedTarget<T>;  // clang 14 deduces none for an aggregate
/// And the samples of the rows.
template <class T>
FixedTarget(T, at::Tensor, at::Tensor) -> FixedTarget<T>;

namespace detail {

/// Which samples of the user's batch the rows are that this target is given with: (rows) int64, undefined if
/// row n is sample n.
template <class T>
at::Tensor samples_of(const T& target) {
  if constexpr (requires { target.samples(); }) return target.samples();
  return {};
}
template <class T>
at::Tensor samples_of(const FixedTarget<T>& target) {
  return target.samples.defined() ? target.samples : samples_of(target.target);
}

/// The target for rows of a batch that was asked about with `target`: `rows` are their places in that batch,
/// (rows) int64, and `chosen` what was chosen for it.
template <class T>
FixedTarget<T> fixed_for(const T& target, const at::Tensor& chosen, const at::Tensor& rows) {
  const at::Tensor samples = samples_of(target);
  return {target, chosen.defined() ? chosen.index_select(0, rows.to(chosen.device())) : chosen,
          samples.defined() ? samples.index_select(0, rows.to(samples.device())) : rows};
}

}  // namespace detail

}  // namespace salience
