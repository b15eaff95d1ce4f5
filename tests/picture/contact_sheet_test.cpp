#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/contact_sheet.hpp>

using salience::ArgumentError;
using salience::contact_sheet;
using salience::ContactSheetCell;
using salience::Image;
using Color = std::array<std::uint8_t, 3>;

namespace {

Image flat(int height, int width, const Color& color) {
  Image image(height, width, 3);
  for (std::size_t i = 0; i < image.pixels().size(); ++i) image.pixels()[i] = color[i % 3];
  return image;
}

Color at(const Image& image, int y, int x) { return {image(y, x, 0), image(y, x, 1), image(y, x, 2)}; }

/// How many pixels of the columns [left, right) and rows [top, bottom) have that colour.
int count(const Image& image, const Color& color, int top, int bottom, int left, int right) {
  int found = 0;
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) found += at(image, y, x) == color;
  }
  return found;
}

constexpr Color red = {200, 0, 0};
constexpr Color white = {255, 255, 255};
constexpr Color dark = {48, 48, 48};
constexpr Color light = {224, 224, 224};

}  // namespace

TEST_CASE("pictures without captions stand in rows, padding around and between") {
  const std::vector<ContactSheetCell> cells(5, {flat(20, 30, red), ""});
  const Image sheet = contact_sheet(cells, {.columns = 3, .padding = 4});
  CHECK(sheet.height() == 2 * 20 + 3 * 4);
  CHECK(sheet.width() == 3 * 30 + 4 * 4);
  CHECK(sheet.channels() == 3);
  CHECK(count(sheet, red, 0, sheet.height(), 0, sheet.width()) == 5 * 20 * 30);
  CHECK(count(sheet, red, 4, 24, 4, 34) == 600);       // the first
  CHECK(count(sheet, red, 28, 48, 38, 68) == 600);     // the fifth
  CHECK(count(sheet, white, 28, 48, 72, 102) == 600);  // an empty place
}

TEST_CASE("the number of columns leaves few places empty") {
  const auto columns = [](std::size_t cells) {
    const std::vector<ContactSheetCell> all(cells, {flat(1, 1, red), ""});
    return contact_sheet(all, {.padding = 0}).width();
  };
  CHECK(columns(1) == 1);
  CHECK(columns(2) == 2);
  CHECK(columns(3) == 3);
  CHECK(columns(4) == 2);
  CHECK(columns(6) == 3);
  CHECK(columns(7) == 4);
  CHECK(columns(10) == 5);
}

TEST_CASE("a picture is fitted into its cell, in the middle, without changing its proportions") {
  const std::vector<ContactSheetCell> cells = {{flat(10, 40, red), ""}};
  const Image sheet = contact_sheet(cells, {.padding = 0, .cell_height = 20, .cell_width = 20});
  CHECK(sheet.height() == 20);
  CHECK(count(sheet, red, 7, 12, 0, 20) == 100);  // 10x40 becomes 5x20
  CHECK(count(sheet, white, 0, 20, 0, 20) == 300);
  const Image larger = contact_sheet(cells, {.padding = 0, .cell_height = 100, .cell_width = 80});
  CHECK(count(larger, red, 40, 60, 0, 80) == 1600);
  CHECK(count(larger, white, 0, 100, 0, 80) == 6400);
}

TEST_CASE("cells are as large as the largest picture, and gray is shown too") {
  const std::vector<ContactSheetCell> cells = {{flat(10, 40, red), ""}, {Image(30, 5, 1), ""}};
  const Image sheet = contact_sheet(cells, {.columns = 2, .padding = 0});
  CHECK(sheet.height() == 30);
  CHECK(sheet.width() == 80);
  CHECK(count(sheet, {0, 0, 0}, 0, 30, 40, 80) == 150);
}

TEST_CASE("a caption is drawn below its picture, centred, dark on light and light on dark") {
  const std::vector<ContactSheetCell> cells = {{flat(50, 112, red), "iii"}};
  const Image sheet = contact_sheet(cells, {.padding = 2});
  REQUIRE(sheet.height() == 2 + 50 + 4 + 10 + 2);
  CHECK(count(sheet, red, 0, 52, 0, sheet.width()) == 50 * 112);
  CHECK(count(sheet, dark, 0, 56, 0, sheet.width()) == 0);
  CHECK(count(sheet, dark, 56, 68, 0, sheet.width()) == 3 * 5);  // an i has a dot and a stem
  CHECK(count(sheet, dark, 56, 68, 0, 50) == 0);                 // in the middle
  CHECK(count(sheet, dark, 56, 68, 66, 116) == 0);
  const Image night = contact_sheet(cells, {.padding = 2, .background = {10, 10, 10}});
  CHECK(count(night, light, 56, 68, 0, 116) == count(sheet, dark, 56, 68, 0, 116));
  CHECK(count(night, dark, 0, 68, 0, 116) == 0);
}

TEST_CASE("captions grow with the cells") {
  const Image small =
      contact_sheet(std::vector<ContactSheetCell>{{flat(9, 112, red), "abc"}}, {.padding = 0});
  const Image large =
      contact_sheet(std::vector<ContactSheetCell>{{flat(9, 224, red), "abc"}}, {.padding = 0});
  CHECK(small.height() == 9 + 14);
  CHECK(large.height() == 9 + 28);
  CHECK(count(large, dark, 9, 37, 0, 224) == 4 * count(small, dark, 9, 23, 0, 112));
}

TEST_CASE("a long caption is shortened and stays within its cell") {
  using salience::detail::shorten;
  using salience::detail::text_width;
  const std::string text = "a caption that is too long";
  CHECK(shorten(text, 1000) == text);
  CHECK(shorten(text, text_width(text)) == text);
  const std::string cut = shorten(text, text_width(text) - 1);
  CHECK(cut.ends_with("..."));
  CHECK(text.starts_with(cut.substr(0, cut.size() - 3)));
  CHECK(text_width(cut) < text_width(text));
  CHECK(shorten("ab cdefgh", text_width("ab ...")) == "ab...");  // no space before the dots
  CHECK(shorten(text, 1).empty());
  CHECK(shorten(std::string(1 << 22, 'i'), 60) == shorten(std::string(60, 'i'), 60));
  CHECK(shorten(text, -1).empty());
  for (char letter = ' '; letter < 127; ++letter) CHECK(text_width(std::string(1, letter)) >= 1);
  const std::vector<ContactSheetCell> cells(2, {flat(9, 60, red), text});
  const Image sheet = contact_sheet(cells, {.padding = 30});
  REQUIRE(sheet.width() == 2 * 60 + 3 * 30);
  CHECK(count(sheet, dark, 0, sheet.height(), 30, 90) > 20);
  CHECK(count(sheet, dark, 0, sheet.height(), 90, 120) == 0);
}

TEST_CASE("characters that the font lacks become question marks, white space a space") {
  CHECK(salience::detail::printable("a\tb\nc~\x7f") == "a b c~?");
  CHECK(salience::detail::printable("Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x90\x88") == "Z?rich ? ?");
}

TEST_CASE("no letter has more strokes than draw_text makes room for") {
  for (char letter = ' '; letter < 127; ++letter) {
    CAPTURE(letter);
    char text[2] = {letter, 0};
    std::vector<float> corners(16 * 4 * 64);
    CHECK(salience::detail::stb::stb_easy_font_print(0, 0, text, nullptr, corners.data(),
                                                     static_cast<int>(corners.size() * sizeof(float))) <= 16);
  }
}

TEST_CASE("contact_sheet names what is wrong") {
  const std::vector<ContactSheetCell> cells = {{flat(2, 2, red), ""}, {Image(), "empty"}};
  CHECK_THROWS_WITH_AS(contact_sheet({}), "a contact sheet needs at least one picture, got none",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(contact_sheet(cells), "a contact sheet's pictures must not be empty, but number 1 is",
                       ArgumentError);
  const std::vector<ContactSheetCell> good(1, cells[0]);
  CHECK_THROWS_WITH_AS(contact_sheet(good, {.columns = -1}), "columns must be 0 or more, got -1",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(contact_sheet(good, {.padding = -2}), "padding must be 0 or more, got -2",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(contact_sheet(good, {.cell_height = -3}), "cell_height must be 0 or more, got -3",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(contact_sheet(good, {.cell_width = -4}), "cell_width must be 0 or more, got -4",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(contact_sheet(good, {.padding = 0, .cell_height = 100000, .cell_width = 100000}),
                       "a contact sheet of 100000x100000 pixels is too large", ArgumentError);
}

TEST_CASE("no option is so large that a size wraps around") {
  constexpr int most = std::numeric_limits<int>::max();
  const std::vector<ContactSheetCell> cells(2, {flat(2, 3, red), "a"});
  CHECK_THROWS_WITH_AS(contact_sheet(cells, {.columns = most, .padding = 1}),
                       "a contact sheet of 18x8589934589 pixels is too large", ArgumentError);
  CHECK_THROWS_WITH_AS(contact_sheet(cells, {.columns = most, .padding = most, .cell_width = most}),
                       "a contact sheet of 4294967408x9223372030412324865 pixels is too large",
                       ArgumentError);
  CHECK_THROWS_AS(contact_sheet(cells, {.padding = most}), ArgumentError);
  CHECK_THROWS_AS(contact_sheet(cells, {.padding = 0, .cell_height = most}), ArgumentError);
  CHECK_THROWS_AS(contact_sheet(cells, {.padding = 0, .cell_width = most}), ArgumentError);
  CHECK_THROWS_AS(contact_sheet(cells, {.padding = most, .cell_height = most, .cell_width = most}),
                  ArgumentError);
  const Image sheet = contact_sheet(cells, {.columns = 100000, .padding = 0});
  CHECK(sheet.width() == 300000);
  CHECK(count(sheet, red, 0, 2, 0, 6) == 12);
}
