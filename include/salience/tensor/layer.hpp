// What a model shows of its layers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

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
  /// Of a model that took the samples in several batches, as one that was exported for a batch of fixed size:
  /// for each layer what it gave in each of them, in order. The output depends on these, and `layers` has
  /// their rows, as many as there are samples; the last batch may have been filled up and then has more.
  /// Empty otherwise.
  std::vector<std::vector<at::Tensor>> parts{};
};

/// A layer of a model, for a person to choose from.
struct Layer {
  std::string path;                   ///< its name, "layer4.1.conv2"
  std::string type;                   ///< the name of its class, "Conv2d"
  std::vector<std::int64_t> shape{};  ///< of its output; empty if that is unknown or not a tensor
};

/// The type of those that AttentionModel::with_attention adds: no class has a name like that.
inline constexpr std::string_view attention_type = "attention weights";

}  // namespace salience
