// overlay: a coloured heatmap laid over the picture that it explains.
#pragma once

#include <cstddef>
#include <cstdint>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>

namespace salience {

/// background * (1 - opacity) + heat * opacity, in double, rounded to the nearest level (halves up), as RGB.
///
/// Opacity 0 gives the background, 1 the heat. Gray pictures and pictures with alpha go through to_rgb first.
/// Throws ArgumentError if height or width differ or the opacity is not in [0, 1].
inline Image overlay(const Image& background, const Image& heat, double opacity) {
  if (!(opacity >= 0 && opacity <= 1)) {
    throw ArgumentError::out_of_range("opacity", opacity, "a number from 0 to 1");
  }
  if (background.height() != heat.height() || background.width() != heat.width()) {
    throw ArgumentError(detail::concat("overlay needs two pictures of one size, got a background of ",
                                       background.height(), "x", background.width(), " and a heat of ",
                                       heat.height(), "x", heat.width()));
  }
  const Image top = to_rgb(heat);
  Image result = to_rgb(background);
  for (std::size_t i = 0; i < result.pixels().size(); ++i) {
    const double mixed = result.pixels()[i] * (1 - opacity) + top.pixels()[i] * opacity;
    // NOLINTNEXTLINE(bugprone-incorrect-roundings): halves go up, and nothing is below 0
    result.pixels()[i] = static_cast<std::uint8_t>(mixed + 0.5);
  }
  return result;
}

}  // namespace salience
