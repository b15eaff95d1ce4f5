#include <salience/metric/deletion_insertion.hpp>

#include <salience/method/input_x_gradient.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

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

const Linear model{normal({1, 3, 4, 5}, at::kDouble, 1)};
const at::Tensor input = normal({2, 3, 4, 5}, at::kDouble, 2);

/// What each pixel of a sample gives to the linear score, the largest first.
std::vector<double> shares(std::int64_t sample) {
  const at::Tensor share = input[sample].mul(model.weight[0]).sum(0).flatten().contiguous();
  std::vector<double> sorted(share.data_ptr<double>(), share.data_ptr<double>() + share.numel());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  return sorted;
}

}  // namespace

TEST_CASE("of a linear model both curves are the closed form, at every step, for each sample of a batch") {
  const Attribution truth = InputXGradient(model)(input, plain);
  const PerturbationCurve gone = Deletion(model, {.steps = 20})(input, truth, plain);
  const PerturbationCurve come =
      Insertion(model, {.baseline = Baseline::zero(), .steps = 20})(input, truth, plain);
  CHECK(gone.score.sizes() == at::IntArrayRef({2, 21}));
  for (std::int64_t n = 0; n < 2; ++n) {
    const std::vector<double> sorted = shares(n);
    const double total = std::accumulate(sorted.begin(), sorted.end(), 0.0);
    double taken = 0.0, area = 0.0;
    for (std::int64_t k = 0; k <= 20; ++k) {
      CHECK(gone.fraction[k].item<double>() == doctest::Approx(static_cast<double>(k) / 20).epsilon(1e-14));
      CHECK(gone.score[n][k].item<double>() == doctest::Approx(total - taken).epsilon(1e-12));
      CHECK(come.score[n][k].item<double>() == doctest::Approx(taken).epsilon(1e-12));
      if (k == 20) break;
      area += (taken + 0.5 * sorted[static_cast<std::size_t>(k)]) / 20;
      taken += sorted[static_cast<std::size_t>(k)];
    }
    CHECK(gone.area[n].item<double>() == doctest::Approx(total - area).epsilon(1e-12));
    CHECK(come.area[n].item<double>() == doctest::Approx(area).epsilon(1e-12));
  }
}

TEST_CASE("steps that do not divide the pixels are rounded, and the area knows their true width") {
  const Attribution truth = InputXGradient(model)(input, plain);
  const PerturbationCurve fine = Deletion(model, {.steps = 20})(input, truth, plain);
  const PerturbationCurve coarse = Deletion(model, {.steps = 3})(input, truth, plain);
  const std::vector<std::int64_t> replaced{0, 7, 13, 20};  // of 20 pixels
  double area = 0.0;
  for (std::size_t i = 0; i < replaced.size(); ++i) {
    const auto k = static_cast<std::int64_t>(i);
    CHECK(coarse.fraction[k].item<double>() == doctest::Approx(static_cast<double>(replaced[i]) / 20));
    CHECK(same(coarse.score.select(1, k), fine.score.select(1, replaced[i])));
    if (i == 0) continue;
    area += 0.5 * static_cast<double>(replaced[i] - replaced[i - 1]) / 20 *
            coarse.score[0].slice(0, k - 1, k + 1).sum().item<double>();
  }
  CHECK(coarse.area[0].item<double>() == doctest::Approx(area));
}

TEST_CASE(
    "no order of a linear model's pixels falls faster than the truth, and none slower than its reverse") {
  const at::Tensor truth = InputXGradient(model)(input, plain).values;
  const Deletion deletion(model, {.steps = 20});
  const auto area = [&](const at::Tensor& values) { return deletion(input, map(values), plain).area; };
  const at::Tensor best = area(truth), worst = area(truth.neg());
  for (int salt = 10; salt < 20; ++salt) {
    const at::Tensor random = area(normal({2, 4, 5}, at::kDouble, salt));
    CHECK(random.gt(best).all().item<bool>());
    CHECK(random.lt(worst).all().item<bool>());
  }
}

TEST_CASE("classic failures: constant maps, random maps and edges score as chance or worse") {
  const at::Tensor x = pictures::square_and_stripes();
  const Linear square = pictures::counts_the_square();
  const double whole = square(x)[0][0].item<double>();
  const auto score = [&](const at::Tensor& values) {
    const Deletion deletion(square, {.steps = 64});
    const Insertion insertion(square, {.baseline = Baseline::zero(), .steps = 64});
    const double gone = deletion(x, map(values), plain).area.item<double>() / whole;
    CHECK(insertion(x, map(values), plain).area.item<double>() / whole == doctest::Approx(1.0 - gone));
    return gone;
  };
  const at::Tensor truth = InputXGradient(square)(x, plain).values;
  CHECK(score(truth) < 0.05);  // 16 of 256 pixels hold everything: 1/32 and the steps' width
  CHECK(score(x.mul(0.0).add(1.0)) == doctest::Approx(0.5).epsilon(0.01));  // the square lies in the middle
  double random = 0.0;
  for (int salt = 0; salt < 40; ++salt) random += score(normal({1, 16, 16}, at::kDouble, 100 + salt)) / 40;
  CHECK(random == doctest::Approx(0.5).epsilon(0.06));  // five times the deviation of such a mean
  CHECK(score(pictures::edges(x)) > 0.3);               // the stripes' edges are stronger than the square's
  CHECK(score(truth.neg()) > 0.95);
}

TEST_CASE("any chunk and each sample alone give the same bits") {
  const at::Tensor values = normal({2, 4, 5}, at::kDouble, 3);
  const auto elementwise = [](const at::Tensor& x) { return x.sin().flatten(2).amax(2); };  // row by row
  const auto scores = [&](std::int64_t chunk, std::int64_t first, std::int64_t end) {
    return Deletion(elementwise, {.steps = 7, .chunk = chunk})(input.slice(0, first, end),
                                                               map(values.slice(0, first, end)))
        .score;
  };
  const at::Tensor all = scores(0, 0, 2);
  for (const std::int64_t chunk : {1, 3, 100}) CHECK(same(scores(chunk, 0, 2), all));
  for (std::int64_t n = 0; n < 2; ++n) CHECK(same(scores(0, n, n + 1), all.slice(0, n, n + 1)));
}

TEST_CASE("a stop leaves NaN: of the scores for those that are missing, of the area for all of it") {
  const Attribution truth = InputXGradient(model)(input, plain);
  const auto stopped = [&](const PerturbationCurve& whole, const PerturbationCurve& part) {
    CHECK(same(part.score.slice(1, 0, 5), whole.score.slice(1, 0, 5)));  // the last of the first sample alone
    CHECK(same(part.area[0], whole.area[0]));
    CHECK(std::isnan(part.score[1][5].item<double>()));
    CHECK(std::isnan(part.area[1].item<double>()));
  };
  const auto most = pictures::stop_after(11);  // of 12
  stopped(Deletion(model, {.steps = 5})(input, truth, plain),
          Deletion(model, {.steps = 5, .progress = most})(input, truth, plain));
  stopped(Insertion(model, {.steps = 5})(input, truth, plain),
          Insertion(model, {.steps = 5, .progress = most})(input, truth, plain));
}

TEST_CASE(
    "the class is the attribution's, else the clean input's prediction; it is held, and its probability "
    "scored") {
  const auto logits = [](const at::Tensor& x) { return x.flatten(1); };  // each value is a class
  const at::Tensor x = support::tensor({2.0, 1.0}, {1, 1, 1, 2});
  const at::Tensor values = support::tensor({1, 0}, {1, 1, 2});
  const Deletion deletion(logits, {.steps = 2});
  const double e = std::exp(1.0);
  const auto expect = [&](const PerturbationCurve& curve, double first, double second) {
    CHECK(curve.score[0][0].item<double>() == doctest::Approx(first));
    CHECK(curve.score[0][1].item<double>() == doctest::Approx(second));
    CHECK(curve.score[0][2].item<double>() == doctest::Approx(0.5));
  };
  expect(deletion(x, {{}, values}), e / (e + 1), 1 / (e + 1));  // after one step the other class leads
  const at::Tensor other = support::tensor({1}, {1}).to(at::kLong);
  expect(deletion(x, {{.target = other}, values}), 1 / (e + 1), e / (e + 1));
}

TEST_CASE("features are pixels too; dtypes are the input's") {
  const at::Tensor x = support::tensor({1, 2, 3}, {1, 3}).to(at::kFloat);
  at::ScalarType seen{};
  const auto sum = [&seen](const at::Tensor& t) { return seen = t.scalar_type(), t.sum(1, true); };
  const PerturbationCurve curve = Deletion(sum, {.steps = 3})(x, map(x), plain);
  CHECK(same(curve.score, support::tensor({6, 3, 1, 0}, {1, 4})));
  CHECK((seen == at::kFloat));
}

TEST_CASE("options out of range and maps that do not fit are refused") {
  CHECK(contains(message<ArgumentError>([] { Deletion(model, {.steps = 0}); }), "steps must be at least 1"));
  CHECK(
      contains(message<ArgumentError>([] { Insertion(model, {.chunk = -1}); }), "chunk must be at least 0"));
  CHECK(contains(message<ArgumentError>([] {
                   Deletion{model}(input, map(normal({2, 4, 4})));
                 }),
                 "does not cover"));
  CHECK(contains(message<ArgumentError>([] { Deletion{model}({}, map(input)); }), "input must be a batch"));
  CHECK(contains(message<ArgumentError>([] { Insertion{model}({}, map(input)); }), "input must be a batch"));
  const Baseline two = Baseline::each(normal({2, 1, 1, 1}));
  CHECK(contains(message<ArgumentError>([&] { Deletion(model, {.baseline = two})(input, map(input)); }),
                 "the baselines of a metric must be 1, got 2"));
}
