// Tokens, ChannelsLast and ChannelsFirst: a layer's output as a grid of features.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Takes what a layer gives to (N, C, h, w): Tokens, ChannelsLast, ChannelsFirst or any callable that moves
/// elements and leaves some out, since the layer's output and the gradient there go through it alike.
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

/// (N, C, h, w), as two-dimensional convolutions give, as it is; (N, C, L) to (N, C, height, width): as a
/// line by default, as Conv1d gives it, or as a grid that was flattened row by row. Throws ArgumentError for
/// another shape.
///
///     GradCam cam{net, {.layer = "conv", .upsample = false, .reshape = ChannelsFirst{}}};  // (N, 1, 1, L)
struct ChannelsFirst {
  std::int64_t height = 1;  ///< of the grid that (N, C, L) becomes
  std::int64_t width = -1;  ///< of it; -1: as L says

  /// (N, C, height, width), a view.
  at::Tensor operator()(const at::Tensor& grid) const {
    if (grid.dim() == 4) return grid;
    const bool fits = grid.dim() == 3 && height > 0 && grid.size(2) % height == 0 &&
                      (width == -1 || grid.size(2) == height * width);
    if (!fits) {
      throw ArgumentError::out_of_range("a layer reshaped by ChannelsFirst", detail::shape(grid),
                                        detail::concat("of shape (N, C, h, w) or (N, C, ", height, " * ",
                                                       width == -1 ? "width" : detail::concat(width), ")"));
    }
    return grid.unflatten(2, {height, grid.size(2) / height});
  }
};

namespace detail {

/// How much higher a grid is than its width asks for in that aspect (height over width). Patches are whole:
/// up to one may be missing at the edge, along each side.
inline double excess_of(std::int64_t height, std::int64_t width, double aspect) {
  return static_cast<double>(height) - static_cast<double>(width) * aspect;
}
inline bool fits(double excess, double aspect) { return -1.0 < excess && excess < aspect; }

/// The input's height over its width, or nothing if it is no picture.
inline std::optional<double> aspect_of(const at::Tensor& input) {
  if (input.dim() != 4) return std::nullopt;
  return static_cast<double>(input.size(2)) / static_cast<double>(input.size(3));
}

/// So many places as a grid in the input's aspect, or else in a square; some of `leading` before them.
inline std::optional<Tokens> inferred_grid(std::int64_t count, const at::Tensor& input,
                                           std::initializer_list<std::int64_t> leadings) {
  std::vector<double> aspects{1.0};
  if (const auto aspect = aspect_of(input)) aspects.insert(aspects.begin(), *aspect);
  for (const double aspect : aspects) {
    std::optional<Tokens> best;
    double least = 0.0;
    for (const std::int64_t leading : leadings) {
      for (std::int64_t height = 1; height <= count - leading; ++height) {
        if ((count - leading) % height != 0) continue;
        const std::int64_t width = (count - leading) / height;
        const double excess = excess_of(height, width, aspect);
        if (!fits(excess, aspect) || (best && std::abs(excess) >= least)) continue;
        best = Tokens{height, width, leading};
        least = std::abs(excess);
      }
    }
    if (best) return best;
  }
  return std::nullopt;
}

/// (N, T, C) as a grid: T or T - 1 tokens in the input's aspect, or else in a square.
inline Tokens inferred_tokens(const at::Tensor& layer, const at::Tensor& input, const std::string& name) {
  if (const auto tokens = inferred_grid(layer.size(1), input, {0, 1})) return *tokens;
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer), ": its ", layer.size(1),
                             " tokens make no grid of the input's aspect, nor a square, with or without a "
                             "class token; give the option reshape, Tokens{height, width, leading}"));
}

/// Four dimensions of which it is not known where the channels are: as (N, h, w, C) if only so they have the
/// input's aspect, as the stages of Swin do.
inline GridReshape reshape_by_aspect(const at::Tensor& layer, const at::Tensor& input,
                                     const std::string& name) {
  const auto aspect = aspect_of(input);
  const auto has_aspect = [&](std::int64_t height, std::int64_t width) {
    return aspect && fits(excess_of(layer.size(height), layer.size(width), *aspect), *aspect);
  };
  if (!has_aspect(1, 2)) return ChannelsFirst{};
  if (!has_aspect(2, 3)) return ChannelsLast{};
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer),
                             ", which has the input's aspect both as (N, C, h, w) and as (N, h, w, C); give "
                             "the option reshape, ChannelsFirst{} or ChannelsLast{}"));
}

/// Three dimensions of which it is not known where the channels are: as tokens (N, T, C) if they cannot be
/// (N, C, L), a flattened grid of several rows or what a one-dimensional convolution gives.
inline GridReshape reshape_of_three(const at::Tensor& layer, const at::Tensor& input,
                                    const std::string& name) {
  const auto tokens = inferred_grid(layer.size(1), input, {0, 1});
  const auto flat = inferred_grid(layer.size(2), input, {0});
  const bool line = !aspect_of(input);
  if (tokens && !line && !(flat && flat->height > 1 && flat->width > 1)) return *tokens;
  if (!tokens && !line && !flat) return inferred_tokens(layer, input, name);  // which says that
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer),
                             ", which may be tokens (N, T, C) or (N, C, L); give the option reshape, "
                             "Tokens{height, width, leading} or ChannelsFirst{height, width}"));
}

/// What (N, C, L) becomes: a line, if the input has one row.
inline GridReshape reshape_of_line(const at::Tensor& layer, const at::Tensor& input,
                                   const std::string& name) {
  if (input.dim() != 4 || input.size(2) == 1) return ChannelsFirst{};
  throw ArgumentError(concat(
      quoted_layer(name), " gives ", shape(layer), ", channels and a line of ", layer.size(2),
      " places, for a picture of ", input.size(2), "x", input.size(3),
      "; give the option reshape, ChannelsFirst{} for a line along the width, ChannelsFirst{height, width} "
      "for a grid that was flattened"));
}

/// A layer's output, or the gradient there, as (N, C, h, w).
inline GridReshape reshape_for(const at::Tensor& layer, const at::Tensor& input, const std::string& name,
                               ChannelAxis channels) {
  if (layer.dim() == 4) {
    if (channels == ChannelAxis::first) return ChannelsFirst{};
    if (channels == ChannelAxis::last) return ChannelsLast{};
    return reshape_by_aspect(layer, input, name);
  }
  if (layer.dim() == 3) {
    if (channels == ChannelAxis::first) return reshape_of_line(layer, input, name);
    if (channels == ChannelAxis::last) return inferred_tokens(layer, input, name);
    return reshape_of_three(layer, input, name);
  }
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer),
                             ", a class activation map needs a grid: (N, C, h, w), or tokens (N, T, C); name "
                             "another layer or give the option reshape"));
}

}  // namespace detail

}  // namespace salience
