// CuttableModel: a model that runs until a layer, and from it on.
#pragma once

#include <concepts>
#include <string>

#include <ATen/core/Tensor.h>

#include <salience/model/concepts.hpp>

namespace salience {

/// A model that can be cut at a layer: a GraphModel, so a ScriptModel and an ExportedModel, or the user's
/// own. `until(layer)` is the model that gives what the layer gives, `from(layer, input)` the one that goes
/// on from that, with `input` held fixed for whatever else reads it.
template <class M>
concept CuttableModel = Model<M> &&
    requires(const M& model, const std::string& layer, const at::Tensor& input) {
  { model.until(layer) } -> Model;
  { model.from(layer, input) } -> Model;
};

namespace detail {

/// Fails to compile with one sentence unless M can be cut.
template <class M>
constexpr void require_cuttable_model() {
  static_assert(CuttableModel<M>,
                "Salience: this method cuts a model at a layer: give it a ScriptModel, an ExportedModel or a "
                "model with "
                "until(layer) and from(layer, input)");
}

}  // namespace detail

}  // namespace salience
