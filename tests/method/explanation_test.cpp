#include <salience/method/explanation.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/method/input_x_gradient.hpp>
#include <salience/model/features_head.hpp>

#include <doctest/doctest.h>

#include <type_traits>

#include "../support.hpp"

using namespace salience;
using support::message;
using support::normal;
using support::same;

namespace {

int forwards = 0;
const at::Tensor pool = normal({4, 2}, at::kDouble, 51), weights = normal({8, 3}, at::kDouble, 52);
const FeaturesHead model(
    [](const at::Tensor& x) {
      ++forwards;
      return pool.t().matmul(x).matmul(pool).relu_();
    },
    [](const at::Tensor& a) { return a.sub(0.1).relu().flatten(1).matmul(weights); });
const at::Tensor input = normal({3, 2, 4, 4}, at::kDouble, 53);

}  // namespace

TEST_CASE("one forward pass gives what the methods give, bit for bit, in any order and again") {
  const ClassIndex target{2};
  const CamOptions options{.relu = false};
  forwards = 0;
  const Explanation explanation(model, input, target, options);
  const auto is = [](const Attribution& a, const Attribution& b) {
    return same(a.values, b.values) && same(a.score, b.score) && same(a.logits, b.logits);
  };
  std::vector<Attribution> got;
  for (int round = 0; round < 2; ++round) {
    got.push_back(explanation.guided_grad_cam());
    got.push_back(explanation.vanilla());
    got.push_back(explanation.grad_cam());
    got.push_back(explanation.guided_backprop());
    got.push_back(explanation.input_x_gradient());
    got.push_back(explanation.deconvnet());
    got.push_back(explanation.cam(PositiveGradient{}));
    got.push_back(
        explanation.gradient([](const at::Tensor& plain, const at::Tensor&) { return plain.mul(2.0); }));
  }
  CHECK(forwards == 1);
  const auto doubling = [](const at::Tensor& plain, const at::Tensor&) { return plain.mul(2.0); };
  for (std::size_t i = 0; i < got.size(); i += 8) {
    CHECK(is(got[i], GuidedGradCam(model, options)(input, target)));
    CHECK(is(got[i + 1], GradientAttributor(model)(input, target)));
    CHECK(is(got[i + 2], GradCam(model, options)(input, target)));
    CHECK(is(got[i + 3], GuidedBackprop(model)(input, target)));
    CHECK(is(got[i + 4], InputXGradient(model)(input, target)));
    CHECK(is(got[i + 5], Deconvnet(model)(input, target)));
    CHECK(is(got[i + 6], LayerCam(model, options)(input, target)));
    CHECK(is(got[i + 7], GradientAttributor(model, doubling)(input, target)));
  }
  static_assert(std::is_same_v<decltype(explanation.explained()), Explained>);  // which has no values
  CHECK(same(explanation.explained().target, got[1].target));
}

TEST_CASE("the results are the caller's: writing into one changes no other") {
  const Explanation explanation(model, input, TargetSelector{}, CamOptions{});
  const at::Tensor first = explanation.vanilla().values, kept = first.clone();
  first.zero_();
  CHECK(same(explanation.vanilla().values, kept));
  explanation.guided_backprop().values.zero_();
  CHECK(explanation.guided_backprop().values.abs().max().item<double>() > 0.0);
}

TEST_CASE("without layers any model goes; the errors of the methods are its own") {
  at::Tensor leaf = input.clone().requires_grad_(true);
  const auto square = [](const at::Tensor& x) { return x.mul_(2.0).pow(2).flatten(1); };
  const c10::InferenceMode mode;
  const Explanation explanation(square, leaf);
  CHECK(same(explanation.vanilla().values, GradientAttributor(square)(input).values));
  CHECK(same(leaf.detach(), input));
  CHECK(message<ArgumentError>([&] { explanation.grad_cam(); }) ==
        "this Explanation has no layers: give it CamOptions after the target");
  CHECK(message<ModelError>([&] { explanation.guided_backprop(); }) != "nothing thrown");
  CHECK(explanation.vanilla().values.defined());
  const CamOptions grid{.upsample = false};
  const Explanation raw(model, input, TargetSelector{}, grid);
  CHECK(raw.grad_cam().values.size(2) == 2);
  CHECK(message<ArgumentError>([&] { raw.guided_grad_cam(); }) != "nothing thrown");
}
