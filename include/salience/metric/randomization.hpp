// RandomizationCheck: whether a map depends on what the model has learnt.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/metric/similarity.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// How alike the map stayed at each level: (N, L) float64, on the CPU; see similarity.hpp for their range.
struct RandomizationSimilarity {
  at::Tensor spearman;      ///< rank correlation of the pixels
  at::Tensor spearman_abs;  ///< the same of their magnitudes
  /// SSIM of the maps of pixels, each divided by its largest magnitude; undefined for maps below 7x7 pixels,
  /// signals and volumes
  at::Tensor ssim;
};

/// The model parameter randomisation test (Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: "Sanity Checks
/// for Saliency Maps", 2018): the map of the trained model against the maps of models of which more and more
/// layers (cascading), or one after the other (independent), are random.
///
///     const RandomizedModel random{model, {.order = RandomizationOrder::cascading}};  // for a model file
///     RandomizationCheck check{GradientAttributor{model},
///                              [&](std::int64_t level) { return GradientAttributor{random(level)}; }};
///     RandomizationSimilarity alike = check(x, std::ssize(random.layers()));
///
/// `randomized(level)` gives the method on the model of that level, from 0 on: of any kind, so also of other
/// models than files. Lower is better: a map that stays as it was shows the input, not the model (an
/// edge detector keeps 1 everywhere); a good one falls towards 0. The class is chosen once, by the trained
/// model, and held. Throws ArgumentError for no levels, and what the methods throw.
template <class A, class Randomized>
class RandomizationCheck {
 public:
  /// The method on the trained model, and on that of each level.
  explicit RandomizationCheck(A attributor, Randomized randomized, PixelMapOptions map = {})
      : attributor_(std::move(attributor)), randomized_(std::move(randomized)), map_(map) {
    static_assert(
        Attributor<A> &&
            requires(const Randomized& random) {
              { random(std::int64_t{}) } -> Attributor;
            },
        "Salience: RandomizationCheck takes an attributor and a callable from a level to an attributor");
  }

  /// The similarities of a batch at levels 0 to `levels` - 1, each (N, levels) float64 on the CPU.
  template <class T = TargetSelector<>>
  RandomizationSimilarity operator()(const at::Tensor& input, std::int64_t levels,
                                     const T& target = T{}) const {
    if (levels < 1) throw ArgumentError::out_of_range("levels", levels, "at least 1");
    return enter(input, target, [&](const auto& wanted) {
      const Attribution trained = attributor_(input, wanted);
      const auto selector = detail::read_as(wanted, trained.output_type);
      const auto pixels = [&](const Attribution& a) {
        return a.values_of == ValuesOf::layer ? detail::pixels_of(a.values, map_)
                                              : detail::pixels_for(input, a.values, map_);
      };
      const at::Tensor map = pixels(trained);
      const bool pictures = map.dim() == 3 && map.size(1) >= 7 && map.size(2) >= 7;
      RandomizationSimilarity result;
      const auto table = [&] { return detail::empty({map.size(0), levels}, at::kDouble); };
      result.spearman = table();
      result.spearman_abs = table();
      if (pictures) result.ssim = table();
      for (std::int64_t level = 0; level < levels; ++level) {
        const Attribution random = randomized_(level)(input, FixedTarget{selector, trained.target});
        const at::Tensor other = pixels(random);
        result.spearman.select(1, level).copy_(salience::spearman(map, other));
        result.spearman_abs.select(1, level).copy_(salience::spearman(map.abs(), other.abs()));
        if (pictures) result.ssim.select(1, level).copy_(salience::ssim(scaled(map), scaled(other)));
      }
      return result;
    });
  }

 private:
  static at::Tensor scaled(const at::Tensor& map) {
    const at::Tensor largest = map.abs().amax({1, 2}, /*keepdim=*/true);
    return map.div(largest.masked_fill(largest.eq(0.0), 1.0));
  }

  A attributor_;
  Randomized randomized_;
  PixelMapOptions map_;
};

}  // namespace salience
