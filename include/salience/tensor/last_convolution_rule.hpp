// Which of the convolutions of a model is the last one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace salience::detail {

/// The convolution that the empty name of a layer means, among those that ran.
///
/// The depth of a convolution is how many convolutions the longest way of the data from the model's input to
/// its output goes through: 1 + the greatest depth of what it is given. The last convolution is the deepest
/// one that gives more than one position, so that it is neither the shortcut of a residual block, which may
/// come last in the program, nor what stands behind a pooling to one position (squeeze and excitation, a
/// classifier of 1x1 convolutions). Of equally deep ones it is the one that ran last; if none gives more than
/// one position, the deepest.
///
/// ScriptModel has the depths from the graph (graph/convolutions.hpp), LastConvolution from the operators as
/// they run. They differ in two things that the graph does not know. A convolution in a loop has one depth in
/// the graph, that of its second round. And the graph gives no convolution that is less deep than one that
/// always runs and stands behind no pooling to one position, though for a small input that one may give one
/// position only.
/// @param outputs   what the convolutions gave, (N, C, ...), in the order in which they ran; at least one
/// @param depths    one for each
/// @return          the position of the last convolution
inline std::size_t last_convolution(const std::vector<at::Tensor>& outputs,
                                    const std::vector<std::int64_t>& depths) {
  const auto rank = [&](std::size_t i) {
    const at::IntArrayRef sizes = outputs[i].sizes();
    const bool grid = std::any_of(sizes.begin() + std::min<std::ptrdiff_t>(2, std::ssize(sizes)), sizes.end(),
                                  [](std::int64_t size) { return size > 1; });
    return std::pair(grid, depths[i]);
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < outputs.size(); ++i) {
    if (rank(i) >= rank(best)) best = i;
  }
  return best;
}

}  // namespace salience::detail
