// AttentionRollout: where the class token looked, through all layers of a vision transformer.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attention_options.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/detail/token_relevance.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/model/relevance_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// Attention rollout (Abnar, Zuidema: "Quantifying Attention Flow in Transformers", ACL 2020): how much of
/// each token the class token is mixed from, through all layers. With \f$ A_l \f$ the mean over the heads of
/// layer l's attention weights, and I for the residual connection, the rows of \f$ A_l + I \f$ are divided by
/// their sums, and the map is the class token's row of \f$ \prod_l \f$, the last layer leftmost, without the
/// tokens that are no places.
///
///     AttentionRollout rollout{vit};
///     Attribution a = rollout(x);  // a.values (N,1,H,W), at least 0, the same for every class
///
/// The attention is found in the graph of a model file, also where it is one operator. Costs one forward
/// pass, recorded, and a backward pass to the last attention. Throws ModelError, from the constructor, for a
/// model without attention or with one that cannot be read (see GraphModel::with_attention); from the call,
/// for attention in windows, between other tokens or without a class token, and ArgumentError for tokens that
/// make no grid; and what the model throws.
template <class M>
class AttentionRollout {
 public:
  /// `model` is an AttentionModel: a ScriptModel, an ExportedModel, a GraphModel.
  explicit AttentionRollout(const M& model, const AttentionOptions& options = {})
      : model_(detail::with_attention(model)), names_(detail::attention_layers(model_)), options_(options) {}

  /// The map for each sample of `input`, (N, ...). The target says what is told of the output; the map does
  /// not depend on it.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      const RecordedPass pass = record(model_, input, wanted, names_);
      if (!detail::mixes_samples(pass)) return map_of(pass);
      return detail::maps_by_samples(pass, input, wanted, [&](const at::Tensor& sample, const auto& fixed) {
        return map_of(record(model_, sample, fixed, names_));
      });
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  Attribution map_of(const RecordedPass& pass) const {
    const at::Tensor last = pass.layers.back();
    detail::require_class_token(pass.gradients(last).front(), pass.names.back());
    const detail::Observing observing;
    const at::Tensor row = detail::class_row(pass, [&](const at::Tensor& before, std::size_t i) {
      const at::Tensor mean = detail::by_heads(pass, i, pass.layers[i].detach()).mean(at::IntArrayRef{1});
      // The rows of A + I, divided by their sums, without I.
      const at::Tensor sums = mean.sum(at::IntArrayRef{-1}).add_(1.0).unsqueeze(1);
      const at::Tensor share = before.div(sums);
      return share.matmul(mean).add_(share);
    });
    return detail::map_of_row(pass, row, options_);
  }

  mutable decltype(detail::with_attention(std::declval<const M&>())) model_;
  std::vector<std::string> names_;
  AttentionOptions options_;
};

}  // namespace salience
