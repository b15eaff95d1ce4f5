// What a model file says of the input that it takes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The sizes of a model's input, the batch first; of a dimension that may have any size nothing. Empty where
/// the file says nothing, as TorchScript.
using InputSizes = std::vector<std::optional<std::int64_t>>;

/// "(N, 3, 224, 224)"; "?" is a size that may vary.
inline std::string shape_text(const InputSizes& sizes) {
  std::string text = "(";
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    text += detail::concat(i ? ", " : "", sizes[i] ? std::to_string(*sizes[i]) : i ? "?" : "N");
  }
  return text + ")";
}

namespace detail {

/// How a size may vary: it is `factor` times a number of that name, and `offset`.
struct SizeRule {
  std::string symbol;
  std::int64_t factor = 1, offset = 0;
};

struct SizeRange {
  std::int64_t least = 0, most = std::numeric_limits<std::int64_t>::max();
};

/// All that a file says of its input.
struct InputShape {
  InputSizes sizes{};
  std::vector<std::optional<SizeRule>> rules{};  ///< one for each size; nothing where nothing is known
  std::map<std::string, SizeRange> ranges{};     ///< of symbols
  std::optional<at::ScalarType> whole{};         ///< its type, if it has no fractions
  bool batch_only = false;                       ///< only the size of the batch is known, not even the rank

  /// The same of a tensor that is computed from the input.
  InputShape of_batch() const {
    InputShape batch;
    batch.batch_only = true;
    if (sizes.empty()) return batch;
    batch.sizes = {sizes[0]};
    batch.rules = {rules.at(0)};
    batch.ranges = ranges;
    return batch;
  }

  /// How many samples the model takes at once, where there are so many.
  std::int64_t batch_of(std::int64_t rows) const {
    if (sizes.empty()) return rows;
    if (sizes[0]) return *sizes[0];
    const auto& rule = rules.at(0);
    if (!rule || rule->factor != 1 || rule->offset != 0) return rows;
    const auto range = ranges.find(rule->symbol);
    return range == ranges.end() ? rows : std::clamp(rows, range->second.least, range->second.most);
  }

  /// Whether the model takes so many samples at once.
  bool takes(std::int64_t rows) const { return sizes.empty() || batch_of(rows) == rows; }

  /// Fails for an input that the model cannot take, since it would compute something else for it than in
  /// Python. The size of the batch is not looked at: see batch_of.
  void require(const at::Tensor& input) const {
    if (whole && input.is_floating_point()) {
      throw ModelError(concat(
          "the model was exported for inputs of type ", *whole, ", not ", input.scalar_type(),
          "; with respect to such an input there is no gradient: explain the model at a layer behind it, "
          "model.from(LAYER, x)"));
    }
    if (sizes.empty() || batch_only) return;
    const auto fail = [&](const auto&... what) {
      return ModelError(concat("the model was exported for inputs of shape ", shape_text(sizes), what...,
                               ", not ", shape(input)));
    };
    const auto rank = static_cast<std::int64_t>(sizes.size());
    if (rank == input.dim() + 1) {
      throw ModelError(concat(fail().what(), "; is the batch dimension missing? x.unsqueeze(0) adds it"));
    }
    if (rank != input.dim()) throw fail();
    std::map<std::string, std::int64_t> numbers;
    for (std::size_t i = 1; i < sizes.size(); ++i) {
      const std::int64_t size = input.size(static_cast<std::int64_t>(i));
      if (sizes[i] && *sizes[i] != size) throw fail();
      if (!rules.at(i)) continue;
      const auto& [symbol, factor, offset] = *rules[i];
      const std::int64_t number = (size - offset) / factor;
      if (number < 0 || number * factor + offset != size) {
        throw fail(", with a multiple of ", factor, offset == 0 ? "" : concat(" and ", offset),
                   " in dimension ", i);
      }
      if (const auto range = ranges.find(symbol);
          range != ranges.end() && (number < range->second.least || number > range->second.most)) {
        const SizeRange& bounds = range->second;
        throw fail(", with at least ", bounds.least * factor + offset,
                   bounds.most < std::numeric_limits<std::int32_t>::max()
                       ? concat(" and at most ", bounds.most * factor + offset)
                       : "",
                   " in dimension ", i);
      }
      if (const auto known = numbers.emplace(symbol, number).first; known->second != number) {
        throw fail(", with sizes that hang together: dimension ", i, " must be ",
                   known->second * factor + offset);
      }
    }
  }
};

}  // namespace detail
}  // namespace salience
