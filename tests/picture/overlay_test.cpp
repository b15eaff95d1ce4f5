#include <doctest/doctest.h>

#include <limits>

#include <salience/error.hpp>
#include <salience/picture/overlay.hpp>

using salience::ArgumentError;
using salience::Image;
using salience::overlay;

TEST_CASE("overlay mixes by the opacity and rounds halves up") {
  const Image background(1, 2, 3, {0, 10, 255, 100, 1, 3});
  const Image heat(1, 2, 3, {255, 20, 0, 200, 2, 0});
  CHECK(overlay(background, heat, 0) == background);
  CHECK(overlay(background, heat, 1) == heat);
  CHECK(overlay(background, heat, 0.5) == Image(1, 2, 3, {128, 15, 128, 150, 2, 2}));
  CHECK(overlay(background, heat, 0.25) == Image(1, 2, 3, {64, 13, 191, 125, 1, 2}));
}

TEST_CASE("overlay takes gray pictures and drops alpha") {
  const Image heat(1, 1, 3, {10, 20, 30});
  CHECK(overlay(Image(1, 1, 1, {100}), heat, 0.5) == Image(1, 1, 3, {55, 60, 65}));
  CHECK(overlay(Image(1, 1, 2, {100, 0}), heat, 0.5) == Image(1, 1, 3, {55, 60, 65}));
  CHECK(overlay(Image(1, 1, 4, {100, 50, 10, 0}), heat, 0.5) == Image(1, 1, 3, {55, 35, 20}));
  CHECK(overlay(heat, Image(1, 1, 1, {100}), 1) == Image(1, 1, 3, {100, 100, 100}));
}

TEST_CASE("overlay names what does not fit") {
  const Image image(2, 3, 3);
  CHECK_THROWS_WITH_AS(overlay(image, Image(3, 2, 3), 0.5),
                       "overlay needs two pictures of one size, got a background of 2x3 and a heat of 3x2",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(overlay(image, image, 1.5), "opacity must be a number from 0 to 1, got 1.5",
                       ArgumentError);
  CHECK_THROWS_AS(overlay(image, image, -0.01), ArgumentError);
  CHECK_THROWS_AS(overlay(image, image, std::numeric_limits<double>::quiet_NaN()), ArgumentError);
  CHECK_THROWS_AS(overlay(Image(2, 3, 5), image, 0.5), ArgumentError);
}
