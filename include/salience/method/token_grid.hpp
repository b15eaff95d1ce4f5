// Tokens and ChannelsLast: a transformer's tokens as a grid of features.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>
#include <salience/model/layered_model.hpp>

namespace salience {

/// Takes what a layer gives to (N, C, h, w): Tokens, ChannelsLast or any callable that moves elements and
/// leaves some out, since the layer's output and the gradient there go through it alike.
using GridReshape = std::function<at::Tensor(const at::Tensor&)>;

/// (N, leading + height * width, C), tokens row by row behind some that belong to no place (the class token,
/// registers), to (N, C, height, width). Throws ArgumentError for another shape.
///
///     GradCam cam{vit, {.layer = "encoder.layers.encoder_layer_10", .reshape = Tokens{14, 14}}};
struct Tokens {
  std::int64_t height;       ///< of the grid, in tokens
  std::int64_t width;        ///< of the grid, in tokens
  std::int64_t leading = 1;  ///< how many tokens stand before the grid's

  /// (N, C, height, width), a view.
  at::Tensor operator()(const at::Tensor& tokens) const {
    if (tokens.dim() != 3 || tokens.size(1) != leading + height * width) {
      throw ArgumentError::out_of_range(
          "a layer reshaped by Tokens", detail::shape(tokens),
          detail::concat("of shape (N, ", leading, " + ", height, " * ", width, ", C)"));
    }
    return tokens.slice(1, leading).unflatten(1, {height, width}).permute({0, 3, 1, 2});
  }
};

/// (N, h, w, C), as the stages of torchvision's Swin give, to (N, C, h, w). Throws ArgumentError for what has
/// not four dimensions.
struct ChannelsLast {
  /// (N, C, h, w), a view.
  at::Tensor operator()(const at::Tensor& grid) const {
    if (grid.dim() != 4) {
      throw ArgumentError::out_of_range("a layer reshaped by ChannelsLast", detail::shape(grid),
                                        "of shape (N, h, w, C)");
    }
    return grid.permute({0, 3, 1, 2});
  }
};

namespace detail {

/// How much higher a grid is than its width asks for in that aspect (height over width). Patches are whole:
/// up to one may be missing at the edge, along each side.
inline double excess_of(std::int64_t height, std::int64_t width, double aspect) {
  return static_cast<double>(height) - static_cast<double>(width) * aspect;
}
inline bool fits(double excess, double aspect) { return -1.0 < excess && excess < aspect; }

/// (N, T, C) as a grid: T or T - 1 tokens in the input's aspect, or else in a square.
inline Tokens inferred_tokens(const at::Tensor& layer, const at::Tensor& input, const std::string& name) {
  const std::int64_t count = layer.size(1);
  std::vector<double> aspects{1.0};
  if (input.dim() == 4) {
    aspects.insert(aspects.begin(), static_cast<double>(input.size(2)) / static_cast<double>(input.size(3)));
  }
  for (const double aspect : aspects) {
    std::optional<Tokens> best;
    double least = 0.0;
    for (const std::int64_t leading : {0, 1}) {
      for (std::int64_t height = 1; height <= count - leading; ++height) {
        if ((count - leading) % height != 0) continue;
        const std::int64_t width = (count - leading) / height;
        const double excess = excess_of(height, width, aspect);
        if (!fits(excess, aspect) || (best && std::abs(excess) >= least)) continue;
        best = Tokens{height, width, leading};
        least = std::abs(excess);
      }
    }
    if (best) return *best;
  }
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer), ": its ", count,
                             " tokens make no grid of the input's aspect, nor a square, with or without a "
                             "class token; give the option reshape, Tokens{height, width, leading}"));
}

/// Whether four dimensions have the input's aspect only as (N, h, w, C), as the stages of Swin give them.
inline bool is_channels_last(const at::Tensor& layer, const at::Tensor& input) {
  if (input.dim() != 4) return false;
  const double aspect = static_cast<double>(input.size(2)) / static_cast<double>(input.size(3));
  return !fits(excess_of(layer.size(2), layer.size(3), aspect), aspect) &&
         fits(excess_of(layer.size(1), layer.size(2), aspect), aspect);
}

/// A layer's output, or the gradient there, as (N, C, h, w).
inline GridReshape reshape_for(const at::Tensor& layer, const at::Tensor& input, const std::string& name) {
  if (layer.dim() == 4 && is_channels_last(layer, input)) return ChannelsLast{};
  if (layer.dim() == 4) return [](const at::Tensor& grid) { return grid; };
  if (layer.dim() == 3) return inferred_tokens(layer, input, name);
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer),
                             ", a class activation map needs a grid: (N, C, h, w), or tokens (N, T, C); name "
                             "another layer or give the option reshape"));
}

}  // namespace detail

}  // namespace salience
