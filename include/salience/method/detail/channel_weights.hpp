// What class activation maps have in common that try a layer's channels one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/class_activation_map.hpp>
#include <salience/method/streaming.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// The scores of a layer's channels, each (N, C) on the CPU.
struct ChannelScores {
  at::Tensor scores;     ///< float64; 0 where there is none
  at::Tensor evaluated;  ///< bool, whether there is one
};

/// Which channels of which samples are to be tried, of one layer after the other, and how far that is.
class ChannelRun {
 public:
  ChannelRun(std::int64_t chunk, ProgressCallback progress) : chunk_(chunk), progress_(std::move(progress)) {}

  /// One more layer, of which those channels are tried that are marked in `tried`, (N, C) bool on the CPU.
  void add(const at::Tensor& tried) {
    const at::Tensor marks = tried.contiguous();
    const bool* marked = marks.data_ptr<bool>();
    std::vector<Variant> variants;
    variants.reserve(static_cast<std::size_t>(marks.numel()));
    for (const Variant& variant : all_variants(marks.size(0), marks.size(1))) {
      if (marked[variant.sample * marks.size(1) + variant.step]) variants.push_back(variant);
    }
    total_ += static_cast<std::int64_t>(variants.size());
    layers_.push_back({std::move(variants), marks.size(0), marks.size(1)});
  }

  /// Evaluates those of layer i. `scores` is a VariantScores, `point(variant, out)` writes what is evaluated
  /// of channel `variant.step`; `chunk` is how many at once if the user did not say.
  template <class Scores, class Point>
  ChannelScores operator()(std::size_t i, const Scores& scores, std::int64_t chunk, const Point& point) {
    const Layer& layer = layers_.at(i);
    std::size_t done_here = 0;
    const auto told = [&](const Progress&) {
      ++done_here;
      ++done_;
      stopped_ = progress_ && !progress_({.done = done_, .total = total_, .error = -1.0});
      return !stopped_;
    };
    const at::Tensor table = scores(layer.variants, layer.channels, chunk_ > 0 ? chunk_ : chunk, point, told);
    ChannelScores result{empty({layer.samples, layer.channels}, at::kDouble).zero_(),
                         empty({layer.samples, layer.channels}, at::kBool).zero_()};
    for (std::size_t k = 0; k < done_here; ++k) {
      const std::int64_t place = layer.variants[k].sample * layer.channels + layer.variants[k].step;
      result.scores.data_ptr<double>()[place] = table.data_ptr<double>()[place];
      result.evaluated.data_ptr<bool>()[place] = true;
    }
    return result;
  }

  /// Whether the progress callback ended it.
  bool stopped() const noexcept { return stopped_; }

 private:
  struct Layer {
    std::vector<Variant> variants;
    std::int64_t samples, channels;
  };

  std::int64_t chunk_;
  ProgressCallback progress_;
  std::vector<Layer> layers_;
  std::int64_t total_ = 0, done_ = 0;
  bool stopped_ = false;
};

/// A layer's signed map (N, 1, h, w), of weights (N, C).
inline at::Tensor weighted_sum(const at::Tensor& grid, const at::Tensor& weights) {
  const at::Tensor a = in_four_dimensions(grid);
  return a.mul(weights.to(a.device(), a.scalar_type()).view({a.size(0), a.size(1), 1, 1})).sum({1}, true);
}

}  // namespace salience::detail
