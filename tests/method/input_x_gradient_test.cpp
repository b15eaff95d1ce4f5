#include <salience/method/input_x_gradient.hpp>

#include <doctest/doctest.h>

#include "../support.hpp"

using namespace salience;
using support::normal;

TEST_CASE("it is the gradient times the input, with the same target, score and output") {
  const at::Tensor weight = normal({4, 3});
  const auto model = [&weight](const at::Tensor& x) { return x.mul(x).matmul(weight); };
  const at::Tensor input = normal({5, 4}, at::kDouble, 1);
  const Attribution gradient = GradientAttributor(model)(input, ClassIndex{2});
  const Attribution a = InputXGradient(model)(input, ClassIndex{2});
  CHECK(support::same(a.values, gradient.values.mul(input)));
  CHECK(support::same(a.score, gradient.score));
  CHECK(support::same(a.target, gradient.target));
  CHECK(support::same(a.logits, gradient.logits));
}

TEST_CASE("in a network of ReLUs without biases it sums to the score") {
  const at::Tensor first = normal({6, 8}), second = normal({8, 8}, at::kDouble, 1),
                   head = normal({8, 3}, at::kDouble, 2);
  const InputXGradient method(
      [&](const at::Tensor& x) { return x.matmul(first).relu().matmul(second).relu().matmul(head); });
  const at::Tensor input = normal({10, 6}, at::kDouble, 3);
  const Attribution a = method(input);
  CHECK(support::distance(a.values.sum(1), a.score) < 1e-12);
}

TEST_CASE("an input that requires a gradient gives values without one") {
  const Attribution a =
      InputXGradient([](const at::Tensor& x) { return x.mul(x); })(normal({2, 3}).requires_grad_(true));
  CHECK_FALSE(a.values.requires_grad());
}

TEST_CASE("dtype in is dtype out") {
  const at::Tensor input = normal({2, 3}, at::kBFloat16);
  CHECK((InputXGradient([](const at::Tensor& x) { return x.mul(x); })(input).values.scalar_type() ==
         at::kBFloat16));
}
