#include <salience/metric/road.hpp>

#include <salience/method/input_x_gradient.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "pictures.hpp"

using namespace salience;
using pictures::map;
using pictures::plain;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

at::Tensor mask(const at::Tensor& values) { return values.ne(0).contiguous(); }

/// A picture whose value is a + b x + c y: whatever is missing inside, its neighbours' mean gives it back.
at::Tensor slope(std::int64_t size) {
  const at::Tensor place = normal({size}).mul(0.0).add(1.0).cumsum(0);
  return place.mul(0.5).unsqueeze(0).add(place.mul(-0.25).unsqueeze(1)).add(1.0).unsqueeze(0).contiguous();
}

}  // namespace

TEST_CASE("a pixel alone becomes the weighted mean of its neighbours, of those that there are") {
  const at::Tensor picture = normal({2, 3, 3});
  at::Tensor missing = normal({3, 3}).mul(0.0);
  missing[1][1] = 1;
  at::Tensor filled = salience::detail::linear_imputation(picture, mask(missing));
  const at::Tensor weight = support::tensor({1, 2, 1, 2, 0, 2, 1, 2, 1}, {3, 3}).div(12);
  CHECK(distance(filled.select(1, 1).select(1, 1), picture.mul(weight).sum({1, 2})) < 1e-15);
  CHECK(same(filled.select(1, 0), picture.select(1, 0)));
  missing[1][1] = 0;
  missing[0][0] = 1;
  filled = salience::detail::linear_imputation(picture, mask(missing));
  const at::Tensor corner = support::tensor({0, 2, 0, 2, 1, 0, 0, 0, 0}, {3, 3}).div(5);
  CHECK(distance(filled.select(1, 0).select(1, 0), picture.mul(corner).sum({1, 2})) < 1e-15);
}

TEST_CASE(
    "all missing pixels solve one system: a slope comes back, and every pixel is its neighbours' mean") {
  const at::Tensor picture = slope(12);
  at::Tensor missing = normal({12, 12}).mul(0.0);
  missing.slice(0, 2, 9).slice(1, 3, 11).fill_(1.0);
  const at::Tensor holed = picture.masked_fill(mask(missing), std::numeric_limits<double>::quiet_NaN());
  CHECK(distance(salience::detail::linear_imputation(holed, mask(missing)), picture) <
        1e-12);  // it sees none of the old
  // One known pixel fills all others with its value.
  missing.fill_(1.0);
  missing[5][7] = 0;
  CHECK(distance(salience::detail::linear_imputation(picture, mask(missing)),
                 picture.mul(0.0).add(picture[0][5][7])) < 1e-9);
  missing.fill_(0.0);
  CHECK(same(salience::detail::linear_imputation(picture, mask(missing)), picture));
}

TEST_CASE(
    "MoRF and LeRF of a model that reads one pixel are that pixel, or its neighbours' mean plus noise") {
  const at::Tensor x = normal({2, 1, 5, 5}, at::kDouble, 4);
  const auto reads = [](const at::Tensor& t) { return t.select(3, 2).select(2, 2); };  // (N, 1)
  at::Tensor values = x.mul(0.0);
  values.select(3, 2).select(2, 2).fill_(1.0);
  const at::Tensor weight = support::tensor({1, 2, 1, 2, 0, 2, 1, 2, 1}, {3, 3}).div(12);
  const at::Tensor mean = x.select(1, 0).slice(1, 1, 4).slice(2, 1, 4).mul(weight).sum({1, 2});
  const RoadOptions options{.fractions = {0.0, 0.04, 0.5}, .noise = 0.1, .seed = 5};
  const RoadCurves curves = Road(reads, options)(x, map(values), plain);
  const at::Tensor clean = reads(x).select(1, 0);
  CHECK(distance(curves.fraction, support::tensor({0.0, 0.04, 13.0 / 25}, {3})) < 1e-15);
  CHECK(distance(curves.most_relevant_first.select(1, 0), clean) < 1e-15);
  const double noise =
      0.1 * SharedNoise(x[0].slice(0, 0, 1).to(at::kFloat), 5).normal(1).flatten()[12].item<double>();
  CHECK(distance(curves.most_relevant_first.select(1, 1), mean.add(noise)) < 1e-8);
  for (std::int64_t k = 0; k < 3; ++k)
    CHECK(distance(curves.least_relevant_first.select(1, k), clean) < 1e-15);
  CHECK(distance(curves.gap, curves.least_relevant_first.sub(curves.most_relevant_first).mean(1)) < 1e-15);
}

TEST_CASE("of a linear model: the score of the picture that was filled, for each sample and channel") {
  const pictures::Linear model{normal({1, 3, 6, 7}, at::kDouble, 1)};
  const at::Tensor x = normal({2, 3, 6, 7}, at::kDouble, 2), values = normal({2, 6, 7}, at::kDouble, 3);
  const RoadCurves curves = Road(model, {.fractions = {0.3, 0.8}, .noise = 0.0})(x, map(values), plain);
  const at::Tensor rank = salience::detail::ranks(values);
  for (std::int64_t n = 0; n < 2; ++n) {
    const std::vector<std::int64_t> removed{13, 34};  // of 42
    for (std::size_t i = 0; i < 2; ++i) {
      const at::Tensor first = salience::detail::linear_imputation(x[n], rank[n].lt(removed[i]));
      const at::Tensor last = salience::detail::linear_imputation(x[n], rank[n].ge(42 - removed[i]));
      const auto k = static_cast<std::int64_t>(i);
      CHECK(distance(curves.most_relevant_first[n][k], model(first.unsqueeze(0))[0][0]) < 1e-12);
      CHECK(distance(curves.least_relevant_first[n][k], model(last.unsqueeze(0))[0][0]) < 1e-12);
    }
  }
}

TEST_CASE(
    "classic failures: the gap of random maps is none, that of edges is small, that of the truth is large") {
  const at::Tensor x = pictures::square_and_stripes();
  const pictures::Linear square = pictures::counts_the_square();
  const Road road(square);
  const auto gap = [&](const at::Tensor& values) { return road(x, map(values), plain).gap.item<double>(); };
  const double truth = gap(InputXGradient(square)(x, plain).values);
  CHECK(truth > 1.0);  // of a score of 4
  double random = 0.0;
  for (int salt = 0; salt < 30; ++salt) random += gap(normal({1, 16, 16}, at::kDouble, 100 + salt)) / 30;
  CHECK(std::abs(random) < 0.1 * truth);
  CHECK(gap(pictures::edges(x)) < 0.6 * truth);
  CHECK(std::abs(gap(x.mul(0.0).add(1.0))) < 0.15 * truth);
}

TEST_CASE("Predicted counts as the paper does; the default is the probability") {
  const auto logits = [](const at::Tensor& t) { return t.flatten(1).slice(1, 0, 2); };
  const at::Tensor x = support::tensor({3, 1, 0, 0, 0, 0}, {1, 1, 2, 3});
  const at::Tensor values = support::tensor({9, 8, 0, 0, 0, 0}, {1, 2, 3});
  const Road road(logits, {.fractions = {0.0, 1.0 / 6}, .noise = 0.0});
  const RoadCurves hits = road(x, map(values), TargetSelector{ArgMax{}, Predicted{}});
  CHECK(same(hits.most_relevant_first, support::tensor({1, 0}, {1, 2})));  // 2/5 of 1 is below 1
  CHECK(same(hits.least_relevant_first, support::tensor({1, 1}, {1, 2})));
  CHECK(road(x, map(values)).most_relevant_first[0][0].item<double>() ==
        doctest::Approx(1 / (1 + std::exp(-2.0))));
}

TEST_CASE("seeds, chunks and batches: the same noise, the same bits") {
  const at::Tensor x = normal({3, 2, 5, 5}), values = normal({3, 5, 5});
  const auto elementwise = [](const at::Tensor& t) { return t.sin().flatten(2).amax(2); };
  const auto gap = [&](std::uint64_t seed, std::int64_t chunk, std::int64_t first, std::int64_t end) {
    return Road(elementwise, {.seed = seed, .chunk = chunk})(x.slice(0, first, end),
                                                             map(values.slice(0, first, end)))
        .gap;
  };
  const at::Tensor all = gap(1, 0, 0, 3);
  for (const std::int64_t chunk : {1, 4, 100}) CHECK(same(gap(1, chunk, 0, 3), all));
  CHECK(same(gap(1, 0, 1, 2), all.slice(0, 1, 2)));
  CHECK_FALSE(same(gap(2, 0, 0, 3), all));
}

TEST_CASE("a stop leaves NaN, for the gap of each sample that has not all its scores") {
  const at::Tensor x = normal({2, 2, 5, 5});
  const pictures::Linear model{normal({1, 2, 5, 5}, at::kDouble, 1)};
  const auto curves = [&](const ProgressCallback& progress) {
    return Road(model, {.fractions = {0.3, 0.8}, .progress = progress})(x, map(x), plain);
  };
  const RoadCurves whole = curves({}), part = curves(pictures::stop_after(7));  // of 8
  CHECK(same(part.gap[0], whole.gap[0]));
  CHECK(std::isnan(part.gap[1].item<double>()));
  CHECK(same(part.most_relevant_first, whole.most_relevant_first));
  CHECK(std::isnan(part.least_relevant_first[1][1].item<double>()));
}

TEST_CASE("options out of range are refused") {
  const auto refused = [](RoadOptions options) {
    return message<ArgumentError>([&] { Road(pictures::counts_the_square(), options); });
  };
  CHECK(contains(refused({.fractions = {}}), "no fractions"));
  CHECK(contains(refused({.fractions = {1.0}}), "in [0, 1)"));
  CHECK(contains(refused({.noise = -1.0}), "noise must be"));
  CHECK(contains(refused({.chunk = -1}), "chunk must be"));
  CHECK(contains(message<ArgumentError>([] {
                   Road{plain}(normal({1, 4}), map(normal({1, 4})));
                 }),
                 "pictures (N, C, H, W)"));
}
