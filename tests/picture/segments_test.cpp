#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/segments.hpp>

using salience::ArgumentError;
using salience::grid_segments;
using salience::Image;
using salience::Segments;
using salience::segments_of;

namespace {
using Labels = std::vector<std::int32_t>;
}  // namespace

TEST_CASE("a grid is numbered row by row, and its cells differ by one pixel at most") {
  const Segments grid = grid_segments(4, 6, 2, 3);
  CHECK(grid.labels == Labels{0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 3, 3, 4, 4, 5, 5});
  CHECK(grid.count == 6);
  CHECK(grid(0, 5) == 2);
  CHECK(grid(2, 0) == 3);
  CHECK(grid_segments(1, 5, 1, 2).labels == Labels{0, 0, 0, 1, 1});
  CHECK(grid_segments(1, 7, 1, 3).labels == Labels{0, 0, 0, 1, 1, 2, 2});
  CHECK(grid_segments(3, 1, 3, 1).labels == Labels{0, 1, 2});
  CHECK(grid_segments(1, 1, 1, 1) == Segments{.height = 1, .width = 1, .labels = {0}, .count = 1});

  const Segments large = grid_segments(50000, 2, 50000, 1);  // y * rows is beyond 31 bits
  CHECK(large(49999, 1) == 49999);
  large.check();
}

TEST_CASE("a grid refuses what the picture cannot hold") {
  CHECK_THROWS_WITH_AS(grid_segments(4, 6, 5, 3), "the number of rows must be from 1 to the height 4, got 5",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(grid_segments(4, 6, 4, 0),
                       "the number of columns must be from 1 to the width 6, got 0", ArgumentError);
  CHECK_THROWS_AS(grid_segments(4, 6, 0, 1), ArgumentError);
  CHECK_THROWS_AS(grid_segments(4, 6, 1, 7), ArgumentError);
  CHECK_THROWS_WITH_AS(grid_segments(0, 6, 1, 1), "segments need a picture of positive sizes, got 0x6",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(grid_segments(65536, 32768, 1, 1),
                       "a picture of 65536x32768 is too large for segments, which take 2^31 - 1 pixels",
                       ArgumentError);
}

TEST_CASE("the colours of a mask are numbered as they appear, connected or not") {
  const Segments gray = segments_of(Image(2, 3, 1, {7, 0, 7, 9, 9, 0}));
  CHECK(gray == Segments{.height = 2, .width = 3, .labels = {0, 1, 0, 2, 2, 1}, .count = 3});
  CHECK(segments_of(Image(1, 3, 3, {1, 2, 3, 3, 2, 1, 1, 2, 3})).labels == Labels{0, 1, 0});
  CHECK(segments_of(Image(1, 3, 3, {0, 0, 1, 0, 1, 0, 1, 0, 0})).labels == Labels{0, 1, 2});
  CHECK(segments_of(Image(1, 2, 4, {1, 2, 3, 0, 1, 2, 3, 255})).labels == Labels{0, 1});  // alpha counts
  CHECK(segments_of(Image(1, 2, 4, {1, 2, 3, 0, 2, 2, 3, 0})).labels == Labels{0, 1});
  CHECK(segments_of(Image(1, 2, 2, {8, 1, 8, 1})).count == 1);
  CHECK(segments_of(Image(1, 1, 1)).count == 1);

  Image all(256, 256, 3);  // as many colours as pixels
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 256; ++x) {
      all(y, x, 0) = static_cast<std::uint8_t>(y);
      all(y, x, 2) = static_cast<std::uint8_t>(x);
    }
  }
  CHECK(segments_of(all).count == 65536);
  CHECK_THROWS_WITH_AS(segments_of(Image(2, 2, 5)), "a mask's number of channels must be from 1 to 4, got 5",
                       ArgumentError);
  CHECK_THROWS_AS(segments_of(Image{}), ArgumentError);
}

TEST_CASE("labels of any values become segments") {
  const Labels labels{-1, 5, 5, std::numeric_limits<std::int32_t>::min(), -1, 5};
  CHECK(segments_of(3, 2, labels) ==
        Segments{.height = 3, .width = 2, .labels = {0, 1, 1, 2, 0, 1}, .count = 3});
  CHECK_THROWS_WITH_AS(segments_of(2, 2, labels), "segments of 2x2 need 4 labels, got 6", ArgumentError);
  CHECK_THROWS_AS(segments_of(-3, -2, labels), ArgumentError);
}

TEST_CASE("check names what is wrong with segments") {
  Segments segments = grid_segments(2, 3, 1, 3);
  segments.check();
  segments.labels[4] = 3;
  CHECK_THROWS_WITH_AS(segments.check(),
                       "a label of 3 segments must be from 0 to 2, got 3 at row 1, column 1", ArgumentError);
  segments.labels[4] = -1;
  CHECK_THROWS_AS(segments.check(), ArgumentError);
  segments.labels.pop_back();
  CHECK_THROWS_WITH_AS(segments.check(), "segments of 2x3 need 6 labels, got 5", ArgumentError);
  CHECK_THROWS_AS(Segments{}.check(), ArgumentError);
}
