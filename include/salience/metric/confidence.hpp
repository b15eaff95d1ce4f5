// Confidence: how the score changes if only what a map shows remains of the input.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/model/concepts.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The options of Confidence.
struct ConfidenceOptions {
  Baseline baseline = Baseline::zero();  ///< what fades in where the map is low; the paper's choice
  PixelMapOptions map{};                 ///< how values become one number a pixel
  std::int64_t chunk = 0;                ///< samples evaluated at once; 0: chosen by memory
};

/// Both (N), on the CPU.
struct ConfidenceChange {
  at::Tensor drop;  ///< float64: max(0, Y - O) / Y; 0 where Y is 0. The paper prints its mean as a percentage
  at::Tensor increase;  ///< bool: O > Y. The paper prints the share of them
};

/// Confidence drop and increase (Chattopadhay, Sarkar, Howlader, Balasubramanian: "Grad-CAM++", 2018): the
/// score Y of the input against the score O of what its map m shows of it, \f$ m \odot x + (1 - m) \odot b
/// \f$. The map is first clipped at 0 and divided by its maximum, into [0, 1].
///
///     Confidence confidence{model};
///     ConfidenceChange change = confidence(x, grad_cam(x));  // change.drop.mean(): average drop
///
/// The drop is in [0, 1], lower is better; more increases are better. A map of equal positive values shows
/// all and drops nothing: look at how much a map shows (entropy) too. Score, class and errors are those of
/// Deletion, and a score below 0, of which no share can be lost, is an ArgumentError.
template <class M>
class Confidence {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Confidence(M model, ConfidenceOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
  }

  /// The changes of a batch; the class is `attribution.target`, else what `target` chooses.
  template <class T = ArgMax>
  ConfidenceChange operator()(const at::Tensor& input, const Attribution& attribution,
                              const T& target = T{}) const {
    return enter([&]() -> ConfidenceChange {
      const auto selector = judged_by<Probability>(target, attribution);
      const VariantScores scores(model_, input, attribution.target, selector);
      const at::Tensor clean = input.detach();
      const at::Tensor baseline = only_baseline(options_.baseline, input);
      const at::Tensor map = detail::pixel_map_of(input, attribution.values, options_.map).clamp_min(0.0);
      const auto point = [&](const Variant& row, const at::Tensor& out) {
        const at::Tensor& own = map[row.sample];
        // A map without a positive value shows nothing.
        const at::Tensor shown = own.div(own.max().clamp_min(1e-300)).to(clean.device(), clean.scalar_type());
        const at::Tensor way = clean[row.sample].sub(baseline[row.sample]);
        out.copy_(baseline[row.sample]).add_(way.mul_(shown.expand_as(out)));
      };
      const at::Tensor shown = scores(1, options_.chunk, point).select(1, 0);
      const at::Tensor& whole = scores.clean();
      for (const at::Tensor& score : {whole, shown}) {
        const double least = score.min().template item<double>();
        if (least < 0.0) {
          throw ArgumentError::out_of_range("the score of a confidence", least,
                                            "at least 0, as a probability is; a logit is no confidence");
        }
      }
      return {.drop = whole.sub(shown).clamp_min_(0.0).div_(whole).masked_fill_(whole.eq(0.0), 0.0),
              .increase = shown.gt(whole)};
    });
  }

 private:
  mutable M model_;
  ConfidenceOptions options_;
};

}  // namespace salience
