// Occlusion: what happens to the score when a window of the input is covered.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/ablation.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of Occlusion.
struct OcclusionOptions {
  /// The size of the window along the last dimensions, each at least 1 and at most the input's; the
  /// dimensions before them are covered whole: {15, 15} of a picture covers all channels. Zeiler and Fergus
  /// name no size.
  std::vector<std::int64_t> window{15, 15};
  std::vector<std::int64_t> stride{};    ///< for each of these, from 1 to its size; empty: 1, as Captum's
  Baseline baseline = Baseline::zero();  ///< what stands in the window; of several, the mean of the changes
  std::int64_t chunk = 0;                ///< windows evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};           ///< told after each window; false stops and gives what there is
};

/// Occlusion (Zeiler, Fergus: "Visualizing and Understanding Convolutional Networks", 2014): a window goes
/// over the input, and each element gets \f$ s_c(x) - s_c(x_w) \f$, the score without the window's content
/// taken from the score, on average over the windows w that cover it.
///
///     Occlusion method{model, {.window = {15, 15}, .stride = {8, 8}}};
///     Attribution a = method(x);  // in the score's unit: how much of it goes with what is there
///
/// A window stands at every `stride`-th place, \f$ \lceil (size - window) / stride \rceil + 1 \f$ of them
/// along a dimension; the last one is cut off at the edge, so that all is covered. It is a forward pass for
/// each window, of which nothing is recorded: any model will do, and the target needs no gradient. The class
/// is chosen once, on the input. The result of a run that is stopped is the mean over the windows that were
/// evaluated, 0 where there was none. Same as Captum's Occlusion. Throws ArgumentError for options out of
/// range and a baseline that does not fit, and what the model throws.
template <class M>
class Occlusion {
 public:
  /// `model` is any Model.
  explicit Occlusion(M model, OcclusionOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
    if (options_.stride.empty()) options_.stride.assign(options_.window.size(), 1);
    if (options_.window.empty() || options_.stride.size() != options_.window.size()) {
      throw ArgumentError(detail::concat("the window of Occlusion has ", options_.window.size(),
                                         " sizes, and there are ", options_.stride.size(), " strides"));
    }
    for (std::size_t d = 0; d < options_.stride.size(); ++d) {
      if (options_.stride[d] < 1 || options_.stride[d] > std::max<std::int64_t>(options_.window[d], 1)) {
        throw ArgumentError::out_of_range(
            "a stride of Occlusion", options_.stride[d],
            detail::concat("at least 1 and at most the window's size, ", options_.window[d]));
      }
    }
  }

  /// The mean change for each element of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      const std::vector<std::int64_t> places = places_of(input);
      std::int64_t count = 1;
      for (const std::int64_t along : places) count *= along;
      const auto covered = [&](std::int64_t, std::int64_t window, at::Tensor row) {
        for (std::size_t d = places.size(); d-- > 0;) {
          const std::int64_t dimension = row.dim() - static_cast<std::int64_t>(places.size() - d);
          const std::int64_t begin = window % places[d] * options_.stride[d];
          row = row.narrow(dimension, begin, std::min(options_.window[d], row.size(dimension) - begin));
          window /= places[d];
        }
        return row;
      };
      return detail::ablated(model_, input, wanted, {options_.baseline, options_.chunk, options_.progress},
                             std::vector(static_cast<std::size_t>(input.size(0)), count), covered);
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// How many windows stand along each dimension.
  std::vector<std::int64_t> places_of(const at::Tensor& input) const {
    const auto count = static_cast<std::int64_t>(options_.window.size());
    if (count >= input.dim()) {
      throw ArgumentError::out_of_range(
          "the window of Occlusion", detail::concat(count, " sizes"),
          detail::concat("fewer than the dimensions of the input, ", detail::shape(input)));
    }
    std::vector<std::int64_t> places;
    for (std::int64_t d = 0; d < count; ++d) {
      const std::int64_t size = input.size(input.dim() - count + d);
      const std::int64_t window = options_.window[static_cast<std::size_t>(d)];
      const std::int64_t stride = options_.stride[static_cast<std::size_t>(d)];
      if (window < 1 || window > size) {
        throw ArgumentError::out_of_range("a size of the window of Occlusion", window,
                                          detail::concat("at least 1 and at most the input's, ", size));
      }
      places.push_back((size - window + stride - 1) / stride + 1);
    }
    return places;
  }

  mutable M model_;  // a model's call operator may be non-const
  OcclusionOptions options_;
};

}  // namespace salience
