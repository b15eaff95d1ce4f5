#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/image_io.hpp>

using salience::ArgumentError;
using salience::Image;

TEST_CASE("an image holds its pixels row by row, channels side by side") {
  const Image image(2, 3, 2, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(image(0, 2, 1) == 5);
  CHECK(image(1, 0, 0) == 6);
  CHECK(image(1, 2, 1) == 11);
  CHECK(Image(1, 2, 3) == Image(1, 2, 3, {0, 0, 0, 0, 0, 0}));
  CHECK(Image().empty());
  CHECK_FALSE(image.empty());
}

TEST_CASE("an image needs positive sizes and as many values as they say") {
  CHECK_THROWS_WITH_AS(Image(0, 3, 1), "an image needs positive sizes, got 0x3x1", ArgumentError);
  CHECK_THROWS_WITH_AS(Image(2, 3, 1, {1, 2}), "an image of 2x3x1 needs 6 values, got 2", ArgumentError);
}

TEST_CASE("sizes whose product wraps around are too large") {
  constexpr int half = 1 << 30, most = std::numeric_limits<int>::max();
  CHECK_THROWS_WITH_AS(Image(half, half, 16),  // 2^64 values would be none
                       "an image of 1073741824x1073741824x16 is too large for any memory", ArgumentError);
  CHECK_THROWS_AS(Image(half, half, 16, {}), ArgumentError);
  CHECK_THROWS_AS(Image(most, most, most), ArgumentError);
  CHECK_THROWS_AS(Image(most, most, 2, {1}), ArgumentError);
}

TEST_CASE("to_rgb repeats gray and drops alpha") {
  CHECK(to_rgb(Image(1, 2, 1, {7, 9})) == Image(1, 2, 3, {7, 7, 7, 9, 9, 9}));
  CHECK(to_rgb(Image(1, 2, 2, {7, 100, 9, 0})) == Image(1, 2, 3, {7, 7, 7, 9, 9, 9}));
  CHECK(to_rgb(Image(1, 2, 3, {1, 2, 3, 4, 5, 6})) == Image(1, 2, 3, {1, 2, 3, 4, 5, 6}));
  CHECK(to_rgb(Image(2, 1, 4, {1, 2, 3, 0, 4, 5, 6, 255})) == Image(2, 1, 3, {1, 2, 3, 4, 5, 6}));
  CHECK_THROWS_WITH_AS(to_rgb(Image(1, 1, 5)),
                       "the number of channels must be 1 (gray), 2, 3 (RGB) or 4, got 5", ArgumentError);
  CHECK_THROWS_AS(to_rgb(Image()), ArgumentError);
}

TEST_CASE("to_gray weighs red, green and blue as Pillow does") {
  // 0.299 * 255 = 76.2, 0.587 * 255 = 149.7, 0.114 * 255 = 29.1
  CHECK(to_gray(Image(1, 3, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255})) == Image(1, 3, 1, {76, 150, 29}));
  CHECK(to_gray(Image(1, 1, 3, {255, 255, 255})) == Image(1, 1, 1, {255}));
  CHECK(to_gray(Image(1, 2, 2, {7, 100, 9, 0})) == Image(1, 2, 1, {7, 9}));
  CHECK(to_gray(Image(1, 1, 4, {255, 0, 0, 3})) == Image(1, 1, 1, {76}));
  CHECK(to_gray(Image(1, 1, 1, {5})) == Image(1, 1, 1, {5}));
  CHECK_THROWS_AS(to_gray(Image(1, 1, 5)), ArgumentError);
  const std::string folder = SALIENCE_TEST_DATA_DIR "/pictures/";
  CHECK(to_gray(salience::load_image(folder + "scene.png")) ==
        salience::load_image(folder + "scene_gray.png"));
}
