// slic, felzenszwalb and quickshift, by what their definitions say of small pictures. Photos are compared
// with scikit-image in tests/parity/test_superpixels.py.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/detail/normal_draws.hpp>
#include <salience/picture/felzenszwalb.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/quickshift.hpp>
#include <salience/picture/segments.hpp>
#include <salience/picture/slic.hpp>

using salience::ArgumentError;
using salience::felzenszwalb;
using salience::Image;
using salience::quickshift;
using salience::Segments;
using salience::slic;

namespace {

using Labels = std::vector<std::int32_t>;
using Segmenter = std::function<Segments(const Image&)>;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

std::vector<Segmenter> segmenters() {
  return {[](const Image& image) { return slic(image); },
          [](const Image& image) { return slic(image, {.segments = 12, .sigma = 1}); },
          [](const Image& image) { return slic(image, {.connected = false, .zero = true}); },
          [](const Image& image) { return felzenszwalb(image); },
          [](const Image& image) { return quickshift(image); }};
}

/// Smooth colours with some noise, so that there are segments to find.
Image painted(int height, int width, int channels) {
  Image image(height, width, channels);
  std::uint32_t state = 1;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        state = state * 1664525 + 1013904223;
        const double wave = 120 + 60 * std::sin(0.3 * x + c) + 60 * std::cos(0.25 * y - c);
        image(y, x, c) = static_cast<std::uint8_t>(wave + static_cast<double>(state >> 28));
      }
    }
  }
  return image;
}

/// Black, and from column `from` on white.
Image halves(int height, int width, int channels, int from) {
  Image image(height, width, channels);
  for (int y = 0; y < height; ++y) {
    for (int x = from; x < width; ++x) {
      for (int c = 0; c < channels; ++c) image(y, x, c) = 255;
    }
  }
  return image;
}

/// How many connected pieces (up, down, left, right) the segments have.
int pieces(const Segments& segments) {
  std::vector<char> seen(segments.labels.size());
  int count = 0;
  for (int y = 0; y < segments.height; ++y) {
    for (int x = 0; x < segments.width; ++x) {
      const auto at = [&](int v, int u) {
        return static_cast<std::size_t>(v) * static_cast<std::size_t>(segments.width) +
               static_cast<std::size_t>(u);
      };
      if (seen[at(y, x)] != 0) continue;
      ++count;
      seen[at(y, x)] = 1;
      std::vector<std::pair<int, int>> front{{y, x}};
      while (!front.empty()) {
        const auto [v, u] = front.back();
        front.pop_back();
        for (const auto& [down, right] : {std::pair{1, 0}, {-1, 0}, {0, 1}, {0, -1}}) {
          const int b = v + down, a = u + right;
          if (b < 0 || b >= segments.height || a < 0 || a >= segments.width || seen[at(b, a)] != 0) continue;
          if (segments(b, a) != segments(v, u)) continue;
          seen[at(b, a)] = 1;
          front.emplace_back(b, a);
        }
      }
    }
  }
  return count;
}

/// What every function promises: a label for each pixel, from 0 to count - 1, each of them taken.
void check_whole(const Segments& segments, const Image& image) {
  segments.check();
  CHECK(segments.height == image.height());
  CHECK(segments.width == image.width());
  const std::set<std::int32_t> taken(segments.labels.begin(), segments.labels.end());
  CHECK(static_cast<std::int32_t>(taken.size()) == segments.count);
}

Image repeated(const Image& gray) { return to_rgb(gray); }

Image with_alpha(const Image& image) {
  Image result(image.height(), image.width(), image.channels() + 1);
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      for (int c = 0; c < image.channels(); ++c) result(y, x, c) = image(y, x, c);
      result(y, x, image.channels()) = static_cast<std::uint8_t>(37 * y + 91 * x);
    }
  }
  return result;
}

}  // namespace

TEST_CASE("segments are whole and the same again, whatever the size and the channels") {
  for (const Segmenter& segment : segmenters()) {
    for (const int channels : {1, 3}) {
      for (const auto& size :
           {std::pair{1, 1}, {1, 2}, {2, 1}, {1, 40}, {40, 1}, {2, 2}, {3, 50}, {23, 31}}) {
        const int height = size.first, width = size.second;
        CAPTURE(channels);
        CAPTURE(height);
        CAPTURE(width);
        const Image image = painted(height, width, channels);
        const Segments segments = segment(image);
        check_whole(segments, image);
        CHECK(segment(image) == segments);
        CHECK(segment(with_alpha(image)) == segments);
      }
    }
    CHECK_THROWS_AS(segment(Image{}), ArgumentError);
    CHECK_THROWS_AS(segment(Image(3, 3, 5)), ArgumentError);
  }
}

TEST_CASE("no segment holds both sides of a sharp edge, and a flat picture has none to show") {
  for (const int channels : {1, 3}) {
    const Image image = halves(20, 24, channels, 9);
    const auto crosses = [&](const Segments& segments) {
      std::set<std::int32_t> black, common;
      for (int y = 0; y < 20; ++y) {
        for (int x = 0; x < 9; ++x) black.insert(segments(y, x));
        for (int x = 9; x < 24; ++x) {
          if (black.count(segments(y, x)) != 0) common.insert(segments(y, x));
        }
      }
      return !common.empty();
    };
    CHECK_FALSE(crosses(slic(image, {.segments = 8, .compactness = channels == 1 ? 0.1 : 10})));
    CHECK_FALSE(crosses(felzenszwalb(image, {.sigma = 0})));
    CHECK(felzenszwalb(image, {.sigma = 0}).count == 2);
    CHECK(felzenszwalb(image, {.sigma = 0}).labels[9] == 1);
    CHECK_FALSE(crosses(quickshift(image)));
    CHECK(quickshift(image).count == 2);
    CHECK(quickshift(image, {.distance = 1000}).count == 1);  // nothing is too far
    CHECK(felzenszwalb(Image(20, 24, channels)).count == 1);
    CHECK(quickshift(Image(20, 24, channels)).count == 1);
  }
}

TEST_CASE("slic cuts a flat picture into a grid") {
  for (const std::uint8_t level : {std::uint8_t{0}, std::uint8_t{200}}) {
    const Image flat(20, 20, 1, std::vector<std::uint8_t>(400, level));
    const Segments four =
        slic(flat, {.segments = 4});  // centres at 5 and 15; what is at 10 goes to the first
    CHECK(four.count == 4);
    CHECK(four(0, 0) == 0);
    CHECK(four(0, 19) == 1);
    CHECK(four(19, 0) == 2);
    CHECK(four(19, 19) == 3);
    CHECK(pieces(four) == 4);
    CHECK(slic(repeated(flat), {.segments = 4}) == four);
  }
  CHECK(slic(Image(1, 30, 1), {.segments = 3, .iterations = 1}).labels ==
        Labels{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2});
  CHECK(slic(Image(30, 1, 1), {.segments = 3, .iterations = 1}).labels ==
        slic(Image(1, 30, 1), {.segments = 3, .iterations = 1}).labels);
  CHECK(slic(Image(30, 30, 3), {.segments = 1}).count == 1);
  CHECK(slic(Image(30, 30, 3), {.segments = std::numeric_limits<int>::max()}).count == 900);
  // Too low for the step of sqrt(2 * 400 / 4), so all centres are in one row.
  const Segments low = slic(Image(2, 400, 1), {.segments = 4});
  CHECK(low.count == 4);
  CHECK(low(0, 99) == 0);
  CHECK(low(1, 101) == 1);
  CHECK(low(1, 301) == 3);
}

TEST_CASE("each segment of slic is one piece, of a size within its bounds") {
  for (const int channels : {1, 3}) {
    const Image image = painted(61, 83, channels);
    for (const int wanted : {5, 50, 700}) {
      for (const double compactness : {0.01, 1.0, 10.0}) {
        const Segments segments = slic(image, {.segments = wanted, .compactness = compactness});
        check_whole(segments, image);
        CHECK(pieces(segments) == segments.count);
      }
    }
    const salience::SlicOptions loose{.segments = 50, .compactness = 0.01, .connected = false};
    const Segments scattered = slic(image, loose);
    check_whole(scattered, image);
    CHECK(pieces(scattered) > scattered.count);
  }
  const Image image = painted(60, 60, 3);
  const Segments cut = slic(image, {.segments = 9, .minimum_size = 0, .maximum_size = 0.25});
  std::vector<int> sizes(static_cast<std::size_t>(cut.count));
  for (const std::int32_t label : cut.labels) ++sizes[static_cast<std::size_t>(label)];
  CHECK(*std::max_element(sizes.begin(), sizes.end()) == 100);  // a quarter of 3600 / 9
  CHECK(pieces(cut) == cut.count);
}

TEST_CASE("pieces join the segment beside them that was met last, and large ones are cut") {
  using salience::detail::connected_segments;
  const Labels island{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  CHECK(connected_segments(island, 3, 4, 2, 12).labels == Labels(12, 0));
  CHECK(connected_segments(island, 3, 4, 1, 12).labels == Labels{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0});
  CHECK(connected_segments({0, 1, 0, 1}, 1, 4, 1, 4).labels == Labels{0, 1, 2, 3});
  CHECK(connected_segments({0, 1, 1, 1}, 1, 4, 2, 4).count == 1);  // the first piece has none to join
  CHECK(connected_segments({0, 0, 0, 0, 0}, 1, 5, 1, 2).labels == Labels{0, 0, 1, 1, 2});
  CHECK(connected_segments({0, 0, 0, 0, 0}, 1, 5, 2, 2).labels == Labels{0, 0, 1, 1, 1});
  CHECK(connected_segments({0, 1, 2}, 3, 1, 1, 3).labels == Labels{0, 1, 2});
}

TEST_CASE("slic weighs colour against space as it is told") {
  const Image image = halves(20, 24, 3, 9);
  const auto at_edge = [&](const salience::SlicOptions& options) {  // do pixels beside the edge part?
    const Segments segments = slic(image, options);
    int parted = 0;
    for (int y = 0; y < 20; ++y) parted += segments(y, 8) != segments(y, 9) ? 1 : 0;
    return parted;
  };
  CHECK(at_edge({.segments = 8, .compactness = 10}) == 20);
  CHECK(at_edge({.segments = 8, .compactness = 1000000}) < 20);
  CHECK(at_edge({.segments = 8, .compactness = 10, .iterations = 1}) < 20);  // of positions alone
  // 0 and 1 stretch to what 0 and 255 are
  Image faint = image;
  for (std::uint8_t& value : faint.pixels()) value = value == 0 ? 100 : 101;
  CHECK(slic(faint, {.segments = 8}) == slic(image, {.segments = 8}));
  // SLICO counts the distance to the edge relative to what the segment had
  const Image rough = painted(60, 60, 3);
  CHECK(slic(rough, {.zero = true}) != slic(rough, {.zero = false}));
  CHECK(slic(rough, {.sigma = 2}) != slic(rough));
}

TEST_CASE("a centre of slic that lost all its pixels is gone, and leaves no number out") {
  // After the first round 0 is the mean of three pixels, 0.5 that of two, and 1 that of the last.
  const Image image(1, 6, 1, {0, 0, 0, 0, 255, 255});
  const salience::SlicOptions options{.segments = 3, .compactness = 0.01, .connected = false};
  CHECK(slic(image, options) == Segments{.height = 1, .width = 6, .labels = {0, 0, 0, 0, 1, 1}, .count = 2});
}

TEST_CASE("felzenszwalb joins what costs less than both sides allow") {
  const auto labels = [](const std::vector<double>& values, double k, int minimum = 0) {
    return felzenszwalb(values, 1, static_cast<int>(values.size()), 1,
                        {.scale = 255 * k, .sigma = 0, .minimum = minimum})
        .labels;
  };
  CHECK(labels({0, 1}, 0.99) == Labels{0, 1});
  CHECK(labels({0, 1}, 1.01) == Labels{0, 0});
  CHECK(labels({0, 1, 2.2}, 1.1) == Labels{0, 0, 1});  // 1.2 is above the last pixel's 0 + 1.1 / 1
  CHECK(labels({0, 1, 2.2}, 1.3) == Labels{0, 0, 0});  // and below the pair's 1 + 1.3 / 2
  CHECK(labels({0, 1, 2, 4, 5, 6}, 1.5) == Labels{0, 0, 0, 1, 1, 1});  // 2 is above 1 + 1.5 / 3
  CHECK(labels({0, 1, 2, 4, 5, 6}, 3.1) == Labels{0, 0, 0, 0, 0, 0});  // and below 1 + 3.1 / 3
  // Pairs are made from the cheapest edge on, and only where one side is too small.
  CHECK(labels({0, 5, 7, 20, 21}, 0, 2) == Labels{0, 0, 0, 1, 1});
  CHECK(labels({0, 5, 7, 20, 21}, 0, 4) == Labels{0, 0, 0, 0, 0});
  CHECK(labels({0, 5, 7, 20, 21}, 0, 1) == Labels{0, 1, 2, 3, 4});
}

TEST_CASE("felzenszwalb looks at eight neighbours and at all channels") {
  const salience::FelzenszwalbOptions options{.scale = 255, .sigma = 0, .minimum = 0};
  CHECK(felzenszwalb(std::vector<double>{0, 9, 9, 0}, 2, 2, 1, options).labels == Labels{0, 1, 1, 0});
  CHECK(felzenszwalb(std::vector<double>{9, 0, 0, 9}, 2, 2, 1, options).labels == Labels{0, 1, 1, 0});
  CHECK(felzenszwalb(std::vector<double>{0, 8, 0, 8}, 2, 2, 1, options).labels == Labels{0, 1, 0, 1});
  // sqrt(0.6^2 + 0.7^2) is below 1, sqrt(0.6^2 + 0.9^2) is not
  CHECK(felzenszwalb(std::vector<double>{0, 0, 0.6, 0.7}, 1, 2, 2, options).count == 1);
  CHECK(felzenszwalb(std::vector<double>{0, 0, 0.6, 0.9}, 1, 2, 2, options).count == 2);
  // a picture's values are from 0 to 1
  const Image pair(1, 2, 1, {100, 150});
  CHECK(felzenszwalb(pair, {.scale = 49, .sigma = 0, .minimum = 0}).count == 2);
  CHECK(felzenszwalb(pair, {.scale = 51, .sigma = 0, .minimum = 0}).count == 1);
  CHECK(felzenszwalb(repeated(pair), {.scale = 51, .sigma = 0, .minimum = 0}).count == 2);  // sqrt(3) as far
}

TEST_CASE("quickshift climbs to the nearest denser pixel that is not too far") {
  const Image flat(1, 3, 3);  // the density is highest in the middle
  CHECK(quickshift(flat).labels == Labels{0, 0, 0});
  CHECK(quickshift(flat, {.distance = 0.9}).labels == Labels{0, 1, 2});
  CHECK(quickshift(flat, {.distance = infinity}).count == 1);
  // Roots are numbered as they stand: the trees' modes are here the middle columns of the two colours.
  Image bars(1, 7, 3);
  for (const int x : {0, 3, 4, 5}) bars(0, x, 1) = 250;
  CHECK(quickshift(bars, {.kernel = 1, .distance = 4}).labels == Labels{1, 0, 0, 1, 1, 1, 2});
  // Far colours are near where the ratio is small.
  const Image image = halves(20, 24, 3, 9);
  CHECK(quickshift(image, {.ratio = 0.01}).count == 1);
  CHECK(quickshift(image, {.ratio = 0}).count == 1);
  CHECK(quickshift(repeated(painted(12, 17, 1))) == quickshift(painted(12, 17, 1)));
  CHECK(quickshift(Image(3, 4, 3), {.kernel = 1e300}).count == 1);
  const Image rough = painted(30, 30, 3);
  CHECK(quickshift(rough, {.kernel = 2}).count > quickshift(rough, {.kernel = 6}).count);
  CHECK(quickshift(rough, {.sigma = 3}) != quickshift(rough));
}

TEST_CASE("the density is a sum over the window") {
  salience::detail::QuickshiftField field{.height = 2, .width = 9, .lab = {}};
  for (std::size_t i = 0; i < 54; ++i) field.lab.push_back(static_cast<double>(i * i % 5) * 0.4);
  const std::vector<double> density = field.densities(1, 0);
  for (std::size_t y = 0; y < 2; ++y) {
    for (std::size_t x = 0; x < 9; ++x) {
      double sum = 0;
      for (std::size_t v = 0; v < 2; ++v) {
        for (std::size_t u = x - std::min(x, std::size_t{3}); u < std::min(x + 4, std::size_t{9}); ++u) {
          double squared = v == y ? 0 : 1;
          squared += (static_cast<double>(u) - static_cast<double>(x)) *
                     (static_cast<double>(u) - static_cast<double>(x));
          for (std::size_t c = 0; c < 3; ++c) {
            squared += std::pow(field.lab[3 * (9 * y + x) + c] - field.lab[3 * (9 * v + u) + c], 2);
          }
          sum += std::exp(-squared / 2);
        }
      }
      CHECK(std::abs(density[9 * y + x] - sum) < 0.0001);  // ten standard deviations of the noise
    }
  }
}

TEST_CASE("the noise that breaks ties is NumPy's") {
  salience::detail::NormalDraws draws(42);
  CHECK(draws() == doctest::Approx(0.30471707975443135).epsilon(1e-14));
  CHECK(draws() == doctest::Approx(-1.0399841062404955).epsilon(1e-14));
  CHECK(draws() == doctest::Approx(0.7504511958064572).epsilon(1e-14));
  double weighted = 0;  // of many, so that some are in the tail and some at the rim of their layer
  for (int i = 0; i < 100000; ++i) weighted += draws() * (i % 7 + 1);
  CHECK(weighted == doctest::Approx(-2090.889836286754).epsilon(1e-11));
  CHECK(salience::detail::NormalDraws(7000000000)() == doctest::Approx(0.9717036864073207).epsilon(1e-14));
  // Inside a flat picture all densities are equal but for it.
  const Image flat(30, 30, 1);
  CHECK(quickshift(flat, {.kernel = 1, .distance = 3, .seed = 1}) !=
        quickshift(flat, {.kernel = 1, .distance = 3, .seed = 2}));
}

TEST_CASE("colours become Lab, and a Gaussian sees the picture mirrored behind its edges") {
  using salience::detail::gaussian;
  const Image colours(1, 3, 3, {255, 255, 255, 255, 0, 0, 0, 0, 0});
  const std::vector<double> lab = salience::detail::lab_features(colours, salience::detail::unit_levels());
  const std::vector<double> known{100, 0, 0, 53.24, 80.09, 67.20, 0, 0, 0};
  for (std::size_t i = 0; i < known.size(); ++i) {
    CHECK(std::abs(lab[i] - known[i]) < 0.01);
  }

  std::vector<double> impulse(21);
  impulse[10] = 1;
  const std::vector<double> bell = gaussian(impulse, 1, 21, 1.0);
  CHECK(bell[12] / bell[10] == doctest::Approx(std::exp(-2.0)));
  CHECK(bell[8] == bell[12]);
  CHECK(bell[14] > 0);
  CHECK(bell[15] == 0);  // beyond four sigma
  CHECK(gaussian(impulse, 21, 1, 1.0)[12] == doctest::Approx(bell[12]).epsilon(1e-14));
  const std::vector<double> edge = gaussian({1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1, 10, 1.0);
  CHECK(edge[0] == doctest::Approx(bell[10] + bell[11]));  // itself and its mirror image
  CHECK(edge[1] == doctest::Approx(bell[11] + bell[12]));
  for (const double value : gaussian({3, 3, 3}, 1, 3, 900.0)) CHECK(value == doctest::Approx(3));
  const std::vector<double> wide = gaussian({0, 1, 0, 1}, 1, 2, 50.0);  // two channels, many mirrors
  for (const std::size_t i : {0U, 2U}) CHECK(wide[i] == doctest::Approx(0));
  for (const std::size_t i : {1U, 3U}) CHECK(wide[i] == doctest::Approx(1));
  CHECK(gaussian(impulse, 1, 21, 0) == impulse);
}

TEST_CASE("options outside their ranges are named") {
  const Image image(4, 4, 3);
  CHECK_THROWS_WITH_AS(slic(image, {.segments = 0}), "segments must be at least 1, got 0", ArgumentError);
  CHECK_THROWS_WITH_AS(slic(image, {.compactness = 0}), "compactness must be a number above 0, got 0",
                       ArgumentError);
  CHECK_THROWS_AS(slic(image, {.compactness = infinity}), ArgumentError);
  CHECK_THROWS_WITH_AS(slic(image, {.iterations = 0}), "iterations must be at least 1, got 0", ArgumentError);
  CHECK_THROWS_WITH_AS(slic(image, {.sigma = -1}), "sigma must be a number from 0 to 1000, in pixels, got -1",
                       ArgumentError);
  CHECK_THROWS_AS(slic(image, {.sigma = 1001}), ArgumentError);
  CHECK_THROWS_AS(slic(image, {.minimum_size = -0.1}), ArgumentError);
  CHECK_THROWS_WITH_AS(slic(image, {.minimum_size = 2, .maximum_size = 1}),
                       "maximum_size must be a number not below minimum_size, 2, got 1", ArgumentError);
  CHECK_THROWS_AS(slic(image, {.maximum_size = not_a_number}), ArgumentError);
  CHECK_THROWS_WITH_AS(felzenszwalb(image, {.scale = -1}), "scale must be a number not below 0, got -1",
                       ArgumentError);
  CHECK_THROWS_AS(felzenszwalb(image, {.scale = infinity}), ArgumentError);
  CHECK_THROWS_AS(felzenszwalb(image, {.sigma = not_a_number}), ArgumentError);
  CHECK_THROWS_WITH_AS(felzenszwalb(image, {.minimum = -1}),
                       "minimum must be a number of pixels not below 0, got -1", ArgumentError);
  CHECK_THROWS_WITH_AS(quickshift(image, {.kernel = 0.5}),
                       "kernel must be a number of pixels from 1 on, got 0.5", ArgumentError);
  CHECK_THROWS_AS(quickshift(image, {.kernel = infinity}), ArgumentError);
  CHECK_THROWS_AS(quickshift(image, {.ratio = -0.1}), ArgumentError);
  CHECK_THROWS_AS(quickshift(image, {.ratio = not_a_number}), ArgumentError);
  CHECK_THROWS_AS(quickshift(image, {.distance = -1}), ArgumentError);
  CHECK_THROWS_AS(quickshift(image, {.distance = not_a_number}), ArgumentError);
  CHECK_THROWS_AS(quickshift(image, {.sigma = infinity}), ArgumentError);

  const std::vector<double> values(12);
  CHECK_THROWS_WITH_AS(felzenszwalb(values, 2, 3, 1), "a picture of 2x3x1 needs 6 values, got 12",
                       ArgumentError);
  CHECK_THROWS_AS(felzenszwalb(values, 2, 3, 0), ArgumentError);
  CHECK_THROWS_AS(felzenszwalb(values, 0, 3, 1), ArgumentError);
  CHECK_THROWS_WITH_AS(felzenszwalb(std::vector<double>{0, 0, 0, not_a_number}, 2, 1, 2),
                       "values to segment must be finite, got nan at row 1, column 0", ArgumentError);
}
