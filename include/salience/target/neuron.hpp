// Neuron: one value of an output, as the score.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// One value of the output for each sample, by its position behind the batch: `Neuron{7}` of (N, C),
/// `Neuron{7, 3, 5}` of (N, C, h, w). With a model until a layer it explains a neuron of that layer by any
/// method:
///
///     const Attribution a = GuidedBackprop{model.until("features.10")}(x, Neuron{7, 3, 5});
///
/// A ScoreFunction. Throws TargetError for a position that the output does not have.
class Neuron {
 public:
  /// By its position in each dimension but the batch's, from 0.
  template <class... Rest>
  requires(std::is_integral_v<Rest>&&...) explicit Neuron(std::int64_t first, Rest... rest)
      : position_{first, static_cast<std::int64_t>(rest)...} {}
  /// The same. Throws ArgumentError if there is none.
  explicit Neuron(std::vector<std::int64_t> position) : position_(std::move(position)) {
    if (position_.empty())
      throw ArgumentError::out_of_range("the position of a neuron", "none", "one or several");
  }

  /// (N), from an output with as many dimensions behind the batch as there are positions.
  at::Tensor operator()(const at::Tensor& output) const {
    at::Tensor value = output;
    if (output.dim() != static_cast<std::int64_t>(position_.size()) + 1) throw no_such(output);
    for (const std::int64_t i : position_) {
      if (i < 0 || i >= value.size(1)) throw no_such(output);
      value = value.select(1, i);
    }
    return value;
  }

 private:
  TargetError no_such(const at::Tensor& output) const {
    return TargetError(detail::concat("there is no neuron at ", at::IntArrayRef(position_),
                                      " in an output of shape ", detail::shape(output),
                                      ": a position is needed for each dimension but the first"));
  }

  std::vector<std::int64_t> position_;
};

}  // namespace salience
