// What methods that read attention have in common: its weights, layer by layer, and the class token's row as
// a map.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attention_options.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/class_activation_map.hpp>
#include <salience/method/detail/by_samples.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/token_grid.hpp>
#include <salience/model/relevance_model.hpp>
#include <salience/tensor/layer.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// The model with its attention as layers; of what is no AttentionModel itself, which does not compile.
template <class M>
auto with_attention(const M& model) {
  require_attention_model<M>();
  if constexpr (AttentionModel<M>) {
    return model.with_attention();
  } else {
    return model;
  }
}

/// The names of the layers that hold the weights of attention, in order.
template <class M>
std::vector<std::string> attention_layers(const M& with_attention) {
  std::vector<std::string> names;
  for (const Layer& layer : with_attention.layers()) {
    if (layer.type == attention_type) names.push_back(layer.path);
  }
  return names;
}

/// What attention layer i of a pass gave, or a gradient there, as (N, heads, T, T).
inline at::Tensor by_heads(const RecordedPass& pass, std::size_t i, const at::Tensor& of) {
  const at::Tensor layer = pass.layers[i].detach();
  const std::int64_t samples = pass.leaf.size(0), dims = layer.dim();
  const bool square = dims >= 3 && layer.size(-1) == layer.size(-2);
  const bool in_rows = dims == 3;  // (heads, T, T) of one sample: see mixes_samples
  if (!square || !(in_rows || (dims == 4 && layer.size(0) == samples))) {
    throw ModelError(
        concat(quoted_layer(pass.names[i]), " gives weights of shape ", shape(layer), " for ", samples,
               samples == 1 ? " sample" : " samples",
               ": this method follows the same tokens through all layers, (N, heads, T, T), which it "
               "cannot where attention is in windows, pools, or looks at other tokens. AttnLRP follows "
               "such networks, too"));
  }
  return widened(in_rows ? of.reshape({samples, -1, layer.size(-2), layer.size(-1)}) : of);
}

/// Whether heads and samples are in one dimension, in which they may be in either order: with one sample
/// there is one.
inline bool mixes_samples(const RecordedPass& pass) {
  return pass.leaf.size(0) > 1 && std::any_of(pass.layers.begin(), pass.layers.end(),
                                              [](const at::Tensor& layer) { return layer.dim() == 3; });
}

/// The maps of the samples one by one.
template <class T, class Explain>
Attribution maps_by_samples(const RecordedPass& pass, const at::Tensor& input, const T& target,
                            const Explain& explain) {
  Attribution result = pass.explained_by(
      joined(by_samples(input, target, pass.explained().target, explain), &Attribution::values));
  result.values_of = ValuesOf::regions;
  return result;
}

/// The class is read from other tokens where the class token has no gradient behind the last attention.
inline void require_class_token(const at::Tensor& gradient, const std::string& name) {
  if (gradient.select(-2, 0).any().item<bool>() || !gradient.any().item<bool>()) return;
  throw ModelError(
      concat("the score does not depend on the class token behind ", quoted_layer(name),
             ", whose row this method reads: the class is read from the other tokens, as from their mean"));
}

/// The class token's row of a product of matrices (N, T, T), one for each layer, the last one leftmost:
/// `step` takes the row (N, 1, T) through the matrix of layer i.
template <class Step>
at::Tensor class_row(const RecordedPass& pass, const Step& step) {
  const std::int64_t tokens = pass.layers.back().size(-1);
  at::Tensor row = widened(pass.layers.back().detach()).new_zeros({pass.leaf.size(0), 1, tokens});
  row.select(2, 0).fill_(1.0);
  for (std::size_t i = pass.layers.size(); i-- > 0;) {
    if (pass.layers[i].size(-1) != tokens) {
      throw ModelError(concat(
          quoted_layer(pass.names[i]), " has ", pass.layers[i].size(-1), " tokens, and later ones have ",
          tokens,
          ": this method follows the same tokens through all layers. AttnLRP follows such networks, too"));
    }
    row = step(row, i);
  }
  return row;
}

/// Which of so many tokens are the places of this input.
inline Tokens grid_behind_class_token(std::int64_t tokens, const at::Tensor& input,
                                      const AttentionOptions& options) {
  std::optional<Tokens> grid = options.grid;
  if (!grid && input.dim() == 4) grid = inferred_grid(tokens, input, {0, 1, 2, 5});
  if (!grid) {
    throw ArgumentError(concat("the ", tokens, " tokens of the attention make no grid of an input of shape ",
                               shape(input),
                               " behind a class token, with or without registers; give the option grid, "
                               "Tokens{height, width, leading}"));
  }
  const std::int64_t needed =
      grid->leading + std::max<std::int64_t>(grid->depth, 1) * grid->height * grid->width;
  if (needed != tokens) {
    throw ArgumentError(concat("a grid of ", grid->height, "x", grid->width,
                               grid->depth > 0 ? concat("x", grid->depth) : "", " behind ", grid->leading,
                               " tokens takes ", needed, " of them, and the attention has ", tokens));
  }
  if (grid->leading < 1) {
    throw ModelError(concat("the attention has no class token, whose row this method reads: its ", tokens,
                            " tokens are all patches of the input, a grid of ", grid->height, "x",
                            grid->width, ". AttnLRP follows such networks, too"));
  }
  return *grid;
}

/// The result: the class token's row, (N, 1, T), as a map.
inline Attribution map_of_row(const RecordedPass& pass, const at::Tensor& row,
                              const AttentionOptions& options) {
  const Tokens grid = grid_behind_class_token(row.size(2), pass.leaf, options);
  at::Tensor map = grid(row.transpose(1, 2));
  if (pass.leaf.dim() == 3 && map.dim() == 4 && grid.height == 1)
    map = map.select(2, 0);  // a signal's places
  if (options.upsample) {
    if (map.dim() != pass.leaf.dim()) {
      throw ArgumentError(concat("a grid of ", places_of(map), " cannot be upsampled to an input of shape ",
                                 shape(pass.leaf), "; give the option grid, or upsample = false"));
    }
    map = upsampled(map.contiguous(), pass.leaf);
  }
  Attribution result = pass.explained_by(as_input(map.contiguous(), pass.leaf));
  result.values_of = ValuesOf::regions;
  return result;
}

}  // namespace salience::detail
