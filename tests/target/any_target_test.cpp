#include <salience/method/gradient_attributor.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/metric/confidence.hpp>
#include <salience/target/any_target.hpp>

#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include <string>
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

/// A target that is no selector: it says nothing of how it reads the output.
struct Second {
  at::Tensor choose(const at::Tensor& output) const { return output.argsort(std::int64_t{1}).select(1, -2); }
  at::Tensor score(const at::Tensor& output, const at::Tensor& chosen) const {
    return Logit{}(output, chosen).mul(2.0);
  }
};

void check_same(const auto& target) {
  const AnyTarget any(target);
  const GradientAttributor vanilla(network);
  const SmoothGrad smooth(vanilla, {.samples = 3, .seed = 1});
  const IntegratedGradients path(network, {.steps = 4});
  const auto compare = [&](const auto& method) {
    const Attribution own = method(input, target), erased = method(input, any);
    CHECK(same(erased.values, own.values));
    CHECK(same(erased.score, own.score));
    CHECK(erased.target.defined() == own.target.defined());
    if (own.target.defined()) CHECK(same(erased.target, own.target));
    CHECK(erased.output_type == own.output_type);
  };
  compare(vanilla);
  compare(smooth);
  compare(path);
}

}  // namespace

static_assert(Target<AnyTarget>);
static_assert(std::is_copy_constructible_v<AnyTarget> && std::is_copy_assignable_v<AnyTarget>);

TEST_CASE("AnyTarget gives what the target in it gives, bit for bit") {
  check_same(TargetSelector{});
  check_same(ClassIndex{2});
  check_same(PerSample{{2, 0, 1}});
  check_same(ClassName{"b", {"a", "b", "c", "d"}});
  check_same(TargetSelector{ClassIndex{1}, Probability{}});
  check_same(TargetSelector{ArgMax{}, Logit{}, OutputType::logits});
  check_same([](const at::Tensor& output) { return output.square().sum(1); });
  check_same(Second{});
  check_same(AnyTarget(ClassIndex{3}));
  check_same(FixedTarget{TargetSelector{}, input.select(1, 0).mul(0.0).to(at::kLong)});
}

TEST_CASE("AnyTarget is the predicted class's logit by default, and copies have its target") {
  const GradientAttributor vanilla(network);
  AnyTarget target;
  CHECK(same(vanilla(input, target).values, vanilla(input).values));
  const AnyTarget other(ClassIndex{2});
  target = other;
  CHECK(same(vanilla(input, target).values, vanilla(input, ClassIndex{2}).values));
}

TEST_CASE("AnyTarget reads an output as its target does") {
  const AnyTarget stated(TargetSelector{ArgMax{}, Logit{}, OutputType::probabilities});
  CHECK(stated.output_type() == OutputType::probabilities);
  const AnyTarget automatic;
  const at::Tensor probabilities = network(input).softmax(1);
  CHECK(automatic.output_type() == OutputType::automatic);
  CHECK(automatic.output_type(probabilities) == OutputType::probabilities);
  CHECK(automatic.output_type(network(input)) == OutputType::logits);
  CHECK(automatic.read_as(OutputType::logits).output_type() == OutputType::logits);
  CHECK(automatic.output_type() == OutputType::automatic);
  CHECK(stated.read_as(OutputType::logits).output_type() == OutputType::probabilities);
  CHECK(AnyTarget(Second{}).read_as(OutputType::logits).output_type() == OutputType::automatic);
}

TEST_CASE(
    "AnyTarget in a metric takes the explained class where its target names none, and else refuses another") {
  const Confidence confidence(network);
  const Attribution attribution = GradientAttributor(network)(input, PerSample{{0, 1, 2}});
  const TargetSelector<ArgMax, Probability> probability;
  CHECK(probability.takes_any_class());
  CHECK(AnyTarget(probability).takes_any_class());
  CHECK(!AnyTarget(ClassIndex{2}).takes_any_class());
  CHECK(!AnyTarget(Second{}).takes_any_class());
  const auto own = confidence(input, attribution, probability);
  const auto erased = confidence(input, attribution, AnyTarget(probability));
  CHECK(same(erased.drop, own.drop));
  CHECK(contains(message<ArgumentError>([&] {
                   confidence(input, attribution, AnyTarget(TargetSelector{ClassIndex{3}, Probability{}}));
                 }),
                 "the target's class 3 is not the class 0 that the attribution explains"));
}

TEST_CASE("AnyTarget: what the target throws passes through") {
  const GradientAttributor vanilla(network);
  CHECK(message<TargetError>([&] { vanilla(input, AnyTarget(ClassIndex{9})); }) ==
        message<TargetError>([&] { vanilla(input, ClassIndex{9}); }));
}
