// LayeredModel: a model that also returns the outputs of its layers.
#pragma once

#include <concepts>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/tensor/layer.hpp>

namespace salience {

/// Which layers a method looks at: `.layer = "features.28"`, or several, `.layer = {"layer3", "layer4"}`. The
/// default is the last convolution.
class LayerNames {
 public:
  LayerNames() = default;
  /// One layer.
  LayerNames(const char* name) : names_{name} {}
  /// One layer.
  LayerNames(std::string name) : names_{std::move(name)} {}
  /// Several layers.
  LayerNames(std::initializer_list<std::string> names) : LayerNames(std::vector(names)) {}
  /// Several layers. Throws ArgumentError if there is none.
  LayerNames(std::vector<std::string> names) : names_(std::move(names)) {
    if (names_.empty()) throw ArgumentError::out_of_range("layer", "none", "one name or several");
  }

  /// The names, at least one; the empty name is the last convolution.
  const std::vector<std::string>& operator*() const noexcept { return names_; }

 private:
  std::vector<std::string> names_{""};
};

/// A model whose layers can be named: a ScriptModel, FeaturesHead, LastConvolution, or the user's own. The
/// empty name means the last convolution. Of a layer that is used several times the last use counts. An
/// unknown name is an ArgumentError; a layer that this input does not reach is a ModelError.
template <class M>
concept LayeredModel = requires(const M& model, const at::Tensor& input,
                                std::span<const std::string> layers) {
  { model.tapped(input, layers) } -> std::same_as<Tapped>;
};

namespace detail {

/// How a message names a layer.
inline std::string quoted_layer(const std::string& name) {
  return name.empty() ? "the last convolution" : concat("the layer '", name, "'");
}

/// Fails to compile with one sentence unless M is a layered model.
template <class M>
constexpr void require_layered_model() {
  static_assert(LayeredModel<M>,
                "Salience: this method looks at a layer: give it a ScriptModel, FeaturesHead{features, head} "
                "or LastConvolution{model}");
}

}  // namespace detail

}  // namespace salience
