// TargetSelector<Choice, Score>: which class is explained, and which score of it.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/class_output.hpp>
#include <salience/target/prediction.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

namespace detail {

inline void require_class(std::int64_t index, std::int64_t classes) {
  if (index < 0 || index >= classes) {
    throw TargetError(concat("there is no class ", index, ": the model has ", classes,
                             classes == 1 ? " class (0)" : concat(" classes (0 to ", classes - 1, ")")));
  }
}

/// One class for all samples, checked.
inline at::Tensor same_class(const at::Tensor& logits, std::int64_t index) {
  require_class(index, logits.size(1));
  return logits.new_full({logits.size(0)}, index, at::kLong);
}

}  // namespace detail

/// The class with the largest logit, sample by sample: the prediction. Of equal ones, the first; of a single
/// logit, class 1 where it is above 0. Where a logit is NaN none is the largest, which is a TargetError.
struct ArgMax {
  /// The index of each row's largest logit, (N) int64. Throws TargetError for NaN.
  at::Tensor choose(const at::Tensor& logits) const {
    const auto [largest, index] = logits.detach().max(1);  // NaN if one of them is
    if (largest.isnan().any().item<bool>()) {
      throw TargetError(detail::concat("no class is the largest: the output of shape ", detail::shape(logits),
                                       " holds NaN in ", largest.isnan().sum().item<std::int64_t>(), " of ",
                                       logits.size(0),
                                       " samples; look for NaN or infinity in the input, or give the class"));
    }
    return index;
  }
};

/// The same class for every sample. A class the model does not have is a TargetError that names the range.
struct ClassIndex {
  std::int64_t index;  ///< from 0
  /// `index` for each row, (N) int64. Throws TargetError if there is no such class.
  at::Tensor choose(const at::Tensor& logits) const { return detail::same_class(logits, index); }
};

/// The position of `name` among `labels`: the label itself or, if no label is equal to it, the one that has
/// `name` between its commas ("tench, Tinca tinca" has the names "tench" and "Tinca tinca"). Throws
/// TargetError if there is no such label (the nearest are named) or several (their indices are named).
inline std::int64_t find_label(const std::string& name, const Labels& labels) {
  const auto is_name = [&name](const std::string& label) { return label == name; };
  const auto has_name = [&name](const std::string& label) {
    for (std::size_t begin = 0; begin <= label.size();) {
      const std::size_t end = std::min(label.find(',', begin), label.size());
      const std::size_t word = std::min(label.find_first_not_of(' ', begin), end);
      if (label.compare(word, end - word, name) == 0) return true;
      begin = end + 1;
    }
    return false;
  };
  std::vector<std::size_t> hits;
  const auto collect = [&](const auto& matches) {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (matches(labels[i])) hits.push_back(i);
    }
  };
  collect(is_name);
  if (hits.empty() && !name.empty()) collect(has_name);
  if (hits.size() == 1) return static_cast<std::int64_t>(hits.front());
  const std::string shown = detail::shortened(name);
  if (labels.empty()) throw TargetError(detail::concat("there are no labels to find '", shown, "' in"));
  if (hits.empty()) {
    throw TargetError(
        detail::concat("there is no label '", shown, "'; the nearest are ", detail::nearest(shown, labels)));
  }
  std::string indices;
  for (const std::size_t hit : hits) indices += detail::concat(indices.empty() ? "" : ", ", hit);
  throw TargetError(detail::concat("the label '", shown, "' is ambiguous: it stands for the classes ",
                                   indices, "; give the index"));
}

/// The class of that name for every sample; see find_label for what counts as its name and for the errors.
struct ClassName {
  std::string name;  ///< as in the labels, or one of the names that commas part in a label
  /// In the order of the model's outputs. Of a single logit one label "X" may name class 1; class 0 is "not
  /// X".
  Labels labels;
  /// The index of the name for each row, (N) int64. Throws TargetError as find_label, and if the model has no
  /// such class.
  at::Tensor choose(const at::Tensor& logits) const {
    return detail::same_class(logits, find_label(name, labels));
  }
  /// The same of an output that says whether it is a single logit.
  at::Tensor of(const ClassOutput& output) const {
    if (!output.single() || labels.size() != 1) return choose(output.rows());
    // Not by way of binary_labels, where a name between commas would stand for both.
    if (name == binary_labels(labels).front()) return detail::same_class(output.rows(), 0);
    return detail::same_class(output.rows(), find_label(name, labels) + 1);
  }
};

/// One class index per sample. Another number of indices than samples is a TargetError.
struct PerSample {
  std::vector<std::int64_t> indices;  ///< one for each sample of the batch, from 0
  /// `indices` as (N) int64. Throws TargetError if they are not one for each row, or not all classes of the
  /// model.
  at::Tensor choose(const at::Tensor& logits) const {
    if (static_cast<std::int64_t>(indices.size()) != logits.size(0)) {
      throw TargetError(
          detail::concat("there are ", indices.size(), " target indices for ", logits.size(0), " samples"));
    }
    for (const std::int64_t index : indices) detail::require_class(index, logits.size(1));
    return detail::vector_tensor<std::int64_t>(indices).to(logits.device());
  }
};

/// The chosen class's raw output. The default, as in the vanilla-gradients paper (Simonyan et al. 2014),
/// since a probability can also be raised by lowering the other classes. Of a single logit z it is z for
/// class 1 and -z for class 0. A model that gives probabilities has no logits to show: its output is
/// explained as it stands.
struct Logit {
  /// (N), of the logits (N, K) and the chosen classes (N).
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& chosen) const {
    return logits.gather(1, chosen.unsqueeze(1)).squeeze(1);
  }
  /// (N), of an output, however it is to be read.
  at::Tensor of(const ClassOutput& output, const at::Tensor& chosen) const { return output.logit(chosen); }
};

/// The chosen class's probability, in [0, 1]: by softmax, by the sigmoid of a single logit, or the model's
/// own. A bare score, (N), has none, which is a TargetError.
struct Probability {
  /// (N), by softmax of the logits (N, K), of the chosen classes (N).
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& chosen) const {
    return Logit{}(logits.softmax(1), chosen);
  }
  /// (N), of an output, however it is to be read.
  at::Tensor of(const ClassOutput& output, const at::Tensor& chosen) const {
    return output.probability(chosen);
  }
};

/// The natural logarithm of the chosen class's probability; see Probability.
struct LogProbability {
  /// (N), by softmax of the logits (N, K), of the chosen classes (N).
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& chosen) const {
    return Logit{}(logits.log_softmax(1), chosen);
  }
  /// (N), of an output, however it is to be read.
  at::Tensor of(const ClassOutput& output, const at::Tensor& chosen) const {
    return output.log_probability(chosen);
  }
};

namespace detail {

template <class C>
concept ChoosesFromRows = requires(const C& choice, const at::Tensor& logits) {
  { choice.choose(logits) } -> std::convertible_to<at::Tensor>;
};
template <class C>
concept ChoosesFromOutput = requires(const C& choice, const ClassOutput& output) {
  { choice.of(output) } -> std::convertible_to<at::Tensor>;
};
template <class S>
concept ScoresLogits = requires(const S& score, const at::Tensor& logits, const at::Tensor& chosen) {
  { score(logits, chosen) } -> std::convertible_to<at::Tensor>;
};
template <class S>
concept ScoresOutput = requires(const S& score, const ClassOutput& output, const at::Tensor& chosen) {
  { score.of(output, chosen) } -> std::convertible_to<at::Tensor>;
};

}  // namespace detail

/// Picks a class index per sample, (N) int64: `choose(rows)` from ClassOutput::rows, a column a class, or
/// `of(output)` from the ClassOutput itself.
template <class C>
concept TargetChoice = detail::ChoosesFromRows<C> || detail::ChoosesFromOutput<C>;

/// Takes an output and the chosen class of each row, (N), to one score per sample, (N): a call from
/// ClassOutput::logits, whose softmax are the probabilities, or `of(output, chosen)` from the ClassOutput
/// itself, which goes first.
template <class S>
concept ClassScore = detail::ScoresLogits<S> || detail::ScoresOutput<S>;

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
template <Target T>
struct FixedTarget {
  T target;           ///< that scores
  at::Tensor chosen;  ///< (N) int64, or undefined if the target chooses nothing

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

}  // namespace salience
