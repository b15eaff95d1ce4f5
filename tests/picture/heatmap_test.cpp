#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/heatmap.hpp>

using salience::ArgumentError;
using salience::BasicHeatmap;
using salience::grayscale;
using salience::Heatmap;
using salience::Image;

TEST_CASE("a heatmap's rows follow one another in memory") {
  Heatmap heatmap(2, 3);
  heatmap << 1, 2, 3, 4, 5, 6;
  CHECK(heatmap(1, 0) == 4.0f);
  CHECK(heatmap.data()[3] == 4.0f);
}

TEST_CASE("grayscale clips to [0, 1], truncates and repeats the level") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Heatmap heatmap(2, 4);
  heatmap << 0.0f, 0.5f, 1.0f, 1.7f, -0.1f, infinity, -infinity, 0.0039f;  // 0.5 is 127.5, 0.0039 is 0.99
  const std::vector<std::uint8_t> levels = {0, 127, 255, 255, 0, 255, 0, 0};
  const Image picture = grayscale(heatmap);
  REQUIRE(picture.height() == 2);
  REQUIRE(picture.width() == 4);
  REQUIRE(picture.channels() == 3);
  for (int i = 0; i < 8; ++i) {
    for (int c = 0; c < 3; ++c) CHECK(picture(i / 4, i % 4, c) == levels[static_cast<std::size_t>(i)]);
  }
}

TEST_CASE("grayscale takes doubles as well") {
  BasicHeatmap<double> heatmap(1, 3);
  heatmap << 0.25, 0.75, 1.0;
  CHECK(grayscale(heatmap) == Image(1, 3, 3, {63, 63, 63, 191, 191, 191, 255, 255, 255}));
}

TEST_CASE("grayscale refuses NaN and emptiness") {
  Heatmap heatmap = Heatmap::Zero(3, 4);
  heatmap(1, 2) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(grayscale(heatmap), "a heatmap to draw must not hold NaN, got one at row 1, column 2",
                       ArgumentError);
  CHECK_THROWS_AS(grayscale(Heatmap()), ArgumentError);
}
