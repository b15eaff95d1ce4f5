// ROAD: deletion in which removed pixels are imputed from their neighbours.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/noise.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/class_output.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/linear_imputation.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// 1 where the chosen class is the predicted one, else 0: the score whose mean over many samples is the
/// accuracy that the ROAD paper plots.
struct Predicted {
  /// (N), of the logits (N, K) and the chosen classes (N).
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& chosen) const {
    return logits.argmax(1).eq(chosen).to(logits.scalar_type());
  }
  /// (N), of an output, however it is to be read.
  at::Tensor of(const ClassOutput& output, const at::Tensor& chosen) const {
    return (*this)(output.rows(), chosen);
  }
};

/// The options of Road.
struct RoadOptions {
  std::vector<double> fractions{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};  ///< removed; each in [0, 1)
  double noise = 0.01;          ///< standard deviation of what is added to imputed pixels; the paper's choice
  std::uint64_t seed = 0;       ///< the same seed gives the same noise, bit for bit
  PixelMapOptions map{};        ///< how values become one number a pixel
  std::int64_t chunk = 0;       ///< variants evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each variant; false stops, and what is not known is NaN
};

/// All float64 on the CPU.
struct RoadCurves {
  at::Tensor fraction;              ///< (F), of the pixels that were removed, as they were rounded
  at::Tensor most_relevant_first;   ///< (N, F), MoRF: lower is better
  at::Tensor least_relevant_first;  ///< (N, F), LeRF: higher is better
  at::Tensor gap;                   ///< (N), mean of LeRF - MoRF over the fractions: higher is better
};

/// ROAD, Remove and Debias (Rong, Leemann, Borisov, Kasneci, Kasneci: "A Consistent and Efficient Evaluation
/// Strategy for Attribution Methods", 2022): the score after the most (MoRF) or least (LeRF) relevant share
/// of the pixels was removed. A removed pixel is not painted over, which would leave an outline that a
/// network can see, but filled by noisy linear imputation: the weighted mean of its neighbours, \f$ x_i =
/// \sum_j w_{ij} x_j / \sum_j w_{ij} + \sigma \varepsilon_i \f$, with w 1/6 for direct and 1/12 for diagonal
/// neighbours, solved for all removed pixels at once.
///
///     Road road{model, {.fractions = {0.2, 0.5, 0.8}}};
///     RoadCurves curves = road(x, attribution);                                           // probabilities
///     RoadCurves hits = road(x, attribution, TargetSelector{ArgMax{}, Predicted{}});      // as in the paper
///
/// The input is (N, C, H, W): the paper's weights are those of a picture, and signals and volumes are an
/// ArgumentError. In [0, 1], the gap in [-1, 1], about 0 for a map that says nothing. The noise
/// depends on the seed and the place of the fraction in the list alone, and is the same for all samples.
/// Score, class, order, errors and what a stop leaves are those of Deletion.
template <class M>
class Road {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Road(M model, RoadOptions options = {}) : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    if (options_.fractions.empty()) throw ArgumentError("there are no fractions to remove");
    for (const double fraction : options_.fractions) {
      if (!(fraction >= 0.0 && fraction < 1.0)) {
        throw ArgumentError::out_of_range("a fraction to remove", fraction, "in [0, 1)");
      }
    }
    if (!(options_.noise >= 0.0 && std::isfinite(options_.noise))) {
      throw ArgumentError::out_of_range("noise", options_.noise, "a number of at least 0");
    }
    require_chunk(options_.chunk);
  }

  /// The curves of a batch: see the class.
  template <class T = ArgMax>
  RoadCurves operator()(const at::Tensor& input, const Attribution& attribution,
                        const T& target = T{}) const {
    return enter([&] {
      require_input(input);
      if (input.dim() != 4) {
        throw ArgumentError::out_of_range("the input of ROAD", detail::shape(input), "pictures (N, C, H, W)");
      }
      const at::Tensor rank = detail::ranks(detail::pixel_map_of(input, attribution.values, options_.map));
      const std::int64_t pixels = rank[0].numel();
      const auto count = static_cast<std::int64_t>(options_.fractions.size());
      std::vector<std::int64_t> removed;
      std::vector<double> shares;
      for (const double fraction : options_.fractions) {
        // One pixel at least stays, from which the others are filled.
        removed.push_back(std::min(std::llround(fraction * static_cast<double>(pixels)),
                                   static_cast<long long>(pixels - 1)));
        shares.push_back(static_cast<double>(removed.back()) / static_cast<double>(pixels));
      }
      const at::Tensor clean = input.detach().to(at::kCPU, at::kDouble).contiguous();
      SharedNoise source(clean[0].to(at::kFloat), options_.seed);
      const auto point = [&](const Variant& row, const at::Tensor& out) {
        const std::int64_t step = row.step % count;
        const std::int64_t gone = removed[static_cast<std::size_t>(step)];
        const at::Tensor& own = rank[row.sample];
        const at::Tensor missing = row.step < count ? own.lt(gone) : own.ge(pixels - gone);
        const at::Tensor& noise = source.normal(step);
        out.copy_(
            detail::linear_imputation(clean[row.sample], missing).add_(noise.mul(missing), options_.noise));
      };
      const auto selector = judged_by<Probability>(target, attribution);
      const VariantScores variants(model_, input, attribution.target, selector);
      const at::Tensor scores = variants(2 * count, options_.chunk, point, options_.progress);
      RoadCurves curves{.fraction = detail::vector_tensor<double>(shares),
                        .most_relevant_first = scores.slice(1, 0, count),
                        .least_relevant_first = scores.slice(1, count),
                        .gap = {}};
      curves.gap = curves.least_relevant_first.sub(curves.most_relevant_first).mean(1);
      return curves;
    });
  }

 private:
  mutable M model_;
  RoadOptions options_;
};

}  // namespace salience
