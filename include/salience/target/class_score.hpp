// Which score of a class is explained: Logit, Probability, LogProbability, and the concept ClassScore.
#pragma once

#include <concepts>

#include <ATen/core/Tensor.h>

#include <salience/target/class_output.hpp>

namespace salience {

namespace detail {

template <class S>
concept ScoresLogits = requires(const S& score, const at::Tensor& logits, const at::Tensor& chosen) {
  { score(logits, chosen) } -> std::convertible_to<at::Tensor>;
};
template <class S>
concept ScoresOutput = requires(const S& score, const ClassOutput& output, const at::Tensor& chosen) {
  { score.of(output, chosen) } -> std::convertible_to<at::Tensor>;
};

}  // namespace detail

/// Takes an output and the chosen class of each row, (N), to one score per sample, (N): a call from
/// ClassOutput::logits, whose softmax are the probabilities, or `of(output, chosen)` from the ClassOutput
/// itself, which goes first.
template <class S>
concept ClassScore = detail::ScoresLogits<S> || detail::ScoresOutput<S>;

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

}  // namespace salience
