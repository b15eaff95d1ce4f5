// Predictions: labels from a text file, softmax, top-k.
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

#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>
#include <salience/file.hpp>

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

/// One class of a prediction.
struct Prediction {
  std::int64_t index;  ///< of the class, from 0
  std::string label;   ///< the class's name; its index as text if it has none
  double probability;  ///< softmax over all classes, in [0, 1]
  double logit;        ///< the model's raw output
};

/// The `k` most probable classes of one sample, best first; equal ones by index. A k above the number of
/// classes gives all of them.
///
/// `logits` is the model's output for one sample, (K) or (1, K), of any floating type and device; the softmax
/// is taken in float64. A number of labels (if there are any) other than K is a warning (TORCH_WARN), not an
/// error. Throws ArgumentError for another shape, a k below 1, and NaN or infinity that leave no probability.
inline std::vector<Prediction> top_k(const at::Tensor& logits, const Labels& labels = {},
                                     std::int64_t k = 5) {
  const bool one_sample =
      logits.defined() && (logits.dim() == 1 || (logits.dim() == 2 && logits.size(0) == 1));
  if (!one_sample) {
    throw ArgumentError::out_of_range("logits", detail::shape(logits), "of shape (K) or (1, K), one sample");
  }
  if (k < 1) throw ArgumentError::out_of_range("k", k, "at least 1");
  const at::Tensor values = logits.detach().to(at::kCPU, at::kDouble).reshape({-1});
  const std::int64_t classes = values.size(0);
  if (!labels.empty() && static_cast<std::int64_t>(labels.size()) != classes) {
    TORCH_WARN(detail::concat("Salience: there are ", labels.size(), " labels for ", classes, " classes"));
  }
  const at::Tensor probabilities = values.softmax(0);
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
                    .label = position < labels.size() ? labels[position] : std::to_string(index),
                    .probability = probabilities.data_ptr<double>()[index],
                    .logit = values.data_ptr<double>()[index]});
  }
  return best;
}

}  // namespace salience
