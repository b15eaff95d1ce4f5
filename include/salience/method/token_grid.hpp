// Tokens, ChannelsLast and ChannelsFirst: a layer's output as a grid of features.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Takes what a layer gives to its channels and places, (N, C, places...): (N, C, L) of a signal, (N, C, h,
/// w) of a picture, (N, C, d, h, w) of a volume, (N, C) where there are no places. Tokens, ChannelsLast,
/// ChannelsFirst or any callable that moves elements and leaves some out, since the layer's output and the
/// gradient there go through it alike.
using GridReshape = std::function<at::Tensor(const at::Tensor&)>;

/// (N, leading + height * width, C), tokens row by row behind some that belong to no place (the class token,
/// registers), to (N, C, height, width); with a depth (N, leading + depth * height * width, C), slice by
/// slice, to (N, C, depth, height, width). Throws ArgumentError for another shape.
///
///     GradCam cam{vit, {.layer = "encoder.layers.encoder_layer_10", .reshape = Tokens{14, 14}}};
///     GradCam video{mvit, {.layer = "blocks.14", .reshape = Tokens{7, 7, 1, 8}}};  // a volume
struct Tokens {
  std::int64_t height;       ///< of the grid, in tokens
  std::int64_t width;        ///< of the grid, in tokens
  std::int64_t leading = 1;  ///< how many tokens stand before the grid's
  std::int64_t depth = 0;    ///< of the grid of a volume, in tokens; 0: that of a picture, without one

  /// (N, C, height, width) or (N, C, depth, height, width), a view.
  at::Tensor operator()(const at::Tensor& tokens) const {
    std::vector<std::int64_t> sizes{height, width};
    if (depth > 0) sizes.insert(sizes.begin(), depth);
    std::int64_t count = leading;
    count += std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
    if (tokens.dim() != 3 || tokens.size(1) != count) {
      throw ArgumentError::out_of_range(
          "a layer reshaped by Tokens", detail::shape(tokens),
          detail::concat("of shape (N, ", leading, " + ", depth > 0 ? detail::concat(depth, " * ") : "",
                         height, " * ", width, ", C)"));
    }
    return tokens.slice(1, leading).unflatten(1, sizes).movedim(-1, 1);
  }
};

/// (N, places..., C), as the stages of torchvision's Swin give, to (N, C, places...): (N, L, C), (N, h, w, C)
/// and (N, d, h, w, C). Throws ArgumentError for fewer than three dimensions.
struct ChannelsLast {
  std::int64_t leading = 0;  ///< of a line (N, leading + L, C): how many tokens stand before it

  /// (N, C, places...), a view.
  at::Tensor operator()(const at::Tensor& grid) const {
    if (grid.dim() < 3 || (leading != 0 && (grid.dim() > 3 || leading < 0 || leading >= grid.size(1)))) {
      throw ArgumentError::out_of_range("a layer reshaped by ChannelsLast", detail::shape(grid),
                                        leading == 0 ? "of shape (N, L, C), (N, h, w, C) or (N, d, h, w, C)"
                                                     : detail::concat("of shape (N, ", leading, " + L, C)"));
    }
    return grid.slice(1, leading).movedim(-1, 1);
  }
};

/// (N, C, places...), as convolutions give, as it is; with a height (N, C, L) becomes (N, C, height, width):
/// a grid that was flattened row by row, or, with the height 1, a line along the width of a picture. Throws
/// ArgumentError for another shape.
///
///     GradCam cam{net, {.layer = "conv", .reshape = ChannelsFirst{}}};  // of a signal: (N, 1, L)
struct ChannelsFirst {
  std::int64_t height = 0;  ///< of the grid that (N, C, L) becomes; 0: it stays a line
  std::int64_t width = -1;  ///< of it; -1: as L says

  /// (N, C, places...) or (N, C, height, width), a view.
  at::Tensor operator()(const at::Tensor& grid) const {
    if (height == 0 ? grid.dim() >= 2 : grid.dim() == 4) return grid;
    const bool fits = grid.dim() == 3 && height > 0 && grid.size(2) % height == 0 &&
                      (width == -1 || grid.size(2) == height * width);
    if (!fits) {
      throw ArgumentError::out_of_range(
          "a layer reshaped by ChannelsFirst", detail::shape(grid),
          height == 0 ? "of shape (N, C, places...)"
                      : detail::concat("of shape (N, C, h, w) or (N, C, ", height, " * ",
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

/// Three dimensions, of a picture, of which it is not known where the channels are: as tokens (N, T, C) if
/// they cannot be (N, C, L), a flattened grid of several rows.
inline GridReshape reshape_of_three(const at::Tensor& layer, const at::Tensor& input,
                                    const std::string& name) {
  const auto tokens = inferred_grid(layer.size(1), input, {0, 1});
  const auto flat = inferred_grid(layer.size(2), input, {0});
  if (tokens && !(flat && flat->height > 1 && flat->width > 1)) return *tokens;
  if (!tokens && !flat) return inferred_tokens(layer, input, name);  // which says that
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer),
                             ", which may be tokens (N, T, C) or (N, C, L); give the option reshape, "
                             "Tokens{height, width, leading} or ChannelsFirst{height, width}"));
}

/// (N, T, C) of a signal (N, C, L): T places, if that many whole patches make the signal and T - 1 behind a
/// class token do not. An input whose second dimension has as many entries may be a sequence of vectors.
inline GridReshape line_of_tokens(const at::Tensor& layer, const at::Tensor& input, const std::string& name) {
  const std::int64_t count = layer.size(1), length = input.size(2);
  const auto whole = [&](std::int64_t patches) { return patches > 0 && length % patches == 0; };
  const bool sequence = count == input.size(1) || count - 1 == input.size(1);
  if (!sequence && (count == length || (whole(count) && !whole(count - 1)))) return ChannelsLast{};
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer), ", tokens (N, T, C), of which for ",
                             "an input of shape ", shape(input), " it is not clear whether all ", count,
                             " are places of a signal; give the option reshape, ChannelsLast{} if they are, "
                             "ChannelsLast{1} if a class token stands before them"));
}

/// (N, T, C), whose channels are known to be the last.
inline GridReshape reshape_of_tokens(const at::Tensor& layer, const at::Tensor& input,
                                     const std::string& name) {
  if (input.dim() == 4) return inferred_tokens(layer, input, name);
  if (input.dim() == 3) return line_of_tokens(layer, input, name);
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer),
                             ", tokens (N, T, C) of an input of shape ", shape(input),
                             "; give the option reshape, Tokens{height, width, leading, depth} for a volume, "
                             "ChannelsLast{} for a line"));
}

/// A layer's output, or the gradient there, as (N, C, places...).
inline GridReshape reshape_for(const at::Tensor& layer, const at::Tensor& input, const std::string& name,
                               ChannelAxis channels) {
  const bool picture = input.dim() == 4;
  if (layer.dim() == 2) return ChannelsFirst{};
  if (layer.dim() < 2) {
    throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer),
                               ", a class activation map needs channels: (N, C), (N, C, places...) or tokens "
                               "(N, T, C); name another layer or give the option reshape"));
  }
  if (channels == ChannelAxis::first) {
    const bool row = picture && input.size(2) == 1 && layer.dim() == 3;  // a signal as a picture of one row
    return row ? ChannelsFirst{1} : ChannelsFirst{};
  }
  if (channels == ChannelAxis::last) {
    return layer.dim() == 3 ? reshape_of_tokens(layer, input, name) : GridReshape(ChannelsLast{});
  }
  if (picture && layer.dim() == 4) return reshape_by_aspect(layer, input, name);
  if (picture && layer.dim() == 3) return reshape_of_three(layer, input, name);
  throw ArgumentError(concat(quoted_layer(name), " gives ", shape(layer),
                             ", of which it is not known where the channels are; give the option reshape, "
                             "ChannelsFirst{} for (N, C, places...), ChannelsLast{} for (N, places..., C)"));
}

}  // namespace detail

}  // namespace salience
