#include <salience/method/guided_backprop.hpp>

#include <doctest/doctest.h>

#include <type_traits>
#include <vector>

#include <salience/method/smooth_grad.hpp>

#include "../support.hpp"

using namespace salience;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

/// o = relu(x A) C with a unit of each kind: on or off, with a positive or a negative weight above it.
const at::Tensor a = tensor({1, 0, 0, 0,  //
                             0, 1, 0, 0,  //
                             0, 0, 1, 0,  //
                             0, 0, 0, 1},
                            {4, 4});
const at::Tensor c = tensor({2, 1,   //
                             -3, 1,  //
                             5, 1,   //
                             -7, 1},
                            {4, 2});
const at::Tensor x = tensor({1, 1, -1, -1}, {1, 4});

at::Tensor unit(const at::Tensor& input) {
  const auto type = input.scalar_type();
  return input.matmul(a.to(type)).relu().matmul(c.to(type));
}

/// Three convolutions with ReLUs, a spatial mean and a linear head.
struct Convolutions {
  std::vector<at::Tensor> weights = {normal({8, 3, 3, 3}, at::kDouble, 1),
                                     normal({8, 8, 3, 3}, at::kDouble, 2),
                                     normal({8, 8, 3, 3}, at::kDouble, 3)};
  at::Tensor head = normal({8, 5}, at::kDouble, 4);

  at::Tensor operator()(at::Tensor input) const {
    for (const at::Tensor& weight : weights) {
      const auto zero = at::zeros({8}, input.options());
      input = at::conv2d(input, weight.to(input.scalar_type()), zero, 1, 1).relu();
    }
    return input.mean(at::IntArrayRef{2, 3}).matmul(head.to(input.scalar_type()));
  }
};

const Convolutions convolutions;
const at::Tensor images = normal({3, 3, 8, 8}, at::kDouble, 5);

/// The mean cosine between the samples of two maps.
double similarity(const at::Tensor& first, const at::Tensor& second) {
  const at::Tensor p = first.flatten(1), q = second.flatten(1);
  return p.mul(q).sum(1).div(p.norm(2, 1).mul(q.norm(2, 1))).mean().item<double>();
}

}  // namespace

TEST_CASE("of the four kinds of unit, each method passes back those of its definition") {
  const auto values = [](const auto& method) { return method(x, ClassIndex{0}).values; };
  CHECK(same(values(GradientAttributor{unit}), tensor({2, -3, 0, 0}, {1, 4})));
  CHECK(same(values(GuidedBackprop{unit}), tensor({2, 0, 0, 0}, {1, 4})));
  CHECK(same(values(Deconvnet{unit}), tensor({2, 0, 5, 0}, {1, 4})));
}

TEST_CASE("the target, the score and the output are the plain gradient's, from one call of the model") {
  int calls = 0;
  const GuidedBackprop method{[&calls](const at::Tensor& input) { return ++calls, convolutions(input); }};
  const Attribution guided = method(images), plain = GradientAttributor{convolutions}(images);
  CHECK(calls == 1);
  CHECK(same(guided.target, plain.target));
  CHECK(same(guided.score, plain.score));
  CHECK(same(guided.logits, plain.logits));
  CHECK(same(guided.values, GradientAttributor(convolutions, GuidedRule{})(images).values));
  CHECK_FALSE(guided.values.requires_grad());
  const auto predicted = method.predict(images);
  CHECK(same(predicted.score, guided.score));
  static_assert(std::is_same_v<decltype(predicted), const Explained>);  // which has no values
  CHECK(same(Deconvnet{convolutions}.predict(images).score, guided.score));
}

TEST_CASE("promise 1: input and weights are untouched, also when the model has no rectifier") {
  at::Tensor weight = c.clone().requires_grad_(true);
  weight.mutable_grad() = weight.detach().mul(2.0);
  at::Tensor leaf = x.clone().requires_grad_(true);
  const auto writes = [&weight](const at::Tensor& input) { return input.relu_().matmul(weight); };
  CHECK(same(GuidedBackprop{writes}(leaf, ClassIndex{0}).values, tensor({2, 0, 0, 0}, {1, 4})));
  const auto smooth = [&weight](const at::Tensor& input) { return input.tanh_().matmul(weight); };
  CHECK_THROWS_AS(GuidedBackprop{smooth}(leaf), ModelError);
  CHECK(same(leaf.detach(), x));
  CHECK_FALSE(leaf.grad().defined());
  CHECK(same(weight.detach(), c));
  CHECK(same(weight.grad(), c.mul(2.0)));
  CHECK(weight.requires_grad());
}

TEST_CASE("promise 3: a batch gives what its samples give one by one, and repeats the same bits") {
  const GuidedBackprop guided{convolutions};
  const Deconvnet deconvnet{convolutions};
  const at::Tensor batch = guided(images).values, other = deconvnet(images).values;
  CHECK(same(guided(images).values, batch));
  for (std::int64_t n = 0; n < 3; ++n) {
    const at::Tensor one = images.slice(0, n, n + 1);
    CHECK(distance(guided(one).values, batch.slice(0, n, n + 1)) < 1e-12);
    CHECK(distance(deconvnet(one).values, other.slice(0, n, n + 1)) < 1e-12);
  }
}

TEST_CASE("promise 5: dtype in is dtype out") {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const Attribution result = GuidedBackprop{unit}(x.to(dtype), ClassIndex{0});
    CHECK((result.values.scalar_type() == dtype));
    CHECK(distance(result.values, tensor({2, 0, 0, 0}, {1, 4})) == 0.0);
    CHECK(distance(Deconvnet{unit}(x.to(dtype), ClassIndex{0}).values, tensor({2, 0, 5, 0}, {1, 4})) == 0.0);
  }
}

TEST_CASE("works under no_grad, in inference mode and with an inference tensor") {
  const GuidedBackprop method{convolutions};
  const at::Tensor expected = method(images).values;
  {
    const c10::NoGradGuard no_grad;
    CHECK(same(method(images).values, expected));
  }
  const c10::InferenceMode mode;
  CHECK(same(method(images.clone()).values, expected));
}

TEST_CASE("SmoothGrad wraps it") {
  const GuidedBackprop method{convolutions};
  const at::Tensor guided = method(images).values;
  const SmoothGrad still{method, {.samples = 3, .noise_level = 0.0}};
  CHECK(distance(still(images).values, guided) < 1e-12);
  const SmoothGrad smooth{method, {.samples = 8, .noise_level = 0.1}};
  const SmoothGrad plain{GradientAttributor{convolutions}, {.samples = 8, .noise_level = 0.1}};
  const at::Tensor values = smooth(images).values;
  CHECK(similarity(values, guided) > 0.9);
  CHECK(similarity(values, plain(images).values) < similarity(values, guided));
}

TEST_CASE("the known weakness: random weights in the head change the plain gradient, the guided one hardly") {
  Convolutions other = convolutions;
  other.head = normal({8, 5}, at::kDouble, 99);
  const auto kept = [&](const auto& first, const auto& second) {
    return similarity(first(images, ClassIndex{1}).values, second(images, ClassIndex{1}).values);
  };
  const double plain = kept(GradientAttributor{convolutions}, GradientAttributor{other});
  const double guided = kept(GuidedBackprop{convolutions}, GuidedBackprop{other});
  CAPTURE(plain);
  CAPTURE(guided);
  CHECK(guided > 0.7);
  CHECK(plain < 0.2);
}

static_assert(Attributor<GuidedBackprop<Convolutions>> && Attributor<Deconvnet<Convolutions>>);
