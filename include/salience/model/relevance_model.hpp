// DeepLiftModel, RelevanceModel, AttentionModel and BiasTermsModel: what relevance methods ask of a model.
#pragma once

#include <concepts>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/model/concepts.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/deep_lift_rule.hpp>
#include <salience/tensor/layer.hpp>

namespace salience {

/// A model whose operators can hand back DeepLIFT's multipliers: a GraphModel, so a ScriptModel and an
/// ExportedModel. `against(baseline, rule)` is the model that gives pairs, (N, 2, ...), for the input and for
/// the baseline (see GraphModel::against).
template <class M>
concept DeepLiftModel = Model<M> && requires(const M& model, const at::Tensor& baseline, DeepLiftRule rule) {
  { model.against(baseline, rule) } -> Model;
};

/// A model whose operators can hand back relevance: a GraphModel, so a ScriptModel and an ExportedModel (see
/// GraphModel::relevant).
template <class M>
concept RelevanceModel = Model<M> && requires(const M& model, const Composite& composite) {
  { model.relevant(composite) } -> Model;
};

/// A model that shows its attention: a GraphModel, so a ScriptModel and an ExportedModel.
/// `with_attention()` is the same model with one more layer for each attention, of the type attention_type
/// (see GraphModel::with_attention).
template <class M>
concept AttentionModel = Model<M> && requires(const M& model) {
  { model.with_attention() } -> LayeredModel;
  { model.with_attention().layers() } -> std::same_as<std::vector<Layer>>;
};

/// A model that finds what its biases contribute: a GraphModel, so a ScriptModel and an ExportedModel (see
/// GraphModel::with_bias_terms).
template <class M>
concept BiasTermsModel = Model<M> && requires(const M& model) {
  { model.with_bias_terms() } -> Model;
};

namespace detail {

/// Fails to compile with one sentence unless M is one.
template <class M>
constexpr void require_deep_lift_model() {
  static_assert(
      DeepLiftModel<M>,
      "Salience: DeepLIFT rewrites the graph of a model: give it a ScriptModel, an ExportedModel or a "
      "model with against(baseline, rule)");
}

/// The same of relevance.
template <class M>
constexpr void require_relevance_model() {
  static_assert(RelevanceModel<M>,
                "Salience: relevance propagation rewrites the graph of a model: give it a ScriptModel, an "
                "ExportedModel or a model with relevant(composite)");
}

/// The same of attention.
template <class M>
constexpr void require_attention_model() {
  static_assert(AttentionModel<M>,
                "Salience: the attention of a model is read from its graph: give it a ScriptModel, an "
                "ExportedModel or a model with with_attention()");
}

/// The same of bias terms.
template <class M>
constexpr void require_bias_terms_model() {
  static_assert(BiasTermsModel<M>,
                "Salience: the biases of a model are found in its graph: give it a ScriptModel, an "
                "ExportedModel or a model with with_bias_terms()");
}

}  // namespace detail

}  // namespace salience
