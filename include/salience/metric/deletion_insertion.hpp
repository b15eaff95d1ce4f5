// Deletion and Insertion: how the score moves while pixels go or come, the most relevant first.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/metric/variant_scores.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

/// Scores along the share of pixels that were changed. All float64 on the CPU.
struct PerturbationCurve {
  at::Tensor fraction;  ///< (S + 1), from 0 to 1
  at::Tensor score;     ///< (N, S + 1)
  at::Tensor area;      ///< (N), under the score, by the trapezoid rule: the AUC
};

/// The options of Deletion.
struct DeletionOptions {
  Baseline baseline = Baseline::zero();  ///< what a pixel becomes; the paper's choice, after normalisation
  std::int64_t steps = 100;              ///< S; the paper takes 224, of 224 pixels each
  PixelMapOptions map{};                 ///< how values become one number a pixel
  std::int64_t chunk = 0;  ///< variants evaluated at once, over all samples; 0: chosen by memory
};

/// The options of Insertion.
struct InsertionOptions {
  Baseline baseline = Baseline::blurred(5.0);  ///< what is filled up; the paper's sigma
  std::int64_t steps = 100;                    ///< as for the deletion, as are those below
  PixelMapOptions map{};                       ///< as for the deletion
  std::int64_t chunk = 0;                      ///< as for the deletion
};

namespace detail {

/// The curve from one picture to another, pixels replaced in the order of the attribution.
template <class M, Target T, class Options>
PerturbationCurve replacement_curve(M& model, const at::Tensor& input, const Attribution& attribution,
                                    const T& target, const Options& options, const at::Tensor& from,
                                    const at::Tensor& to) {
  const at::Tensor map = pixel_map_of(input, attribution.values, options.map);
  const at::Tensor rank = ranks(map).to(input.device());
  const std::int64_t pixels = map[0].numel();
  // How many pixels are replaced after so many steps, rounded.
  const auto replaced = [&](std::int64_t step) {
    return (2 * step * pixels + options.steps) / (2 * options.steps);
  };
  const auto point = [&](const Row& row, const at::Tensor& out) {
    const at::Tensor kept = rank[row.sample].ge(replaced(row.step));
    out.copy_(from[row.sample].where(kept, to[row.sample]));
  };
  PerturbationCurve curve;
  curve.score =
      VariantScores(model, input, attribution.target, target)(options.steps + 1, options.chunk, point);
  curve.fraction = empty({options.steps + 1}, at::kDouble);
  for (std::int64_t step = 0; step <= options.steps; ++step) {
    curve.fraction.data_ptr<double>()[step] =
        static_cast<double>(replaced(step)) / static_cast<double>(pixels);
  }
  const at::Tensor width = curve.fraction.diff();
  const at::Tensor sums = curve.score.slice(1, 1).add(curve.score.slice(1, 0, options.steps));
  curve.area = sums.matmul(width).mul_(0.5);
  return curve;
}

template <class M, class Options>
void require_curve(const Options& options) {
  require_model<M>();
  if (options.steps < 1) throw ArgumentError::out_of_range("steps", options.steps, "at least 1");
  require_chunk(options.chunk);
}

}  // namespace detail

/// The deletion curve (Petsiuk, Das, Saenko: "RISE", 2018): the score of the input with its most relevant
/// pixels replaced, \f$ D(p) = s_c(x \text{ without the first } p \text{ of its pixels}) \f$, and its area
/// \f$ \int_0^1 D(p)\,dp \f$.
///
///     Deletion deletion{model, {.steps = 100}};
///     PerturbationCurve curve = deletion(x, attribution);  // curve.area: (N)
///
/// Lower is better: a map that names what the score rests on makes it fall at once. In [0, 1] for the default
/// score, the probability, as in the paper. The class is `attribution.target`; where that is undefined (a
/// score function, a map from elsewhere), what `target` chooses on the clean input. Pixels of equal relevance
/// go in the order of rows. Throws ArgumentError for an option out of range or a map that does not cover the
/// input, and what the model and the target throw.
template <class M>
class Deletion {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Deletion(M model, DeletionOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_curve<M>(options_);
  }

  /// The curves of a batch: see the class.
  template <class T = TargetSelector<ArgMax, Probability>>
  PerturbationCurve operator()(const at::Tensor& input, const Attribution& attribution,
                               const T& target = T{}) const {
    detail::require_input(input);
    return detail::replacement_curve(model_, input, attribution, as_target(target), options_, input.detach(),
                                     detail::only_baseline(options_.baseline, input));
  }

 private:
  mutable M model_;
  DeletionOptions options_;
};

/// The insertion curve of the same paper: the score of the baseline, a blurred input, with the most relevant
/// pixels put back. Higher is better; for all else see Deletion.
template <class M>
class Insertion {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Insertion(M model, InsertionOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_curve<M>(options_);
  }

  /// The curves of a batch: see the class.
  template <class T = TargetSelector<ArgMax, Probability>>
  PerturbationCurve operator()(const at::Tensor& input, const Attribution& attribution,
                               const T& target = T{}) const {
    detail::require_input(input);
    return detail::replacement_curve(model_, input, attribution, as_target(target), options_,
                                     detail::only_baseline(options_.baseline, input), input.detach());
  }

 private:
  mutable M model_;
  InsertionOptions options_;
};

}  // namespace salience
