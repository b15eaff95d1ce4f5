#include <salience/metric/infidelity.hpp>

#include <salience/method/gradient_attributor.hpp>

#include <doctest/doctest.h>

#include <cmath>

#include "pictures.hpp"

using namespace salience;
using pictures::Linear;
using pictures::map;
using pictures::plain;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

const Linear model{normal({1, 2, 3, 4}, at::kDouble, 1)};
const at::Tensor input = normal({2, 2, 3, 4}, at::kDouble, 2);
const at::Tensor gradient = model.weight.expand_as(input);

}  // namespace

TEST_CASE(
    "of a linear score its gradient has none, and any other map the noise's variance times its distance "
    "squared") {
  CHECK(Infidelity(model)(input, map(gradient), plain).max().item<double>() < 1e-24);
  const at::Tensor off = normal({2, 2, 3, 4}, at::kDouble, 3);
  const at::Tensor figure =
      Infidelity(model, {.samples = 4000, .noise_level = 0.2})(input, map(gradient.add(off)), plain);
  for (std::int64_t n = 0; n < 2; ++n) {
    const double deviation = 0.2 * input[n].max().sub(input[n].min()).item<double>();
    const double expected = std::pow(deviation * off[n].norm().item<double>(), 2);
    CHECK(figure[n].item<double>() == doctest::Approx(expected).epsilon(5 * std::sqrt(2.0 / 4000)));
  }
}

TEST_CASE("normalised, a factor of the map does not count, and a map of zeros loses all") {
  const Infidelity normalised(model, {.normalize = true});
  CHECK(normalised(input, map(gradient.mul(-7.0)), plain).max().item<double>() < 1e-24);
  const at::Tensor values = normal({2, 2, 3, 4}, at::kDouble, 4);
  const at::Tensor figure = normalised(input, map(values), plain);
  CHECK(distance(figure, normalised(input, map(values.mul(100.0)), plain)) < 1e-10);
  const Infidelity as_it_is(model);
  const at::Tensor nothing = as_it_is(input, map(values.mul(0.0)), plain);  // the mean square of the changes
  CHECK(same(normalised(input, map(values.mul(0.0)), plain), nothing));
  CHECK(figure.lt(nothing).all().item<bool>());
  // The factor is the best one.
  for (const double factor : {-0.1, 0.01, 0.1, 1.0}) {
    CHECK(figure.le(as_it_is(input, map(values.mul(factor)), plain)).all().item<bool>());
  }
}

TEST_CASE("a perturbation of the user's own: with x - baseline it is the completeness squared") {
  const auto square = [](const at::Tensor& x) { return x.square().flatten(1).sum(1, true); };
  const auto all = [](const at::Tensor& sample, std::int64_t) { return sample; };
  const Infidelity infidelity(square, {.samples = 3, .perturbation = all});
  // I^T Phi = sum(x Phi), and the score changes by sum(x^2).
  CHECK(infidelity(input, map(input), plain).max().item<double>() < 1e-24);
  const at::Tensor off = infidelity(input, map(input.mul(2.0)), plain);
  CHECK(distance(off, input.square().flatten(1).sum(1).square()) < 1e-10);
  const auto numbered = [](const at::Tensor& sample, std::int64_t k) {
    return sample.mul(0.0).add(static_cast<double>(k));
  };
  const at::Tensor ones = input.mul(0.0).add(1.0);
  const at::Tensor sums =
      Infidelity(model, {.samples = 3, .perturbation = numbered})(input, map(ones), plain);
  const double once = 24.0 - model.weight.sum().item<double>();
  CHECK(sums[0].item<double>() == doctest::Approx(once * once * (0 + 1 + 4) / 3));
}

TEST_CASE("a map of one channel counts for each; the score is the attribution's class's logit") {
  const Linear two{normal({2, 2, 3, 4}, at::kDouble, 5)};
  const at::Tensor target = support::tensor({1, 0}, {2}).to(at::kLong);
  const Attribution own = GradientAttributor(two)(input, PerSample{{1, 0}});
  CHECK(Infidelity(two)(input, own).max().item<double>() < 1e-24);
  CHECK(Infidelity(two)(input, {{.target = target.sub(1).abs()}, own.values}).min().item<double>() > 0.1);
  const at::Tensor flat = normal({2, 1, 3, 4});
  CHECK(same(Infidelity(two)(input, {{.target = target}, flat}),
             Infidelity(two)(input, {{.target = target}, flat.expand_as(input)})));
}

TEST_CASE("seeds, chunks and batches: the same noise, the same figures") {
  const at::Tensor values = normal({2, 2, 3, 4}, at::kDouble, 6);
  const auto figure = [&](std::uint64_t seed, std::int64_t chunk, std::int64_t first, std::int64_t end) {
    return Infidelity(model, {.seed = seed, .chunk = chunk})(input.slice(0, first, end),
                                                             map(values.slice(0, first, end)), plain);
  };
  const at::Tensor all = figure(1, 0, 0, 2);
  for (const std::int64_t chunk : {1, 3, 1000}) CHECK(distance(figure(1, chunk, 0, 2), all) < 1e-12);
  CHECK(distance(figure(1, 0, 1, 2), all.slice(0, 1, 2)) < 1e-12);
  CHECK(distance(figure(2, 0, 0, 2), all) > 1e-3);
}

TEST_CASE("a stop leaves NaN for each sample that lacks a perturbation") {
  const at::Tensor values = normal({2, 2, 3, 4}, at::kDouble, 6);
  for (const bool normalize : {false, true}) {
    const auto figure = [&](const ProgressCallback& progress) {
      const Infidelity infidelity(model, {.samples = 4, .normalize = normalize, .progress = progress});
      return infidelity(input, map(values), plain);
    };
    const at::Tensor whole = figure({}), part = figure(pictures::stop_after(7));  // of 8
    CHECK(same(part[0], whole[0]));
    CHECK(std::isnan(part[1].item<double>()));
    CHECK(figure(pictures::stop_after(1)).isnan().all().item<bool>());
  }
}

TEST_CASE("what does not fit is refused") {
  CHECK(contains(message<ArgumentError>([] { Infidelity(model, {.samples = 0}); }), "samples must be"));
  CHECK(contains(message<ArgumentError>([] { Infidelity(model, {.noise_level = 0.0}); }),
                 "noise_level must be"));
  CHECK(contains(message<ArgumentError>([] {
                   Infidelity{model}(input, map(normal({2, 3, 4})), plain);
                 }),
                 "must be of the input's shape"));
  Attribution elsewhere;
  elsewhere.values = input.new_zeros({input.size(0), 1, 97, 1});
  CHECK(contains(message<ArgumentError>([&] { Infidelity{model}(input, elsewhere, plain); }),
                 "must be of the input's shape"));
  const auto wrong = [](const at::Tensor& sample, std::int64_t) { return sample[0]; };
  CHECK(contains(
      message<ArgumentError>([&] { Infidelity(model, {.perturbation = wrong})(input, map(input), plain); }),
      "a perturbation must be"));
}
