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
#include <salience/method/detail/absent.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of Occlusion.
struct OcclusionOptions {
  /// The size of the window along the last dimensions, each at least 1 and at most the input's; the
  /// dimensions before them are covered whole: {15, 15} of a picture covers all channels. Zeiler and Fergus
  /// name no size. Empty: a fifteenth of each place of (N, C, places...), or of D of (N, D), rounded up: 15 x
  /// 15 of 224 x 224 pixels.
  std::vector<std::int64_t> window{};
  /// For each of these, from 1 to its size. Empty: 1, as Captum's; where no window is given half of it,
  /// rounded up.
  std::vector<std::int64_t> stride{};
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
    if (options_.window.empty() && !options_.stride.empty())
      throw ArgumentError("a stride of Occlusion is for a window: give its sizes, too");
    if (options_.stride.size() != options_.window.size()) {
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
      const std::vector<Along> dimensions = windows_of(input);
      std::int64_t count = 1;
      for (const Along& along : dimensions) count *= along.places;
      const auto covered = [&](std::int64_t window, at::Tensor row) {
        for (std::size_t d = dimensions.size(); d-- > 0;) {
          const Along& along = dimensions[d];
          const std::int64_t dimension = row.dim() - static_cast<std::int64_t>(dimensions.size() - d);
          const std::int64_t begin = window % along.places * along.stride;
          row = row.narrow(dimension, begin, std::min(along.size, row.size(dimension) - begin));
          window /= along.places;
        }
        return row;
      };
      return over_windows(input, wanted, count, covered);
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// The windows along a dimension.
  struct Along {
    std::int64_t size, stride, places;
  };

  /// Those along the last dimensions of an input.
  std::vector<Along> windows_of(const at::Tensor& input) const {
    const bool chosen = !options_.window.empty();
    const std::int64_t first_place = std::min<std::int64_t>(2, input.dim() - 1);
    const auto count = chosen ? static_cast<std::int64_t>(options_.window.size()) : input.dim() - first_place;
    if (count >= input.dim() || count < 1) {
      throw ArgumentError::out_of_range(
          "the window of Occlusion", detail::concat(count, " sizes"),
          detail::concat("fewer than the dimensions of the input, ", detail::shape(input)));
    }
    std::vector<Along> dimensions;
    for (std::int64_t d = 0; d < count; ++d) {
      const std::int64_t size = input.size(input.dim() - count + d);
      const std::int64_t window = chosen ? options_.window[static_cast<std::size_t>(d)] : (size + 14) / 15;
      const std::int64_t stride = chosen ? options_.stride[static_cast<std::size_t>(d)] : (window + 1) / 2;
      if (window < 1 || window > size) {
        throw ArgumentError::out_of_range("a size of the window of Occlusion", window,
                                          detail::concat("at least 1 and at most the input's, ", size));
      }
      dimensions.push_back({window, stride, (size - window + stride - 1) / stride + 1});
    }
    return dimensions;
  }

  /// For each element f(x) - f(x with a window as in the baseline), on average over the windows that cover it
  /// and the baselines. `covered(window, row)` is a view of what the window covers of a row.
  template <class T, class Covered>
  Attribution over_windows(const at::Tensor& input, const T& target, std::int64_t windows,
                           const Covered& covered) const {
    const VariantScores scores(model_, input, at::Tensor(), target);
    Attribution result{scores.explained()};
    const detail::Absent absent(options_.baseline, input, detail::samples_of(target));
    const std::int64_t baselines = absent.count(), steps = windows * baselines;
    const std::vector<Variant> variants = all_variants(input.size(0), steps);
    const auto point = [&](const Variant& variant, const at::Tensor& out) {
      const std::int64_t window = variant.step / baselines, baseline = variant.step % baselines;
      at::Tensor stays;
      if (absent.inpaints(baseline)) {
        stays = detail::empty(input[0].sizes(), at::kBool).fill_(true);
        covered(window, stays).fill_(false);
      }
      out.copy_(input[variant.sample].detach());
      covered(window, out).copy_(covered(window, absent(variant.sample, baseline, stays)));
    };
    std::size_t done = 0;
    const auto told = [&](const Progress& progress) {
      ++done;
      result.stopped = options_.progress && !options_.progress(progress);
      return !result.stopped;
    };
    const at::Tensor table = scores(variants, steps, options_.chunk, point, told);
    const double *rows = table.template data_ptr<double>(),
                 *clean = scores.clean().template data_ptr<double>();
    const at::Tensor sum = detail::empty(input.sizes(), at::kDouble).zero_(),
                     count = detail::empty(input.sizes(), at::kDouble).zero_();
    for (std::size_t i = 0; i < done; ++i) {
      const auto [sample, step] = variants[i];
      covered(step / baselines, sum[sample]).add_(clean[sample] - rows[sample * steps + step]);
      covered(step / baselines, count[sample]).add_(1.0);
    }
    result.values = sum.div(count.clamp_min(1.0)).to(input.device(), input.scalar_type());
    return result;
  }

  mutable M model_;  // a model's call operator may be non-const
  OcclusionOptions options_;
};

}  // namespace salience
