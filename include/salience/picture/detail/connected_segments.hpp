// Segments of one piece each, from labels that may lie in many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <salience/picture/segments.hpp>

namespace salience::detail {

/// Makes segments of the connected pieces of labels, four neighbours to a pixel: pieces of fewer than
/// `minimum` pixels go to the segment beside them that was met last, pieces of more than `maximum` are cut
/// there.
inline Segments connected_segments(const std::vector<std::int32_t>& labels, int height, int width,
                                   std::size_t minimum, std::size_t maximum) {
  const auto columns = static_cast<std::size_t>(width);
  Segments segments{.height = height, .width = width, .labels = {}, .count = 0};
  segments.labels.assign(labels.size(), -1);
  std::vector<std::size_t> piece;
  piece.reserve(maximum);
  std::int32_t next = 0;
  for (std::size_t start = 0; start < labels.size(); ++start) {
    if (segments.labels[start] >= 0) continue;
    segments.labels[start] = next;
    piece.assign(1, start);
    std::int32_t beside = next;
    const auto visit = [&](bool inside, std::size_t i) {
      if (!inside || piece.size() == maximum) return;
      if (labels[i] == labels[start] && segments.labels[i] < 0) {
        segments.labels[i] = next;
        piece.push_back(i);
      } else if (segments.labels[i] >= 0 && segments.labels[i] != next) {
        beside = segments.labels[i];
      }
    };
    for (std::size_t seen = 0; seen < piece.size() && piece.size() < maximum; ++seen) {
      const std::size_t i = piece[seen], x = i % columns;
      visit(x + 1 < columns, i + 1);
      visit(x > 0, i - 1);
      visit(i + columns < labels.size(), i + columns);
      visit(i >= columns, i - columns);
    }
    if (piece.size() >= minimum) {
      ++next;
    } else {  // the picture's first piece has none beside it and shares its number with the next
      for (const std::size_t i : piece) segments.labels[i] = beside;
    }
  }
  segments.count = *std::max_element(segments.labels.begin(), segments.labels.end()) + 1;
  return segments;
}

/// Leaves out numbers that no pixel has.
inline Segments without_gaps(std::vector<std::int32_t> labels, std::size_t numbers, int height, int width) {
  std::vector<std::int32_t> renumbered(numbers);
  for (const std::int32_t label : labels) renumbered[static_cast<std::size_t>(label)] = 1;
  std::int32_t count = 0;
  for (std::int32_t& number : renumbered) number = number != 0 ? count++ : -1;
  for (std::int32_t& label : labels) label = renumbered[static_cast<std::size_t>(label)];
  return {.height = height, .width = width, .labels = std::move(labels), .count = count};
}

}  // namespace salience::detail
