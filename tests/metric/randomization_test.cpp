#include <salience/metric/randomization.hpp>

#include <salience/method/gradient_attributor.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "pictures.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

/// Two layers and a rectifier between them.
struct Net {
  at::Tensor first, second;
  at::Tensor operator()(const at::Tensor& x) const {
    return x.flatten(1).matmul(first).relu().matmul(second);
  }
};

const Net trained{normal({256, 40}, at::kDouble, 1), normal({40, 3}, at::kDouble, 2)};

/// Cascading: the second layer, then both.
Net randomized(std::int64_t level) {
  return {level >= 1 ? normal({256, 40}, at::kDouble, 10) : trained.first, normal({40, 3}, at::kDouble, 11)};
}

const at::Tensor input = pictures::square_and_stripes().expand({2, 1, 16, 16}).add(normal({2, 1, 16, 16}));

/// A method that does not look at the model.
template <class Map>
auto blind(const Map& map) {
  return [map](const at::Tensor& x, const auto&) { return Attribution{{}, map(x)}; };
}

template <class Map>
RandomizationSimilarity check_blind(const Map& map) {
  return RandomizationCheck(blind(map), [&](std::int64_t) { return blind(map); })(input, 2);
}

}  // namespace

TEST_CASE("classic failures: an edge detector and a constant map stay as they are: 1 at each level") {
  for (const std::function<at::Tensor(const at::Tensor&)>& map :
       {std::function<at::Tensor(const at::Tensor&)>(pictures::edges),
        std::function<at::Tensor(const at::Tensor&)>(
            [](const at::Tensor& x) { return x.mul(0.0).add(3.0); })}) {
    const RandomizationSimilarity alike = check_blind(map);
    for (const at::Tensor& figure : {alike.spearman, alike.spearman_abs, alike.ssim}) {
      CHECK(figure.sizes() == at::IntArrayRef({2, 2}));
      CHECK(distance(figure, figure.mul(0.0).add(1.0)) < 1e-12);
    }
  }
}

TEST_CASE("classic failures: a map drawn anew each time is like none, which is all that this check can see") {
  int salt = 50;
  const auto random = [&salt](const at::Tensor& x) { return normal(x.sizes().vec(), at::kDouble, salt++); };
  const RandomizationSimilarity alike = RandomizationCheck(
      blind(std::ref(random)), [&](std::int64_t) { return blind(std::ref(random)); })(input, 4);
  CHECK(alike.spearman.abs().max().item<double>() < 5.0 / 16);  // five deviations of 1 / sqrt(256)
  CHECK(alike.ssim.abs().max().item<double>() < 0.2);
}

TEST_CASE("a gradient falls: it depends on what was learnt, the more the deeper the random layers reach") {
  const auto random = [](std::int64_t level) { return GradientAttributor(randomized(level)); };
  const RandomizationSimilarity alike = RandomizationCheck(GradientAttributor(trained), random)(input, 2);
  CHECK(alike.spearman.abs().max().item<double>() < 0.6);
  CHECK(alike.spearman.select(1, 1).abs().max().item<double>() < 5.0 / 16);
  CHECK(alike.ssim.select(1, 1).abs().max().item<double>() < 0.3);
  const auto same_model = [](std::int64_t) { return GradientAttributor(trained); };
  const RandomizationSimilarity unchanged =
      RandomizationCheck(GradientAttributor(trained), same_model)(input, 1);
  CHECK(unchanged.spearman.min().item<double>() == doctest::Approx(1.0));
}

TEST_CASE("the figures are those of similarity.hpp, with the sign, without it, and of maps of one scale") {
  const at::Tensor a = normal({2, 3, 8, 9}, at::kDouble, 3), b = normal({2, 3, 8, 9}, at::kDouble, 4);
  const PixelMapOptions sizes{.channels = ChannelReduction::mean};
  const RandomizationSimilarity alike = RandomizationCheck(
      blind([a](const at::Tensor&) { return a; }),
      [b](std::int64_t level) {
        return blind([b, level](const at::Tensor&) { return b.mul(static_cast<double>(level + 1)); });
      },
      sizes)(input, 2);
  for (std::int64_t level = 0; level < 2; ++level) {
    CHECK(distance(alike.spearman.select(1, level), spearman(a.mean(1), b.mean(1))) < 1e-14);
    CHECK(distance(alike.spearman_abs.select(1, level), spearman(a.mean(1).abs(), b.mean(1).abs())) < 1e-14);
    const auto scaled = [](const at::Tensor& map) {
      return map.mean(1).div(map.mean(1).abs().amax({1, 2}, true));
    };
    CHECK(distance(alike.ssim.select(1, level), ssim(scaled(a), scaled(b))) < 1e-12);
  }
}

TEST_CASE("the class of the trained model is held; small maps have no SSIM; no levels are refused") {
  std::vector<at::Tensor> asked;
  const auto record = [&asked](std::int64_t) {
    return [&asked](const at::Tensor& x, const auto& target) {
      asked.push_back(target.choose(x));
      return Attribution{{}, x};
    };
  };
  const at::Tensor x = input.slice(3, 0, 6);
  const Net narrow{trained.first.slice(0, 0, 96), trained.second};
  const RandomizationSimilarity alike = RandomizationCheck(GradientAttributor(narrow), record)(x, 1);
  REQUIRE(asked.size() == 1);
  CHECK(same(asked[0], narrow(x).argmax(1)));
  CHECK_FALSE(alike.ssim.defined());
  CHECK(contains(message<ArgumentError>([&] {
                   RandomizationCheck{GradientAttributor(narrow), record}(x, 0);
                 }),
                 "levels must be at least 1"));
}
