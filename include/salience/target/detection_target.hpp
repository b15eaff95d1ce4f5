// DetectionTarget: a class of a detector, at the box where it was found.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What a detector's output looks like.
struct DetectionLayout {
  std::int64_t first_class =
      0;  ///< the column of class 0: 4 behind the coordinates of a box, 5 behind an objectness
  bool boxes_last = false;  ///< (N, columns, boxes), as YOLOv8 gives, not (N, boxes, columns)
};

/// The score of one class at one box, of an output (N, boxes, columns) with a column for each class. The box
/// is chosen once, on the clean input: the one where the class scores highest, or a number of the user's own.
///
///     Attribution a = vanilla(x, DetectionTarget{16, {.first_class = 4, .boxes_last = true}});
///     Attribution b = vanilla(x, DetectionTarget{16, {}, 37});  // box 37 of each sample
///
/// A Target; `Attribution::target` is the box, (N) int64. Detectors whose last step is a non-maximum
/// suppression have no gradient behind it: explain the tensor before it (ModelOptions::output,
/// GraphModel::until). Throws TargetError for an output of another shape.
class DetectionTarget {
 public:
  /// A class, at the box where it scores highest.
  explicit DetectionTarget(std::int64_t index, DetectionLayout layout = {})
      : index_(index), layout_(layout) {}
  /// A class, at this box of each sample.
  DetectionTarget(std::int64_t index, DetectionLayout layout, std::int64_t box)
      : index_(index), layout_(layout), box_(box) {
    if (box < 0) throw ArgumentError::out_of_range("box", box, "at least 0");
  }

  /// The boxes, (N) int64.
  at::Tensor choose(const at::Tensor& output) const {
    const at::Tensor scores = this->scores(output);
    if (box_ < 0) return scores.argmax(1);
    if (box_ >= scores.size(1)) {
      throw TargetError(detail::concat("there is no box ", box_, " among ", scores.size(1)));
    }
    return scores.new_full({scores.size(0)}, box_, at::kLong);
  }

  /// (N), at the boxes that were chosen.
  at::Tensor score(const at::Tensor& output, const at::Tensor& boxes) const {
    return scores(output).gather(1, boxes.unsqueeze(1)).squeeze(1);
  }

 private:
  /// (N, boxes)
  at::Tensor scores(const at::Tensor& output) const {
    const std::int64_t columns = layout_.boxes_last ? 1 : 2, column = layout_.first_class + index_;
    if (output.dim() != 3 || index_ < 0 || column < 0 || column >= output.size(columns)) {
      throw TargetError(detail::concat("a detection of class ", index_, " needs an output (N, ",
                                       layout_.boxes_last ? "columns, boxes" : "boxes, columns",
                                       ") with a column ", column, ", not of shape ", detail::shape(output)));
    }
    return output.select(columns, column);
  }

  std::int64_t index_;
  DetectionLayout layout_;
  std::int64_t box_ = -1;
};

}  // namespace salience
