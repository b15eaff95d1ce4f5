#include <salience/metric/confidence.hpp>

#include <doctest/doctest.h>

#include "pictures.hpp"

using namespace salience;
using pictures::map;
using pictures::plain;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

/// Sums the first pixel, minus the last.
const auto model = [](const at::Tensor& x) {
  return x.select(3, 0).sub(x.select(3, 2)).flatten(1).sum(1, true);
};
const at::Tensor input = tensor({4, 1, 2, 4, 1, 2}, {2, 1, 1, 3});  // Y = 2

}  // namespace

TEST_CASE("what the map shows, in proportion to its maximum, is what the model is asked about") {
  const Confidence confidence(model);
  // Shown: a quarter of the first pixel and all of the second; then the first alone, which says more than
  // all.
  const ConfidenceChange change = confidence(input, map(tensor({1, 4, -3, 5, 0, 0}, {2, 1, 3})), plain);
  CHECK(distance(change.drop, tensor({0.5, 0.0}, {2})) < 1e-15);
  CHECK_FALSE(change.increase[0].item<bool>());
  CHECK(change.increase[1].item<bool>());
  for (const auto dtype : {at::kBFloat16, at::kHalf, at::kFloat}) {
    const auto narrow = confidence(input.to(dtype), map(tensor({1, 4, -3, 5, 0, 0}, {2, 1, 3})), plain);
    CHECK(same(narrow.drop, change.drop));  // all numbers of this case have few bits
    CHECK(same(narrow.increase, change.increase));
  }
}

TEST_CASE("a constant map drops nothing, one without a positive value drops all") {
  const ConfidenceChange change =
      Confidence(model)(input, map(tensor({7, 7, 7, -1, 0, -2}, {2, 1, 3})), plain);
  CHECK(distance(change.drop, tensor({0.0, 1.0}, {2})) < 1e-15);
  CHECK_FALSE(change.increase.any().item<bool>());
}

TEST_CASE("the caller's input and map are not changed") {
  const at::Tensor values = tensor({1, 4, -3, 5, 0, -1}, {2, 1, 3});
  const at::Tensor x = input.clone(), map_before = values.clone();
  Confidence{model}(x, map(values), plain);
  CHECK(same(x, input));
  CHECK(same(values, map_before));
}

TEST_CASE("what is not shown is the baseline") {
  const Confidence confidence(model, {.baseline = Baseline::constant(3.0)});
  // 3/4 of the first pixel's way back from 4 to 3, the last at 3.
  const ConfidenceChange change = confidence(input, map(tensor({1, 4, 0, 1, 4, 0}, {2, 1, 3})), plain);
  CHECK(distance(change.drop, tensor({1 - 0.25 / 2, 1 - 0.25 / 2}, {2})) < 1e-15);
}

TEST_CASE("the score is the probability of the attribution's class; chunks change nothing") {
  const auto logits = [](const at::Tensor& x) { return x.flatten(1); };
  const at::Tensor values = normal({2, 1, 3}).abs();
  const Attribution own{{.target = tensor({2, 1}, {2}).to(at::kLong)}, values};
  const ConfidenceChange change = Confidence(logits)(input, own);
  const at::Tensor whole = input.flatten(1).softmax(1);
  const at::Tensor shown =
      values.div(values.amax({1, 2}, true)).mul(input.select(1, 0)).flatten(1).softmax(1);
  for (std::int64_t n = 0; n < 2; ++n) {
    const std::int64_t target = 2 - n;
    const double y = whole[n][target].item<double>(), o = shown[n][target].item<double>();
    CHECK(change.drop[n].item<double>() == doctest::Approx(std::max(0.0, y - o) / y));
    CHECK(change.increase[n].item<bool>() == (o > y));
  }
  CHECK(same(Confidence(logits, {.chunk = 1})(input, own).drop, change.drop));
}

TEST_CASE("what does not fit is refused") {
  CHECK(contains(message<ArgumentError>([] { Confidence{model, {.chunk = -1}}; }), "chunk must be"));
  CHECK(contains(message<ArgumentError>([] {
                   Confidence{model}(input, map(normal({2, 1, 2})), plain);
                 }),
                 "does not cover"));
}
