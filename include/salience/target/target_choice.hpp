// Which class is explained: ArgMax, ClassIndex, ClassName, PerSample, and the concept TargetChoice.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/target/class_output.hpp>
#include <salience/target/prediction.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

namespace detail {

template <class C>
concept ChoosesFromRows = requires(const C& choice, const at::Tensor& logits) {
  { choice.choose(logits) } -> std::convertible_to<at::Tensor>;
};
template <class C>
concept ChoosesFromOutput = requires(const C& choice, const ClassOutput& output) {
  { choice.of(output) } -> std::convertible_to<at::Tensor>;
};

}  // namespace detail

/// Picks a class index per sample, (N) int64: `choose(rows)` from ClassOutput::rows, a column a class, or
/// `of(output)` from the ClassOutput itself.
template <class C>
concept TargetChoice = detail::ChoosesFromRows<C> || detail::ChoosesFromOutput<C>;

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

}  // namespace salience
