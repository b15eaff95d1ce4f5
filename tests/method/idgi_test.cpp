#include <salience/method/idgi.hpp>
#include <salience/method/smooth_grad.hpp>

#include <doctest/doctest.h>

#include <type_traits>
#include <vector>

#include "path_models.hpp"

using namespace salience;
using namespace support::paths;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

TEST_CASE("IDGI hands each step's change of the score to the squared gradients; its sum is exact") {
  const auto cubic = [](const at::Tensor& x) { return x.pow(3).mul(slope).sum(1); };
  constexpr std::int64_t steps = 7;
  const Attribution a = Idgi(cubic, {.steps = steps, .baseline = Baseline::tensor(start)})(input);
  at::Tensor truth = input.mul(0.0);
  for (std::int64_t k = 0; k < steps; ++k) {
    const auto point = [&](std::int64_t i) {
      return start.add(input.sub(start), static_cast<double>(i) / steps);
    };
    const at::Tensor square = point(k).pow(2).mul(slope).mul(3).square();
    const at::Tensor change = cubic(point(k + 1)).sub(cubic(point(k))).unsqueeze(1);
    truth = truth.add(square.div(square.sum(1, true)).mul(change));
  }
  CHECK(distance(a.values, truth) < 1e-12);
  CHECK(a.completeness_error.abs().max().item<double>() < 1e-11);
  CHECK(a.evaluations.eq(steps).all().item<bool>());
  for (const double distance : {0.02, 0.5}) {
    CHECK(Idgi(kinked, {.steps = 9}, GuidedPath{.max_distance = distance})(input)
              .completeness_error.abs()
              .max()
              .item<double>() < 1e-12);
  }
  // where the gradient is nowhere, there is nobody to hand anything to
  const auto flat = [](const at::Tensor& x) { return x.mul(0.0).sum(1, true); };
  CHECK(Idgi(flat)(input).values.abs().max().item<double>() == 0.0);
}

TEST_CASE("any chunk, a batch or its samples alone, a repeat, several threads: the same bits") {
  const auto make = [](std::int64_t chunk) { return Idgi(bumpy, {.steps = 9, .chunk = chunk}); };
  const Attribution a = make(0)(input);
  for (const std::int64_t chunk : {1, 3, 16, 1000}) {
    const Attribution b = make(chunk)(input);
    CHECK(same(a.values, b.values));
    CHECK(same(a.completeness_error, b.completeness_error));
  }
  for (std::int64_t n = 0; n < input.size(0); ++n) {
    CHECK(same(make(4)(input.slice(0, n, n + 1)).values, a.values.slice(0, n, n + 1)));
  }
  CHECK(same(make(0)(input).values, a.values));
  CHECK(support::same_from_threads(make(0), input, 5) == 4 * 5);
}

TEST_CASE("a path of the user's own that is known beforehand, and several baselines") {
  struct Curved {
    at::Tensor point(const at::Tensor& x, const at::Tensor& baseline, double t) const {
      return baseline.add(x.sub(baseline), t * t);
    }
  };
  const at::Tensor change = kinked(input).sub(kinked(input.mul(0.0))).squeeze(1);
  CHECK(distance(Idgi(kinked, {.steps = 6}, Curved{})(input).values.sum(1), change) < 1e-12);
  const auto from = [](Baseline baseline) {
    return Idgi(kinked, {.steps = 6, .baseline = std::move(baseline)})(input).values;
  };
  const at::Tensor mean = from(Baseline::tensor(start[0])).add(from(Baseline::tensor(start[1]))).mul(0.5);
  CHECK(distance(from(Baseline::each(start.slice(0, 0, 2))), mean) < 1e-12);
}

TEST_CASE("stopped, it has handed out the steps that have ended; progress is told after each gradient") {
  std::vector<Progress> told;
  const Attribution whole = Idgi(kinked, {.steps = 4, .chunk = 2, .progress = [&](const Progress& p) {
                                            return told.push_back(p), true;
                                          }})(input);
  CHECK_FALSE(whole.stopped);
  REQUIRE(told.size() == 20);
  CHECK(told.back().done == 20);
  CHECK(told.back().total == 20);
  // of three of four steps the last has begun but not ended, so that two were handed out
  const Attribution part =
      Idgi(kinked, {.steps = 4, .progress = [](const Progress& p) { return p.done < 15; }})(input);
  CHECK(part.stopped);
  CHECK(part.evaluations.eq(3).all().item<bool>());
  const at::Tensor reached = kinked(input.mul(0.5)).sub(kinked(input.mul(0.0))).squeeze(1);
  CHECK(distance(part.values.sum(1), reached) < 1e-12);
}

TEST_CASE("it is an attributor; options out of range name the option, the value and the range") {
  static_assert(Attributor<decltype(Idgi(bumpy))>);
  const at::Tensor x = input.slice(0, 0, 1);
  static_assert(std::is_same_v<decltype(Idgi{bumpy}.predict(x)), Explained>);  // which has no values
  CHECK(same(Idgi{bumpy}.predict(x).score, Idgi{bumpy}(x).score));
  const auto refused = [](const IdgiOptions& options) {
    return message<ArgumentError>([&] { Idgi{bumpy, options}; });
  };
  CHECK(refused({.steps = 0}) == "steps must be at least 1, got 0");
  CHECK(contains(refused({.chunk = -1}), "chunk must be at least 0, got -1"));
  CHECK(contains(message<ArgumentError>([] {
                   Idgi{bumpy, {.baseline = Baseline::zero()}, BlurPath{}};
                 }),
                 "a baseline and this path exclude each other"));
  CHECK(contains(message<TargetError>([&] { Idgi{bumpy}(x, ClassIndex{6}); }), "no class 6"));
}
