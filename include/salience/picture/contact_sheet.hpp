// contact_sheet: many pictures with captions in one. Opt-in, as it needs stb_easy_font.h (Debian's package
// libstb-dev), whose letters it draws.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/detail/stb_easy_font.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/resize.hpp>

namespace salience {

/// One picture of a contact sheet, with a line of text below it (may be empty).
struct ContactSheetCell {
  Image picture;        ///< of one to four channels
  std::string caption;  ///< in UTF-8; only ASCII can be drawn
};

/// What can be chosen of a contact sheet. Sizes are in pixels; none may be negative.
struct ContactSheetOptions {
  int columns = 0;      ///< 0: about as many as rows, so that few places stay empty
  int padding = 16;     ///< pixels around and between the cells
  int cell_height = 0;  ///< of the picture's place, without the caption; 0: that of the highest picture
  int cell_width = 0;   ///< 0: that of the widest picture
  std::array<std::uint8_t, 3> background = {255, 255,
                                            255};  ///< captions are dark on a light one, light on a dark one
};

namespace detail {

/// A number of columns, at least as many as rows and at most half as many again, that leaves few places
/// empty.
inline int automatic_columns(int cells) {
  const int fewest = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(cells))));
  const auto empty = [cells](int columns) { return (columns - cells % columns) % columns; };
  int best = fewest;
  for (int columns = fewest; columns <= std::min(cells, (3 * fewest + 1) / 2); ++columns) {
    if (empty(columns) < empty(best)) best = columns;
  }
  return best;
}

/// What the font has: printable ASCII. Any other code point of UTF-8 becomes one '?', white space a space.
inline std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool continues = (byte & 0xC0) == 0x80;
    if (continues) continue;
    if (byte <= ' ') {
      result += ' ';
    } else {
      result += byte < 127 ? c : '?';
    }
  }
  return result;
}

/// In pixels, at scale 1. stb_easy_font takes a char* but does not write to it.
inline int text_width(std::string text) { return stb::stb_easy_font_width(text.data()); }

/// The text, or as much of its beginning as fits with "..." behind it.
inline std::string shorten(std::string text, int width) {
  if (text_width(text) <= width) return text;
  // Every letter is a pixel wide at least; one by one, a very long text would take the square of its length.
  text.resize(std::min(text.size(), static_cast<std::size_t>(std::max(width, 0))));
  while (!text.empty() && text_width(text + "...") > width) text.pop_back();
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text_width(text + "...") > width ? std::string() : text + "...";
}

/// Draws the text with its upper left corner at (top, left), every pixel of the font as scale x scale pixels.
inline void draw_text(Image& image, std::string text, int top, int left, int scale,
                      const std::array<std::uint8_t, 3>& color) {
  struct Corner {
    float x, y, z;
    std::uint8_t unused[4];
  };
  constexpr std::size_t corners_per_letter = std::size_t{4} * 16;  // the most intricate letter has 15 strokes
  std::vector<Corner> corners(text.size() * corners_per_letter);
  const int strokes = stb::stb_easy_font_print(0, 0, text.data(), nullptr, corners.data(),
                                               static_cast<int>(corners.size() * sizeof(Corner)));
  for (std::size_t i = 0; i < static_cast<std::size_t>(strokes); ++i) {
    const Corner& first = corners[4 * i];
    const Corner& last = corners[4 * i + 2];
    for (int y = static_cast<int>(first.y) * scale; y < static_cast<int>(last.y) * scale; ++y) {
      for (int x = static_cast<int>(first.x) * scale; x < static_cast<int>(last.x) * scale; ++x) {
        if (top + y < image.height() && left + x < image.width()) {
          std::copy(color.begin(), color.end(), pixel_at(image, top + y, left + x));
        }
      }
    }
  }
}

/// The picture as RGB, as large as height x width allows without changing its proportions.
inline Image fit(const Image& picture, int height, int width) {
  const double scale =
      std::min(static_cast<double>(height) / picture.height(), static_cast<double>(width) / picture.width());
  const auto scaled = [scale](int size, int most) {
    return std::clamp(static_cast<int>(std::lround(size * scale)), 1, most);
  };
  return resize(to_rgb(picture), scaled(picture.height(), height), scaled(picture.width(), width));
}

inline void require_sheet(std::span<const ContactSheetCell> cells, const ContactSheetOptions& options) {
  if (cells.empty()) throw ArgumentError("a contact sheet needs at least one picture, got none");
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (cells[i].picture.empty()) {
      throw ArgumentError(concat("a contact sheet's pictures must not be empty, but number ", i, " is"));
    }
  }
  const auto not_negative = [](std::string_view name, int value) {
    if (value < 0) throw ArgumentError::out_of_range(name, value, "0 or more");
  };
  not_negative("columns", options.columns);
  not_negative("padding", options.padding);
  not_negative("cell_height", options.cell_height);
  not_negative("cell_width", options.cell_width);
}

}  // namespace detail

/// One RGB picture that shows all pictures in rows, from left to right and top to bottom, each in the middle
/// of its cell and as large as that allows, its caption centred below.
///
/// Captions grow with the cells (two screen pixels to one of the font at a cell width of 224); one that is
/// too long is cut and ends in "...", a character outside ASCII shows as '?'. If all are empty, no room is
/// left for them.
///
/// Throws ArgumentError if there is no picture or an empty one, a picture has more than four channels, an
/// option is negative or the sheet would be too large.
inline Image contact_sheet(std::span<const ContactSheetCell> cells, const ContactSheetOptions& options = {}) {
  detail::require_sheet(cells, options);
  int cell_height = options.cell_height;
  int cell_width = options.cell_width;
  bool captions = false;
  for (const ContactSheetCell& cell : cells) {
    if (options.cell_height == 0) cell_height = std::max(cell_height, cell.picture.height());
    if (options.cell_width == 0) cell_width = std::max(cell_width, cell.picture.width());
    captions = captions || !cell.caption.empty();
  }
  const int count = static_cast<int>(cells.size());
  const int columns = options.columns == 0 ? detail::automatic_columns(count) : options.columns;
  const int rows = (count - 1) / columns + 1;
  const auto text_scale =
      static_cast<int>(std::clamp((std::int64_t{cell_width} + 56) / 112, std::int64_t{1}, std::int64_t{8}));
  const int caption_gap = captions ? 4 * text_scale : 0;
  const int caption_height =
      captions ? 10 * text_scale : 0;  // the font's letters with what hangs below the line

  const int padding = options.padding;
  const std::int64_t step_y = std::int64_t{cell_height} + caption_gap + caption_height + padding;
  const std::int64_t step_x = std::int64_t{cell_width} + padding;
  const std::int64_t height = step_y * rows + padding;
  const std::int64_t width = step_x * columns + padding;
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  if (height > most || width > most / height) {  // a product could be too large for 64 bits
    throw ArgumentError(detail::concat("a contact sheet of ", height, "x", width, " pixels is too large"));
  }

  Image sheet(static_cast<int>(height), static_cast<int>(width), 3);
  for (int y = 0; y < sheet.height(); ++y) {
    for (int x = 0; x < sheet.width(); ++x) {
      std::copy(options.background.begin(), options.background.end(), detail::pixel_at(sheet, y, x));
    }
  }
  const Image background(1, 1, 3, {options.background.begin(), options.background.end()});
  const bool light = to_gray(background)(0, 0, 0) > 127;
  const auto ink =
      light ? std::array<std::uint8_t, 3>{48, 48, 48} : std::array<std::uint8_t, 3>{224, 224, 224};

  for (int i = 0; i < count; ++i) {
    const ContactSheetCell& cell = cells[static_cast<std::size_t>(i)];
    const int top = padding + static_cast<int>(step_y) * (i / columns);
    const int left = padding + static_cast<int>(step_x) * (i % columns);
    const Image picture = detail::fit(cell.picture, cell_height, cell_width);
    const int picture_top = top + (cell_height - picture.height()) / 2;
    const int picture_left = left + (cell_width - picture.width()) / 2;
    for (int y = 0; y < picture.height(); ++y) {
      std::copy_n(detail::pixel_at(picture, y, 0), std::ptrdiff_t{3} * picture.width(),
                  detail::pixel_at(sheet, picture_top + y, picture_left));
    }
    const std::string caption = detail::shorten(detail::printable(cell.caption), cell_width / text_scale);
    const int text_left = left + (cell_width - detail::text_width(caption) * text_scale) / 2;
    detail::draw_text(sheet, caption, top + cell_height + caption_gap, text_left, text_scale, ink);
  }
  return sheet;
}

}  // namespace salience
