// token_picture: words shaded by their numbers. Opt-in, as it needs stb_easy_font.h (Debian's package
// libstb-dev), whose letters it draws.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/contact_sheet.hpp>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/image.hpp>
#include <salience/view/token_html.hpp>

namespace salience {

/// The words in rows, each on a background shaded by its number, as an RGB picture on white, as wide as its
/// longest row.
///
///     save_image("words.png", token_picture(words, token_values(a.values)));
///
/// A word that is wider than a row is cut and ends in "..."; a character outside ASCII shows as '?'. Throws
/// what token_html throws.
inline Image token_picture(std::span<const std::string> words, std::span<const double> values,
                           const TokenViewOptions& options = {}) {
  const std::vector<detail::TokenShade> shades = detail::token_shades(words, values, options);
  if (options.width < 32) throw ArgumentError::out_of_range("width", options.width, "at least 32");
  if (options.scale < 1 || options.scale > 32) {
    throw ArgumentError::out_of_range("scale", options.scale, "from 1 to 32");
  }
  const int scale = options.scale, gap = 3 * scale;  // between words, around them and inside of their boxes
  const int height = 8 * scale + 2 * gap;            // of a box; the font is 8 pixels high

  struct Box {
    std::string text;
    int row, left, width;
  };
  std::vector<Box> boxes;
  int row = 0, left = gap, widest = 0;
  for (const std::string& word : words) {
    const int room = std::max(0, options.width - 4 * gap) / scale;
    const std::string text = detail::shorten(detail::printable(word), room);
    const int width = std::max(detail::text_width(text), 2) * scale + 2 * gap;
    if (left > gap && left + width + gap > options.width) {
      ++row;
      left = gap;
    }
    boxes.push_back({text, row, left, width});
    left += width + gap;
    widest = std::max(widest, left);
  }
  Image picture = detail::canvas((std::int64_t{row} + 1) * (height + gap) + gap, widest, 3);
  std::fill(picture.pixels().begin(), picture.pixels().end(), std::uint8_t{255});
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const Box& box = boxes[i];
    const int top = gap + box.row * (height + gap);
    for (int y = top; y < top + height; ++y) {
      for (int x = box.left; x < box.left + box.width; ++x) {
        std::copy(shades[i].background.begin(), shades[i].background.end(), detail::pixel_at(picture, y, x));
      }
    }
    detail::draw_text(picture, box.text, top + gap + scale / 2, box.left + gap, scale, shades[i].ink);
  }
  return picture;
}

}  // namespace salience
