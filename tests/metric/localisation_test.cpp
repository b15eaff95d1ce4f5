#include <salience/metric/localisation.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

/// Maps (N, 20, 30) of zeros with a peak at each of these places.
at::Tensor peaks(const std::vector<std::pair<std::int64_t, std::int64_t>>& places) {
  at::Tensor maps = normal({static_cast<std::int64_t>(places.size()), 20, 30}).mul(0.0);
  for (std::size_t n = 0; n < places.size(); ++n) {
    maps[static_cast<std::int64_t>(n)][places[n].first][places[n].second].fill_(3.0);
  }
  return maps;
}

const Box box{.top = 5, .left = 10, .height = 4, .width = 6};  // rows 5 to 8, columns 10 to 15

at::Tensor mask() {
  at::Tensor inside = normal({20, 30}).mul(0.0);
  inside.slice(0, 5, 9).slice(1, 10, 16).fill_(1.0);
  return inside;
}

double hit(std::int64_t y, std::int64_t x, double tolerance) {
  return pointing_game(peaks({{y, x}}), box, {.tolerance = tolerance}).item<double>();
}

}  // namespace

TEST_CASE("the maximum hits inside the region, or as far from it as the tolerance says, as a circle") {
  CHECK(hit(5, 10, 0) == 1.0);
  CHECK(hit(8, 15, 0) == 1.0);
  CHECK(hit(9, 15, 0) == 0.0);
  CHECK(hit(8, 16, 0) == 0.0);
  CHECK(hit(9, 15, 1) == 1.0);
  CHECK(hit(9, 16, 1) == 0.0);  // sqrt(2) away
  CHECK(hit(9, 16, 1.5) == 1.0);
  CHECK(hit(12, 18, 5) == 1.0);  // 4 rows and 3 columns
  CHECK(hit(12, 18, 4.9) == 0.0);
  CHECK(pointing_game(peaks({{0, 0}}), box).item<double>() == 1.0);  // 15 by default: sqrt(5^2 + 10^2) away
  CHECK(pointing_game(peaks({{19, 29}}), box).item<double>() == 0.0);
}

TEST_CASE("a constant map scores the region's share in all games but in none with a maximum of its own") {
  const at::Tensor constant = peaks({{0, 0}}).mul(0.0).add(2.0);
  const double share = 24.0 / 600;
  CHECK(pointing_game(constant, box, {.tolerance = 0}).item<double>() == doctest::Approx(share));
  CHECK(energy(constant, box).item<double>() == doctest::Approx(share));
  CHECK(iou(constant, box).item<double>() == doctest::Approx(share));
  const at::Tensor random = normal({200, 20, 30});
  CHECK(energy(random, box).mean().item<double>() == doctest::Approx(share).epsilon(0.05));
  CHECK(pointing_game(random, box, {.tolerance = 0}).mean().item<double>() < 0.12);
}

TEST_CASE("energy is the share of what is positive; channels are taken together first") {
  at::Tensor map = peaks({{6, 12}});  // 3 inside
  map[0][0][0].fill_(1.0);
  map[0][7][11].fill_(-9.0);
  CHECK(energy(map, box).item<double>() == doctest::Approx(0.75));
  CHECK(energy(map, box, {.activation = Activation::abs}).item<double>() == doctest::Approx(12.0 / 13));
  const at::Tensor channels = map.unsqueeze(1).expand({1, 2, 20, 30});
  CHECK(energy(channels, box).item<double>() == doctest::Approx(0.75));
  CHECK(std::isnan(energy(map.abs().neg(), box).item<double>()));
}

TEST_CASE("iou compares what is above a part of the maximum with the region") {
  at::Tensor map = peaks({{6, 12}});
  map[0].slice(0, 5, 9).slice(1, 10, 13).fill_(0.5);  // half the region
  map[0].slice(0, 0, 2).slice(1, 0, 3).fill_(1.0);    // 6 pixels elsewhere
  map[0][6][12].fill_(4.0);
  CHECK(iou(map, box).item<double>() == doctest::Approx(1.0 / (24 + 6)));  // 0.2 * 4: the peak and the six
  CHECK(iou(map, box, {.threshold = 0.1}).item<double>() == doctest::Approx(12.0 / (24 + 6)));
  CHECK(iou(map, box, {.threshold = 0.5}).item<double>() == doctest::Approx(1.0 / 24));
  CHECK(iou(mask().unsqueeze(0), box).item<double>() == 1.0);
  CHECK(iou(map.mul(0.0), box).item<double>() == 0.0);
  CHECK(iou(map.neg(), box).item<double>() == 0.0);
}

TEST_CASE("a region is a mask for all, a mask a sample, a box for all or a box a sample") {
  const at::Tensor maps = normal({2, 20, 30}).abs();
  const at::Tensor expected = energy(maps, box);
  CHECK(same(energy(maps, mask()), expected));
  CHECK(same(energy(maps, mask().to(at::kBool)), expected));
  const Box other{.top = -3, .left = 25, .height = 8, .width = 50};  // beyond the picture
  const at::Tensor both = energy(maps, std::vector<Box>{box, other});
  CHECK(same(both.slice(0, 0, 1), expected.slice(0, 0, 1)));
  at::Tensor corner = mask().mul(0.0);
  corner.slice(0, 0, 5).slice(1, 25).fill_(-1.0);  // not 0 is inside
  const at::Tensor masks = mask().unsqueeze(0).add(corner.unsqueeze(0)).expand({2, 20, 30}).clone();
  masks[0].copy_(mask());
  masks[1].copy_(corner);
  CHECK(same(energy(maps, masks), both));
}

TEST_CASE("the caller's map is not changed") {
  const at::Tensor maps = normal({2, 20, 30}), before = maps.clone();
  energy(maps, box);
  iou(maps, box);
  pointing_game(maps, box);
  CHECK(same(maps, before));
}

TEST_CASE("without a region there is nothing to hit: NaN") {
  const at::Tensor nothing = mask().mul(0.0), maps = normal({1, 20, 30});
  CHECK(std::isnan(pointing_game(maps, nothing).item<double>()));
  CHECK(std::isnan(energy(maps, nothing).item<double>()));
  CHECK(std::isnan(iou(maps, Box{.top = 30, .left = 0, .height = 4, .width = 4}).item<double>()));
}

TEST_CASE("what does not fit is refused") {
  const at::Tensor maps = normal({2, 20, 30});
  CHECK(contains(message<ArgumentError>([&] { energy(maps, mask().slice(0, 1)); }),
                 "a mask of shape (19, 30) does not fit maps of shape (2, 20, 30)"));
  CHECK(contains(message<ArgumentError>([&] { energy(maps, normal({1, 20, 30})); }), "does not fit"));
  CHECK(contains(message<ArgumentError>([&] { energy(maps, std::vector<Box>(3, box)); }),
                 "3 boxes for 2 samples"));
  CHECK(contains(message<ArgumentError>([&] {
                   energy(normal({2, 5}), box);
                 }),
                 "must be a picture (N, H, W)"));
  CHECK(contains(message<ArgumentError>([&] { pointing_game(maps, box, {.tolerance = -1}); }),
                 "tolerance must be"));
  CHECK(contains(message<ArgumentError>([&] { iou(maps, box, {.threshold = 1.0}); }), "threshold must be"));
}
