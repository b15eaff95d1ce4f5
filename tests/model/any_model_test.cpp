#include <salience/method/grad_cam.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>

#include <ATen/ops/conv2d_ops.h>
#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor weight = normal({4, 3, 3, 3}, at::kDouble, 1);

at::Tensor features(const at::Tensor& x) {
  return at::_ops::conv2d::call(x, weight, {}, {1, 1}, {1, 1}, {1, 1}, 1);
}
at::Tensor head(const at::Tensor& x) { return x.relu().mul(x).sum({2, 3}); }
at::Tensor network(const at::Tensor& x) { return head(features(x)); }

const at::Tensor input = normal({2, 3, 5, 6});

/// Model or not, and if so of what kind.
struct Forward {
  at::Tensor forward(const at::Tensor& x) { return network(x); }
};

}  // namespace

static_assert(Model<AnyModel>);
static_assert(LayeredModel<AnyModel>);
static_assert(std::is_copy_constructible_v<AnyModel> && std::is_copy_assignable_v<AnyModel>);

TEST_CASE("AnyModel holds models of every kind, also one that cannot be copied") {
  std::vector<AnyModel> models{AnyModel(&network),
                               AnyModel(Forward{}),
                               AnyModel(std::make_shared<Forward>()),
                               AnyModel(std::make_unique<Forward>()),
                               AnyModel([calls = 0](const at::Tensor& x) mutable {
                                 ++calls;
                                 return network(x);
                               }),
                               AnyModel(LastConvolution(&network)),
                               AnyModel(AnyModel(&network))};
  for (const AnyModel& model : models) CHECK(same(model(input), network(input)));
  models.front() = models.back();
  CHECK(same(models.front()(input), network(input)));
  Forward shared;
  CHECK(same(AnyModel(std::make_shared<Forward>(shared))(input), network(input)));
}

TEST_CASE("AnyModel: copies share one model") {
  int calls = 0;
  const AnyModel first([&calls](const at::Tensor& x) {
    ++calls;
    return x;
  });
  const AnyModel second = first;  // NOLINT(performance-unnecessary-copy-initialization): the copy is the test
  first(input);
  second(input);
  CHECK(calls == 2);
  auto held = std::make_shared<Forward>();
  {
    const AnyModel model(held);
    const AnyModel copy = model;  // NOLINT(performance-unnecessary-copy-initialization)
    CHECK(held.use_count() == 2);
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("AnyModel gives what methods give of the model in it, bit for bit") {
  const FeaturesHead layered(&features, &head);
  const AnyModel any(layered);
  CHECK(any.layered());
  CHECK(same(GradientAttributor(any)(input).values, GradientAttributor(&network)(input).values));
  CHECK(same(GradCam(any)(input).values, GradCam(layered)(input).values));
  const Tapped own = layered.tapped(input, std::vector<std::string>{"features"});
  const Tapped tapped = any.tapped(input, std::vector<std::string>{"features"});
  CHECK(same(tapped.output, own.output));
  REQUIRE(tapped.layers.size() == 1);
  CHECK(same(tapped.layers[0], own.layers[0]));
  CHECK((tapped.channels == own.channels));
  CHECK(contains(message<ArgumentError>([&] { any.tapped(input, std::vector<std::string>{"feature"}); }),
                 "there is no layer 'feature'"));
}

TEST_CASE("AnyModel: a model without layers says so when one is asked for, and only then") {
  const AnyModel any(&network);
  CHECK(!any.layered());
  CHECK(same(any.tapped(input, {}).output, network(input)));
  CHECK(same(GradCam(any).predict(input).score, GradientAttributor(&network).predict(input).score));
  CHECK(message<ModelError>([&] { GradCam{any}(input); }) ==
        "the model in this AnyModel does not show the last convolution: it must hold a ScriptModel, "
        "FeaturesHead{features, head}, LastConvolution{model} or another LayeredModel");
  CHECK(contains(message<ModelError>([&] { GradCam{any, {.layer = "conv1"}}(input); }), "the layer 'conv1'"));
}

TEST_CASE("AnyModel: what the model throws passes through") {
  const AnyModel any([](const at::Tensor&) -> at::Tensor { throw std::out_of_range("mine"); });
  CHECK(message<std::out_of_range>([&] { any(input); }) == "mine");
}

TEST_CASE("AnyModel from several threads") {
  const GradCam cam(AnyModel(FeaturesHead(&features, &head)));
  CHECK(support::same_from_threads(cam, input, 10) == 40);
}
