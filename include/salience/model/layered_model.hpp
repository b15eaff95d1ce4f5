// LayeredModel: a model that also shows what its layers give.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/detail/channel_kinds.hpp>
#include <salience/error.hpp>

namespace salience {

/// Where the channels of a layer's output are, as far as a model knows.
enum class ChannelAxis {
  unknown,  ///< nothing is known: who needs it may look at the shape
  first,    ///< in the second dimension, as in what a convolution gives: (N, C, h, w), (N, C, L)
  last,     ///< in the last dimension, as in tokens (N, T, C) and in the stages of Swin (N, h, w, C)
};

/// A model's output and what some of its layers gave on the way. All of it belongs to one autograd graph, and
/// the output depends on the layers' tensors as they are here: nothing writes into them afterwards.
struct Tapped {
  at::Tensor output;               ///< what the model gives
  std::vector<at::Tensor> layers;  ///< one for each layer that was asked for, in that order
  /// Where their channels are, one for each layer; empty: of none of them known.
  std::vector<ChannelAxis> channels{};
};

/// A layer of a model, for a person to choose from.
struct Layer {
  std::string path;                   ///< its name, "layer4.1.conv2"
  std::string type;                   ///< the name of its class, "Conv2d"
  std::vector<std::int64_t> shape{};  ///< of its output; empty if that is unknown or not a tensor
};

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
/// empty name means the last convolution. A layer that is used several times gives its last use. An unknown
/// name is an ArgumentError; a layer that this input does not reach is a ModelError.
template <class M>
concept LayeredModel = requires(const M& model, const at::Tensor& input,
                                std::span<const std::string> layers) {
  { model.tapped(input, layers) } -> std::same_as<Tapped>;
};

namespace detail {

inline ChannelAxis axis_of(const ChannelPlace& place) {
  if (place.rank == 2) return ChannelAxis::unknown;  // (N, C): first and last
  if (place.is_last()) return ChannelAxis::last;
  return place.channel == 1 ? ChannelAxis::first : ChannelAxis::unknown;
}

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
