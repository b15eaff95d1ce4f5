// Chefer: attention that speaks for a class, through all layers of a vision transformer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attention_options.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/detail/token_relevance.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/model/relevance_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// What can be chosen of Chefer.
struct CheferOptions {
  /// By which rules the relevance of the attention weights is found, as in the paper of CVPR 2021: one whose
  /// products halve relevance, as Composite::attn_lrp(). Not set: the weights themselves are their relevance,
  /// as in that of ICCV 2021.
  std::optional<Composite> composite{};
  std::optional<Tokens> grid{};  ///< see AttentionOptions
  bool upsample = true;          ///< see AttentionOptions
};

/// Chefer's relevance (Chefer, Gur, Wolf: "Generic Attention-Model Explainability for Interpreting Bi-Modal
/// and Encoder-Decoder Transformers", ICCV 2021): with \f$ \bar A_l = \mathrm{E}_h \max(0, \nabla A_l \odot
/// R_l) \f$, the mean over the heads of layer l, the map is the class token's row of \f$ \prod_l (I + \bar
/// A_l) \f$, the last layer leftmost, without the tokens that are no places. \f$ \nabla A_l \f$ is the
/// gradient of the score at the attention weights, and the relevance \f$ R_l \f$ the weights themselves, or,
/// with a composite, what Lrp gives them (Chefer, Gur, Wolf: "Transformer Interpretability Beyond Attention
/// Visualization", CVPR 2021; their rules are for products that share relevance, as AttnLRP's do).
///
///     Chefer chefer{vit};
///     Attribution a = chefer(x, ClassIndex{281});  // a.values (N,1,H,W), at least 0
///     Chefer with_lrp{vit, {.composite = Composite::attn_lrp()}};
///
/// Costs one gradient, and with a composite one relevance more. Throws what AttentionRollout and Lrp throw.
template <class M>
class Chefer {
 public:
  /// `model` is an AttentionModel: a ScriptModel, an ExportedModel, a GraphModel.
  explicit Chefer(const M& model, const CheferOptions& options = {})
      : model_(detail::with_attention(model)),
        names_(detail::attention_layers(model_)),
        options_{options.grid, options.upsample} {
    if (options.composite && options.composite->products != Composite::Products::halve) {
      throw ArgumentError(
          "the composite of Chefer holds attention fixed, so that its weights have no relevance: give one "
          "whose "
          "products halve it, as Composite::attn_lrp()");
    }
    if constexpr (RelevanceModel<Opened>) {
      if (options.composite) relevant_.emplace(model_.relevant(*options.composite));
    } else if (options.composite) {
      throw ModelError("this model's operators take no rules of relevance: leave out the option composite");
    }
  }

  /// The map for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      const RecordedPass pass = record(model_, input, wanted, names_);
      if (!detail::mixes_samples(pass)) return map_of(pass, input, wanted);
      return detail::maps_by_samples(pass, input, wanted, [&](const at::Tensor& sample, const auto& fixed) {
        return map_of(record(model_, sample, fixed, names_), sample, fixed);
      });
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  template <class T>
  Attribution map_of(const RecordedPass& pass, const at::Tensor& input, const T& target) const {
    const std::vector<at::Tensor> gradients = detail::layer_gradients(pass);
    std::vector<at::Tensor> relevance;
    if (relevant_) relevance = detail::layer_gradients(record(*relevant_, input, target, names_));
    const detail::Observing observing;
    detail::require_class_token(gradients.back(), pass.names.back());
    const at::Tensor row = detail::class_row(pass, [&](const at::Tensor& before, std::size_t i) {
      const at::Tensor of = relevant_ ? relevance[i] : pass.layers[i].detach();
      const at::Tensor share =
          detail::by_heads(pass, i, gradients[i]).mul(detail::by_heads(pass, i, of)).clamp_min_(0.0);
      return before.add(before.matmul(share.mean(at::IntArrayRef{1})));
    });
    return detail::map_of_row(pass, row, options_);
  }

  using Opened = decltype(detail::with_attention(std::declval<const M&>()));

  mutable Opened model_;
  mutable std::optional<Opened> relevant_;
  std::vector<std::string> names_;
  AttentionOptions options_;
};

}  // namespace salience
