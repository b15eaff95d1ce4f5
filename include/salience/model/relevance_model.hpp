// DeepLiftModel and RelevanceModel: what relevance methods ask of a model.
#pragma once

#include <ATen/core/Tensor.h>

#include <salience/model/concepts.hpp>
#include <salience/tensor/composite.hpp>

namespace salience {

/// A model whose operators can hand back DeepLIFT's multipliers: a GraphModel, so a ScriptModel and an
/// ExportedModel. `against(baseline)` is the model that gives pairs, (N, 2, ...), for the input and for the
/// baseline (see GraphModel::against).
template <class M>
concept DeepLiftModel = Model<M> && requires(const M& model, const at::Tensor& baseline) {
  { model.against(baseline) } -> Model;
};

/// A model whose operators can hand back relevance: a GraphModel, so a ScriptModel and an ExportedModel (see
/// GraphModel::relevant).
template <class M>
concept RelevanceModel = Model<M> && requires(const M& model, const Composite& composite) {
  { model.relevant(composite) } -> Model;
};

namespace detail {

/// Fails to compile with one sentence unless M is one.
template <class M>
constexpr void require_deep_lift_model() {
  static_assert(
      DeepLiftModel<M>,
      "Salience: DeepLIFT rewrites the graph of a model: give it a ScriptModel, an ExportedModel or a "
      "model with against(baseline)");
}

/// The same of relevance.
template <class M>
constexpr void require_relevance_model() {
  static_assert(RelevanceModel<M>,
                "Salience: relevance propagation rewrites the graph of a model: give it a ScriptModel, an "
                "ExportedModel or a model with relevant(composite)");
}

}  // namespace detail

}  // namespace salience
