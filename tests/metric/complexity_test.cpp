#include <salience/metric/complexity.hpp>

#include <doctest/doctest.h>

#include <cmath>

#include "../support.hpp"

using namespace salience;
using support::distance;
using support::normal;
using support::tensor;

namespace {

/// The mean absolute difference of all pairs over twice the mean: what the Gini index is.
double gini_by_pairs(const at::Tensor& map) {
  const at::Tensor sizes = map.flatten().abs();
  return sizes.unsqueeze(0).sub(sizes.unsqueeze(1)).abs().mean().item<double>() /
         (2 * sizes.mean().item<double>());
}

}  // namespace

TEST_CASE("the Gini index is the pairs' mean difference; 0 for constant maps, 1 - 1/P for a single pixel") {
  const at::Tensor maps = normal({3, 4, 5});
  for (std::int64_t n = 0; n < 3; ++n)
    CHECK(gini(maps)[n].item<double>() == doctest::Approx(gini_by_pairs(maps[n])));
  CHECK(std::abs(gini(maps.mul(0.0).sub(3.0)).max().item<double>()) < 1e-14);
  at::Tensor pixel = maps.mul(0.0);
  pixel.select(2, 1).select(1, 2).fill_(-2.0);
  CHECK(distance(gini(pixel), tensor({0.95, 0.95, 0.95}, {3})) < 1e-14);
  CHECK(std::isnan(gini(maps.mul(0.0))[0].item<double>()));
}

TEST_CASE(
    "the entropy is ln P for constant maps, 0 for a single pixel, ln 2 for two equal ones of any sign") {
  const at::Tensor maps = tensor({1, 1, 1, 1, 0, 5, 0, 0, 0, -2, 2, 0}, {3, 2, 2});
  CHECK(distance(entropy(maps), tensor({std::log(4.0), 0.0, std::log(2.0)}, {3})) < 1e-14);
  CHECK(std::isnan(entropy(maps.mul(0.0))[0].item<double>()));
}

TEST_CASE("neither depends on the scale, and both take a map's channels together first") {
  const at::Tensor values = normal({2, 3, 4, 5});
  for (const auto& figure : {gini, entropy}) {
    CHECK(distance(figure(values, {}), figure(values.mul(-1e3), {})) < 1e-12);
    CHECK(distance(figure(values, {}), figure(values.sum(1), {})) < 1e-12);
    const PixelMapOptions sizes{.activation = Activation::abs};
    CHECK(distance(figure(values, sizes), figure(values.abs().sum(1), {})) < 1e-12);
  }
}

TEST_CASE("classic failures: a random map is neither sparse nor simple, a constant one even less") {
  const at::Tensor random = normal({1, 40, 40}), square = random.mul(0.0);
  square.slice(1, 10, 20).slice(2, 10, 20).fill_(1.0);
  CHECK(gini(square).item<double>() == doctest::Approx(1 - 100.0 / 1600));
  // Of |normal|: sqrt(2) - 1, and ln P - 0.2144.
  CHECK(gini(random).item<double>() == doctest::Approx(std::sqrt(2.0) - 1).epsilon(0.05));
  CHECK(entropy(square).item<double>() == doctest::Approx(std::log(100.0)));
  CHECK(entropy(random).item<double>() < std::log(1600.0) - 0.1);
  CHECK(entropy(random).item<double>() > std::log(1600.0) - 0.4);
}
