#include <salience/picture/colormap.hpp>
#include <salience/view/signal_plot.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::tensor;

namespace {

using Color = std::array<std::uint8_t, 3>;

Color pixel(const Image& picture, int y, int x) {
  return {picture(y, x, 0), picture(y, x, 1), picture(y, x, 2)};
}

/// A map's colour with half opacity over white.
Color shown(const Colormap& map, double value) {
  const auto entry =
      std::min(static_cast<std::size_t>(value * static_cast<double>(map.size())), map.size() - 1);
  Color color = map[entry];
  for (std::uint8_t& c : color) c = static_cast<std::uint8_t>(std::floor((c + 255) * 0.5 + 0.5));
  return color;
}

constexpr Color ink{24, 24, 24}, axis{128, 128, 128}, edge{160, 160, 160}, white{255, 255, 255};
const AttributionProcessor view{{.colormap = "viridis"}};

/// The rows of a column that the curve covers.
std::vector<int> inked(const Image& plot, int x) {
  std::vector<int> rows;
  for (int y = 0; y < plot.height(); ++y) {
    if (pixel(plot, y, x) == ink) rows.push_back(y);
  }
  return rows;
}

}  // namespace

TEST_CASE("the map is the colour behind each place, on one scale, over white") {
  const at::Tensor signal = tensor({1, 1, 1, 1}, {1, 1, 4}), values = tensor({0, 1, 0.5, 0.25}, {1, 1, 4});
  const Image plot = signal_plot(signal, values, view, {.width = 40, .height = 21});
  CHECK(plot.height() == 21);
  CHECK(plot.width() == 40);
  CHECK(plot.channels() == 3);
  const Colormap viridis = colormap("viridis");
  const std::array<double, 4> shares{0, 1, 0.5, 0.25};
  for (int x = 1; x < 39; ++x) {
    const Color expected = shown(viridis, shares[static_cast<std::size_t>(x / 10)]);
    CHECK(pixel(plot, 2, x) == expected);
    CHECK(pixel(plot, 18, x) == expected);
    CHECK(inked(plot, x) == std::vector<int>{10, 11});  // a constant signal lies in the middle
  }
  for (int y = 0; y < 21; ++y) CHECK(pixel(plot, y, 0) == edge);
  // The options of the view hold.
  const AttributionProcessor opaque{
      {.activation = Activation::negative, .colormap = "viridis", .opacity = 1.0}};
  CHECK(pixel(signal_plot(signal, values.neg(), opaque, {.width = 40}), 2, 15) == viridis[255]);
  CHECK(pixel(signal_plot(signal, values, AttributionProcessor{{.grayscale = true, .opacity = 1.0}},
                          {.width = 40}),
              2, 15) == white);
}

TEST_CASE("the curve goes through the values in the middles of their places; zero is a gray line") {
  // 101 rows: the margin is 6.06, so -1 is row 93.94 and 1 row 6.06; zero is row 50.
  const at::Tensor signal = tensor({-1, 1, -1, 1, -1}, {1, 5}), map = signal.mul(0.0);
  const Image plot = signal_plot(signal, map, view, {.width = 100, .height = 101});
  CHECK(inked(plot, 5) == std::vector<int>{94, 95});
  CHECK(inked(plot, 10).front() == 90);  // on its way from column 10 to 30, at a slope of 4.394
  CHECK(inked(plot, 10).size() >= 5);
  CHECK(inked(plot, 19).front() <= 50);
  CHECK(inked(plot, 30).front() <= 7);
  CHECK(pixel(plot, 50, 5) == axis);
  CHECK(pixel(plot, 50, 45) == axis);
  // Every column has a connected piece of the curve.
  for (int x = 1; x < 99; ++x) {
    const std::vector<int> rows = inked(plot, x), next = inked(plot, x + 1);
    REQUIRE(!rows.empty());
    CHECK(rows.back() - rows.front() + 1 == static_cast<int>(rows.size()));
    if (x < 98) CHECK((next.front() <= rows.back() + 1 && rows.front() <= next.back() + 1));
  }
  // Without zero there is no line; with a range of one's own it is where that says, and values are clipped.
  const Image above = signal_plot(signal.add(3.0), map, view, {.width = 100, .height = 101});
  for (int y = 1; y < 100; ++y) CHECK(pixel(above, y, 30) != axis);
  const Image ranged =
      signal_plot(signal, map, view, {.width = 100, .height = 101, .range = ValueRange{0.0, 2.0}});
  CHECK(inked(ranged, 5).front() == 94);
  CHECK(inked(ranged, 30).front() <= 51);
  CHECK(inked(ranged, 30).front() >= 49);
}

TEST_CASE("a band for each channel, of its own scale and colours, or of the colours of one map") {
  const at::Tensor signal = tensor({0, 1, 2, 3, /**/ 300, 200, 100, 0}, {1, 2, 4});
  const SignalPlotOptions options{.width = 40, .height = 20, .gap = 6};
  const Image own = signal_plot(signal, tensor({0, 0, 0, 0, /**/ 1, 1, 1, 1}, {2, 4}), view, options);
  CHECK(own.height() == 46);
  const Colormap viridis = colormap("viridis");
  CHECK(pixel(own, 2, 10) == shown(viridis, 0.0));
  CHECK(pixel(own, 28, 35) == shown(viridis, 1.0));
  for (int y = 20; y < 26; ++y) CHECK(pixel(own, y, 10) == white);
  CHECK(inked(own, 2).front() == 18);                    // 0 of 3
  CHECK(inked(own, 2) == std::vector<int>{18, 27, 28});  // 0 of 3, cut by the frame, and 300 of 300
  const Image shared = signal_plot(signal, tensor({0, 1, 0, 0}, {1, 1, 4}), view, options);
  CHECK(pixel(shared, 2, 15) == shown(viridis, 1.0));
  CHECK(pixel(shared, 28, 15) == shown(viridis, 1.0));
  CHECK(pixel(shared, 28, 35) == shown(viridis, 0.0));
}

TEST_CASE("of more places than columns the largest magnitude gives the colour, and a peak stays visible") {
  at::Tensor signal = normal({1, 1, 6400}).mul(0.0), values = signal.clone();
  signal[0][0][3205].fill_(1.0);
  values[0][0][3205].fill_(-2.0);
  values[0][0][10].fill_(1.0);
  const AttributionProcessor opaque{{.colormap = "viridis", .opacity = 1.0}};
  const Image plot = signal_plot(signal, values, opaque, {.width = 64, .height = 50});
  const Colormap viridis = colormap("viridis");
  CHECK(pixel(plot, 2, 32) == viridis[0]);
  CHECK(pixel(plot, 2, 31) == viridis[170]);  // zero, of -2 to 1
  CHECK(inked(plot, 32).size() > 40);
  CHECK(inked(plot, 40).size() <= 2);
}

TEST_CASE("what is no signal, or not covered, is an error with a sentence") {
  const at::Tensor signal = normal({1, 2, 9});
  const auto said = [&](const at::Tensor& x, const at::Tensor& map, const SignalPlotOptions& options = {}) {
    return message<ArgumentError>([&] { (void)signal_plot(x, map, view, options); });
  };
  CHECK(contains(said(normal({2, 2, 9}), signal),
                 "the signal of a plot must be one signal, (1, C, L) or (C, L)"));
  CHECK(contains(said(signal, normal({1, 2, 3, 3})), "the map of a plot must be"));
  CHECK(contains(said({}, signal), "(undefined)"));
  CHECK(contains(said(signal, normal({1, 2, 8})),
                 "a map of shape (1, 2, 8) does not cover a signal of shape (1, 2, 9)"));
  CHECK(contains(said(signal, normal({1, 3, 9})), "does not cover"));
  CHECK(contains(said(signal.div(0.0), signal), "NaN or infinity"));
  CHECK(contains(said(signal, signal.div(0.0)), "non_finite"));
  CHECK(contains(said(signal, signal, {.width = 15}), "width must be at least 16, got 15"));
  CHECK(contains(said(signal, signal, {.height = 0}), "height must be"));
  CHECK(contains(said(signal, signal, {.gap = -1}), "gap must be"));
  CHECK(contains(said(signal, signal, {.range = ValueRange{1.0, 0.0}}), "range must be ascending"));
}
