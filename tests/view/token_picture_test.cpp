#include <salience/view/token_picture.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;

namespace {

using Words = std::vector<std::string>;
using Numbers = std::vector<double>;
using Color = std::array<std::uint8_t, 3>;

Color color_at(const Image& image, int y, int x) { return {image(y, x, 0), image(y, x, 1), image(y, x, 2)}; }

int count(const Image& image, const Color& color) {
  int found = 0;
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) found += color_at(image, y, x) == color;
  }
  return found;
}

constexpr Color white{255, 255, 255};
constexpr int gap = 6, box = 8 * 2 + 2 * gap;  // at scale 2

}  // namespace

TEST_CASE("words are boxes in a row, in the colours of their numbers") {
  const Image picture = token_picture(Words{"for", "against"}, Numbers{1.0, -1.0});
  CHECK(picture.channels() == 3);
  CHECK(picture.height() == box + 2 * gap);
  const int first = salience::detail::text_width("for") * 2 + 2 * gap,
            second = salience::detail::text_width("against") * 2 + 2 * gap;
  CHECK(picture.width() == first + second + 3 * gap);
  const Colormap colors = colormap("RdBu_r");
  CHECK(color_at(picture, 0, 0) == white);
  CHECK(color_at(picture, gap, gap) == colors[255]);
  CHECK(color_at(picture, gap + box - 1, gap + first - 1) == colors[255]);
  CHECK(color_at(picture, gap, gap + first) == white);
  CHECK(color_at(picture, gap, 2 * gap + first) == colors[0]);
  // What is neither white nor a box is letters, which are white here.
  CHECK(count(picture, colors[255]) > first * box / 2);
  CHECK(count(picture, colors[255]) < first * box);
  CHECK(count(picture, colors[0]) < second * box);
}

TEST_CASE("rows end at the width") {
  const Words words(10, "word");
  const Numbers numbers(10, 0.0);
  const Image one = token_picture(words, numbers, {.width = 10'000});
  CHECK(one.height() == box + 2 * gap);
  const int step = (one.width() - gap) / 10;
  const Image rows = token_picture(words, numbers, {.width = 4 * step + gap});
  CHECK(rows.width() == 4 * step + gap);
  CHECK(rows.height() == 3 * (box + gap) + gap);
  CHECK(token_picture(words, numbers, {.width = 4 * step + gap - 1}).width() == 3 * step + gap);
  CHECK(token_picture(words, numbers, {.width = 32}).height() == 10 * (box + gap) + gap);
}

TEST_CASE("a word of any length and of any letters stays in its row") {
  const Image picture = token_picture(Words{std::string(100'000, 'x'), "caf\xc3\xa9", "", "\n"},
                                      Numbers{1.0, 2.0, 3.0, 4.0}, {.width = 200});
  CHECK(picture.width() <= 200);
  for (const int width : {32, 33, 50, 64}) {
    for (const int scale : {1, 2, 5, 32}) {
      const Image small = token_picture(Words{"unbelievable", "", "a"}, Numbers{1.0, -1.0, 0.0},
                                        {.width = width, .scale = scale});
      // One letter's room is more than that only if the scale says so.
      CHECK(small.width() <= std::max(width, 16 * scale));
    }
  }
}

TEST_CASE("the scale makes everything larger") {
  const Image small = token_picture(Words{"good", "film"}, Numbers{1.0, 0.5}, {.width = 1000, .scale = 1});
  const Image large = token_picture(Words{"good", "film"}, Numbers{1.0, 0.5}, {.width = 1000, .scale = 3});
  CHECK(large.width() == 3 * small.width());
  CHECK(large.height() == 3 * small.height());
}

TEST_CASE("misuse has one sentence") {
  const auto said = [](const TokenViewOptions& options) {
    return message<ArgumentError>([&] { token_picture(Words{"a"}, Numbers{1.0}, options); });
  };
  CHECK(said({.width = 31}) == "width must be at least 32, got 31");
  CHECK(said({.scale = 0}) == "scale must be from 1 to 32, got 0");
  CHECK(said({.scale = 33}) == "scale must be from 1 to 32, got 33");
  CHECK(contains(message<ArgumentError>([] { token_picture(Words{}, Numbers{}); }), "at least one"));
}
