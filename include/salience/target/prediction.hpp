// Predictions: labels from a text file, probabilities, top-k.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/target/class_output.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The names of the classes, in the order of the model's outputs.
using Labels = std::vector<std::string>;

/// Reads one label a line, in the order of the classes; a byte order mark of UTF-8 at the file's beginning, a
/// carriage return at a line's end and empty lines at the file's end are dropped. Throws FileError if the
/// file cannot be read or holds no label.
inline Labels load_labels(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  constexpr std::string_view mark = "\xef\xbb\xbf";
  std::string text(bytes.begin(), bytes.end());
  if (text.starts_with(mark)) text.erase(0, mark.size());
  std::istringstream file(std::move(text));
  Labels labels;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find('\0') != std::string::npos) throw detail::file_error(path, "is not a text file of labels");
    labels.push_back(std::move(line));
  }
  while (!labels.empty() && labels.back().empty()) labels.pop_back();
  if (labels.empty()) throw detail::file_error(path, "holds no labels");
  return labels;
}

/// The names of the two classes of a single logit: of one label "X", "not X" and "X"; else the labels.
inline Labels binary_labels(const Labels& labels) {
  return labels.size() == 1 ? Labels{"not " + labels.front(), labels.front()} : labels;
}

/// One class of a prediction.
struct Prediction {
  std::int64_t index;  ///< of the class, from 0
  std::string label;   ///< the class's name; its index as text if it has none
  double probability;  ///< of the class, in [0, 1]
  double logit;        ///< the model's raw output; of class 0 of a single logit, its negative
};

/// The `k` most probable classes of one sample, best first; equal ones by index. A k above the number of
/// classes gives all of them.
///
/// `logits` is the model's output for one sample, (K) or (1, K), of any floating type and device, read as
/// `type` says: a softmax is taken in float64; what are probabilities already stays as it is, which is a
/// warning (TORCH_WARN) if `type` does not state it; (1, 1) is a single logit, of which one label "X" names
/// the classes "not X" and "X". See ClassOutput. A number of labels (if there are any) other than that of
/// classes is a warning, not an error. Throws ArgumentError for another shape, a k below 1, and NaN or
/// infinity that leave no probability, TargetError for stated probabilities outside of [0, 1].
inline std::vector<Prediction> top_k(const at::Tensor& logits, const Labels& labels = {}, std::int64_t k = 5,
                                     OutputType type = OutputType::automatic) {
  const bool one_sample =
      logits.defined() && (logits.dim() == 1 || (logits.dim() == 2 && logits.size(0) == 1));
  if (!one_sample) {
    throw ArgumentError::out_of_range("logits", detail::shape(logits), "of shape (K) or (1, K), one sample");
  }
  if (logits.dim() == 1 && logits.size(0) == 1) {
    throw ArgumentError::out_of_range(
        "logits", "(1)", "of several classes; a single logit is (1, 1), and a bare score has no probability");
  }
  if (k < 1) throw ArgumentError::out_of_range("k", k, "at least 1");
  const ClassOutput output(logits.detach().cpu().reshape({1, -1}), type);
  output.notice();
  const at::Tensor values = output.widened().rows().reshape({-1}).contiguous();
  const std::int64_t classes = values.size(0);
  const Labels names = output.single() ? binary_labels(labels) : labels;
  if (!names.empty() && static_cast<std::int64_t>(names.size()) != classes) {
    TORCH_WARN(detail::concat("Salience: there are ", names.size(), " labels for ", classes, " classes"));
  }
  const at::Tensor probabilities = output.widened().probabilities().reshape({-1}).contiguous();
  if (probabilities.isnan().any().item<bool>()) {
    const auto count = [](const at::Tensor& which) { return which.sum().item<std::int64_t>(); };
    throw ArgumentError::out_of_range(
        "logits",
        detail::concat(count(values.isnan()), " NaN and ", count(values.isinf()), " infinite of ", classes,
                       " values"),
        "numbers that have a softmax");
  }
  const at::Tensor order =
      std::get<1>(values.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true)).contiguous();

  std::vector<Prediction> best;
  for (std::int64_t rank = 0; rank < std::min(k, classes); ++rank) {
    const std::int64_t index = order.data_ptr<std::int64_t>()[rank];
    const auto position = static_cast<std::size_t>(index);
    best.push_back({.index = index,
                    .label = position < names.size() ? names[position] : std::to_string(index),
                    .probability = probabilities.data_ptr<double>()[index],
                    .logit = values.data_ptr<double>()[index]});
  }
  return best;
}

}  // namespace salience
