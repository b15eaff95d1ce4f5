#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/model/features_head.hpp>

#include <doctest/doctest.h>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

int forwards = 0;
/// (N, 2, 4, 4) to (N, 2, 2, 2) and to three classes, with rectifiers before and behind the layer.
const at::Tensor pool = normal({4, 2}, at::kDouble, 41), weights = normal({8, 3}, at::kDouble, 42);
const auto features = [](const at::Tensor& x) {
  ++forwards;
  return pool.t().to(x.scalar_type()).matmul(x).matmul(pool.to(x.scalar_type())).relu();
};
const auto head = [](const at::Tensor& a) {
  return a.sub(0.1).relu().flatten(1).matmul(weights.to(a.scalar_type()));
};
const FeaturesHead model(features, head);
const at::Tensor input = normal({3, 2, 4, 4}, at::kDouble, 43);

}  // namespace

TEST_CASE("it is guided backpropagation times the upsampled Grad-CAM, from one forward pass") {
  const GuidedGradCam method(model);
  forwards = 0;
  const Attribution a = method(input, ClassIndex{1});
  CHECK(forwards == 1);
  const Attribution guided = GuidedBackprop(model)(input, ClassIndex{1});
  const Attribution cam = GradCam(model)(input, ClassIndex{1});
  CHECK(same(a.values, guided.values.mul(cam.values)));
  CHECK(a.values.sizes() == input.sizes());
  CHECK(a.values.abs().max().item<double>() > 0.01);
  CHECK(same(a.nothing_positive, cam.nothing_positive));
  CHECK(same(a.score, guided.score));
  CHECK(same(method.predict(input).logits, a.logits));
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    CHECK((method(input.to(dtype), ClassIndex{1}).values.scalar_type() == dtype));
  }
}

TEST_CASE("where Grad-CAM has nothing above zero it is zero, and flagged") {
  // the score falls with every feature
  const FeaturesHead against(features, [](const at::Tensor& a) { return a.flatten(1).relu().sum(1).neg(); });
  const Attribution a = GuidedGradCam(against)(input, ClassIndex{0});
  CHECK(a.nothing_positive.all().item<bool>());
  CHECK(a.values.abs().max().item<double>() == 0.0);
}

TEST_CASE("without upsampling, rectifiers or the layer there is an error") {
  CHECK(message<ArgumentError>([] { GuidedGradCam(model, {.upsample = false}); }) ==
        "upsample must be true in Guided Grad-CAM, got false");
  const FeaturesHead smooth([](const at::Tensor& x) { return x.mul(2.0); },
                            [](const at::Tensor& a) { return a.tanh().flatten(1); });
  CHECK(message<ModelError>([&] { GuidedGradCam{smooth}(input); }) != "nothing thrown");
  CHECK(contains(message<ArgumentError>([] { GuidedGradCam(model, {.layer = "conv"})(input); }),
                 "no layer 'conv'"));
}
