#include <salience/method/any_attributor.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/metric/randomization.hpp>
#include <salience/metric/sensitivity.hpp>
#include <salience/model/any_model.hpp>

#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include <stdexcept>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor weight = normal({6, 4}, at::kDouble, 3);
const at::Tensor input = normal({3, 6});
const auto network = [](const at::Tensor& x) { return x.matmul(weight).sin(); };

/// A method of one's own, which has no `predict`.
const auto own_method = [](const at::Tensor& x, const auto& target) {
  Attribution result = GradientAttributor(network)(x, target);
  result.values = result.values.mul(2.0);
  return result;
};

}  // namespace

static_assert(Attributor<AnyAttributor>);
static_assert(std::is_copy_constructible_v<AnyAttributor> && std::is_copy_assignable_v<AnyAttributor>);

TEST_CASE("AnyAttributor gives what the method in it gives, bit for bit, for targets of every kind") {
  const auto check = [](const auto& method) {
    const AnyAttributor any(method);
    const auto compare = [&](const auto&... target) {
      const Attribution own = method(input, target...), erased = any(input, target...);
      CHECK(same(erased.values, own.values));
      CHECK(same(erased.score, own.score));
      CHECK(same(erased.logits, own.logits));
      CHECK(same(any.predict(input, target...).score, own.score));
      static_assert(std::is_same_v<decltype(any.predict(input, target...)), Explained>);  // without values
    };
    compare();
    compare(ClassIndex{1});
    compare(TargetSelector{PerSample{{0, 1, 2}}, Probability{}});
    compare([](const at::Tensor& output) { return output.square().sum(1); });
    compare(AnyTarget(ClassIndex{3}));
  };
  check(GradientAttributor(network));
  check(GradientAttributor(AnyModel(network)));
  check(IntegratedGradients(network, {.steps = 4}));
  check(SmoothGrad(GradientAttributor(network), {.samples = 3}));
  check(AnyAttributor(GradientAttributor(network)));
}

TEST_CASE("AnyAttributor: of a method without predict, the prediction is that of the whole method") {
  const AnyAttributor any(own_method);
  CHECK(same(any(input, ClassIndex{1}).values, own_method(input, ClassIndex{1}).values));
  const Explained prediction = any.predict(input, ClassIndex{1});
  CHECK(same(prediction.score, own_method(input, ClassIndex{1}).score));
}

TEST_CASE("AnyAttributor in what wraps a method") {
  const GradientAttributor vanilla(network);
  const AnyAttributor any(vanilla);
  const Attribution own = SmoothGrad(vanilla, {.samples = 5, .seed = 3})(input, ClassIndex{1});
  CHECK(same(SmoothGrad(any, {.samples = 5, .seed = 3})(input, ClassIndex{1}).values, own.values));
  const Sensitivity expected = MaxSensitivity(vanilla, {.samples = 4})(input);
  const Sensitivity figures = MaxSensitivity(any, {.samples = 4})(input);
  CHECK(same(figures.maximum, expected.maximum));
  CHECK(same(figures.mean, expected.mean));
  const auto randomized = [&](std::int64_t) { return any; };
  static_assert(Attributor<decltype(randomized(0))>);
}

TEST_CASE("AnyAttributor: methods are chosen and replaced while the program runs, and copies share one") {
  std::vector<AnyAttributor> methods{AnyAttributor(GradientAttributor(network)), AnyAttributor(own_method)};
  const at::Tensor first = methods[0](input).values;
  CHECK(same(methods[1](input).values, first.mul(2.0)));
  methods[1] = methods[0];
  CHECK(same(methods[1](input).values, first));
}

TEST_CASE("AnyAttributor: what the method throws passes through") {
  const AnyAttributor any(
      [](const at::Tensor&, const auto&) -> Attribution { throw std::out_of_range("mine"); });
  CHECK(message<std::out_of_range>([&] { any(input); }) == "mine");
  CHECK(contains(
      message<TargetError>([&] { AnyAttributor{GradientAttributor{network}}(input, ClassIndex{9}); }),
      "there is no class 9"));
}

TEST_CASE("AnyAttributor from several threads") {
  CHECK(support::same_from_threads(AnyAttributor(GradientAttributor(network)), input, 25) == 100);
}
