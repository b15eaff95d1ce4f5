#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/colormap.hpp>

using salience::ArgumentError;
using salience::BasicHeatmap;
using salience::colormap;
using salience::Colormap;
using salience::Heatmap;
using salience::Image;

namespace {

std::uint64_t fnv1a(const Colormap& map) {
  std::uint64_t value = 14695981039346656037ULL;
  for (std::size_t i = 0; i < map.size(); ++i) {
    for (const std::uint8_t byte : map[i]) value = (value ^ byte) * 1099511628211ULL;
  }
  return value;
}

Colormap::Color color_of(const Colormap& map, double value) {
  const Image picture = map(BasicHeatmap<double>::Constant(1, 1, value).eval());
  return {picture(0, 0, 0), picture(0, 0, 1), picture(0, 0, 2)};
}

}  // namespace

TEST_CASE("every named map has matplotlib's bytes") {
  std::map<std::string, std::pair<std::size_t, std::uint64_t>> golden;
  std::ifstream file(SALIENCE_TEST_DATA_DIR "/pictures/colormaps.txt");
  std::string name;
  std::size_t size = 0;
  std::uint64_t hash = 0;
  while (file >> name >> std::dec >> size >> std::hex >> hash) golden[name] = {size, hash};
  const std::vector<std::string> names = salience::colormap_names();
  CHECK(names.size() == 50);
  CHECK(names[0] == "viridis");
  CHECK(names[1] == "viridis_r");
  for (const std::string& each : names) {
    CAPTURE(each);
    REQUIRE(golden.contains(each));
    CHECK(colormap(each).size() == golden[each].first);
    CHECK(fnv1a(colormap(each)) == golden[each].second);
  }
}

TEST_CASE("the maps look as their names say") {
  CHECK(colormap("viridis")[0] == Colormap::Color{68, 1, 84});
  CHECK(colormap("gray")[0] == Colormap::Color{0, 0, 0});
  CHECK(colormap("gray")[255] == Colormap::Color{255, 255, 255});
  CHECK(colormap("gray_r")[0] == Colormap::Color{255, 255, 255});
  CHECK(colormap("jet")[0] == Colormap::Color{0, 0, 127});
  CHECK(colormap("twilight").size() == 510);
}

TEST_CASE("a value gets the entry at floor(x * size)") {
  const Colormap map({{0, 0, 0}, {1, 0, 0}, {2, 0, 0}, {3, 0, 0}});
  const double below = std::nextafter(0.25, 0.0);
  CHECK(color_of(map, 0.0)[0] == 0);
  CHECK(color_of(map, below)[0] == 0);
  CHECK(color_of(map, 0.25)[0] == 1);
  CHECK(color_of(map, 0.74)[0] == 2);
  CHECK(color_of(map, 0.75)[0] == 3);
  CHECK(color_of(map, 1.0)[0] == 3);
}

TEST_CASE("values outside [0, 1] get the first and the last entry") {
  const Colormap map({{10, 0, 0}, {20, 0, 0}, {30, 0, 0}});
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double value : {-0.0, -1e-300, -0.4, -5.0, -1e300, -infinity})
    CHECK(color_of(map, value)[0] == 10);
  for (const double value : {1.0, 1.2, 5.0, 1e300, infinity}) CHECK(color_of(map, value)[0] == 30);
}

TEST_CASE("the entry is computed in the heatmap's own precision") {
  // Just below 5 / 11: in float the product is rounded up to 5, in double it is not.
  std::vector<Colormap::Color> colors(11);
  for (std::size_t i = 0; i < 11; ++i) colors[i][0] = static_cast<std::uint8_t>(i);
  const Colormap map(colors);
  const float value = std::nextafter(5.0f / 11.0f, 0.0f);
  REQUIRE(value * 11.0f == 5.0f);
  CHECK(map(Heatmap::Constant(1, 1, value).eval())(0, 0, 0) == 5);
  CHECK(color_of(map, value)[0] == 4);
}

TEST_CASE("the picture has the heatmap's shape") {
  Heatmap heatmap(2, 3);
  heatmap << 0, 0, 1, 1, 1, 0;
  const Image picture = Colormap({{1, 2, 3}, {4, 5, 6}})(heatmap);
  CHECK(picture == Image(2, 3, 3, {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6, 1, 2, 3}));
}

TEST_CASE("colormap names what is wrong") {
  CHECK_THROWS_WITH_AS(colormap("virids"),
                       "there is no colour map 'virids'; the nearest are 'viridis', 'viridis_r', 'cividis'",
                       ArgumentError);
  CHECK_THROWS_AS(colormap("_r"), ArgumentError);
  CHECK_THROWS_AS(colormap(""), ArgumentError);
  CHECK_THROWS_WITH_AS(Colormap({}), "a colour map needs at least one colour, got none", ArgumentError);
  Heatmap heatmap = Heatmap::Zero(2, 2);
  heatmap(1, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(colormap("jet")(heatmap),
                       "a heatmap to draw must not hold NaN, got one at row 1, column 0", ArgumentError);
  CHECK_THROWS_AS(colormap("jet")(Heatmap()), ArgumentError);
}
