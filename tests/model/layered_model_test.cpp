#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>
#include <salience/model/layered_model.hpp>

#include <ATen/ops/conv2d_ops.h>
#include <c10/core/GradMode.h>
#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include <memory>
#include <stdexcept>
#include <thread>

#include "../grouping_locale.hpp"
#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;

namespace {

at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight) {
  const std::int64_t padding = weight.size(2) / 2;
  return at::_ops::conv2d::call(x, weight, {}, {1, 1}, {padding, padding}, {1, 1}, 1);
}

const at::Tensor first = normal({4, 3, 3, 3}, at::kDouble, 1), second = normal({5, 4, 3, 3}, at::kDouble, 2);
const at::Tensor squeeze = normal({5, 5, 1, 1}, at::kDouble, 3);

at::Tensor features(const at::Tensor& x) { return convolve(convolve(x, first).relu(), second); }
/// Writes into its input.
at::Tensor head(const at::Tensor& x) { return x.relu_().mul(x).sum({2, 3}); }

/// Ends with a squeeze and excitation, whose convolution has one position.
at::Tensor network(const at::Tensor& x) {
  const at::Tensor y = features(x).relu_();
  return y.mul(convolve(y.mean({2, 3}, true), squeeze)).mul_(y).sum({2, 3});
}

const at::Tensor input = normal({2, 3, 5, 6});

/// The gradient of the output's first column at a layer, by LibTorch.
at::Tensor gradient(const Tapped& tapped, const at::Tensor& layer) {
  tapped.output.select(1, 0).sum().backward({}, true, false, at::TensorList(&layer, 1));
  at::Tensor result = layer.grad().clone();
  layer.mutable_grad().reset();
  return result;
}

}  // namespace

static_assert(LayeredModel<FeaturesHead<decltype(&features), decltype(&head)>>);
static_assert(LayeredModel<LastConvolution<decltype(&network)>>);
static_assert(!LayeredModel<decltype(&network)>);

TEST_CASE("FeaturesHead: the layer is what lies between, also if the head writes into it") {
  const FeaturesHead model(&features, &head);
  const at::Tensor x = input.clone().requires_grad_(true);
  const Tapped tapped = model.tapped(x, std::vector<std::string>{"", "features"});
  CHECK(same(tapped.output.detach(), head(features(input))));
  REQUIRE(tapped.layers.size() == 2);
  CHECK(same(tapped.layers[0].detach(), features(input)));
  CHECK(same(tapped.layers[1].detach(), features(input)));
  at::Tensor expected = features(input).relu().mul(2.0);
  expected.slice(1, 1).zero_();
  CHECK(same(gradient(tapped, tapped.layers[0]), expected));
  CHECK(same(model(input), head(features(input))));
  CHECK(contains(message<ArgumentError>([&] { model.tapped(input, std::vector<std::string>{"feature"}); }),
                 "there is no layer 'feature'; the nearest are 'features'"));
}

TEST_CASE("FeaturesHead and LastConvolution take models of every kind") {
  struct Forward {
    at::Tensor forward(const at::Tensor& x) { return features(x); }
  };
  const FeaturesHead model(std::make_shared<Forward>(), [](at::Tensor x) mutable { return head(x); });
  CHECK(same(model(input), head(features(input))));
  CHECK(same(LastConvolution(std::make_shared<Forward>())(input), features(input)));
}

TEST_CASE("LastConvolution: what the last convolution gave, before the activation in place that follows") {
  const LastConvolution model(&network);
  const at::Tensor x = input.clone().requires_grad_(true);
  const Tapped tapped = model.tapped(x, std::vector<std::string>{"", "convolution.0", "convolution.1"});
  CHECK(same(tapped.output.detach(), network(input)));
  CHECK(same(tapped.layers[0].detach(), features(input)));
  CHECK(same(tapped.layers[1].detach(), convolve(input, first)));
  CHECK(same(tapped.layers[2].detach(), features(input)));

  // The same by a split of the network by hand.
  const FeaturesHead split(&features, [](const at::Tensor& y) {
    return y.relu().mul(convolve(y.relu().mean({2, 3}, true), squeeze)).mul(y.relu()).sum({2, 3});
  });
  const Tapped expected = split.tapped(x, std::vector<std::string>{""});
  CHECK(support::distance(gradient(tapped, tapped.layers[0]), gradient(expected, expected.layers[0])) <
        1e-12);
  CHECK(support::distance(gradient(tapped, x), gradient(expected, x)) < 1e-10);
}

TEST_CASE("LastConvolution: a convolution of one position only if there is no other") {
  const LastConvolution model([](const at::Tensor& x) { return convolve(x.mean({2, 3}, true), first); });
  CHECK(model.tapped(input, std::vector<std::string>{""}).layers[0].size(2) == 1);
}

TEST_CASE("LastConvolution: works without gradients, and when the thread records nothing") {
  const LastConvolution model(&network);
  const c10::NoGradGuard no_grad;
  const at::DisableRecordFunctionGuard off;
  const Tapped tapped = model.tapped(input, std::vector<std::string>{""});
  CHECK(same(tapped.layers[0], features(input)));
  CHECK_FALSE(at::isRecordFunctionEnabled());
}

TEST_CASE("LastConvolution leaves no callback behind, also when the model throws") {
  const LastConvolution model(&network);
  (void)model.tapped(input, std::vector<std::string>{""});
  CHECK_FALSE(at::hasThreadLocalCallbacks());
  const LastConvolution throwing([](const at::Tensor& x) -> at::Tensor {
    convolve(x, first);
    throw std::domain_error("from the model");
  });
  CHECK_THROWS_AS(throwing.tapped(input, std::vector<std::string>{""}), std::domain_error);
  CHECK_FALSE(at::hasThreadLocalCallbacks());
}

TEST_CASE("LastConvolution: one inside of another sees its own convolutions") {
  const LastConvolution inner(&network);
  const LastConvolution outer([&inner](const at::Tensor& x) {
    const at::Tensor seen = inner.tapped(x, std::vector<std::string>{"convolution.0"}).layers[0];
    return convolve(seen, second);
  });
  const Tapped tapped = outer.tapped(input, std::vector<std::string>{"convolution.0"});
  CHECK(same(tapped.layers[0], convolve(convolve(input, first), second)));
  CHECK_FALSE(at::hasThreadLocalCallbacks());
}

TEST_CASE("LastConvolution: a wrong name and a model without convolutions are errors with a sentence") {
  const LastConvolution model(&network);
  const auto tap = [](const auto& of, const std::string& name) {
    return [&of, name] { (void)of.tapped(input, std::vector<std::string>{name}); };
  };
  CHECK(contains(message<ArgumentError>(tap(model, "convolution.9")), "nearest are 'convolution.0'"));
  const LastConvolution none([](const at::Tensor& x) { return x.sum({2, 3}); });
  CHECK(contains(message<ModelError>(tap(none, "")), "ran no convolution"));
}

TEST_CASE("LastConvolution: a layer's name has plain digits in every locale") {
  const at::Tensor weight = normal({1, 1, 3, 3});
  const LastConvolution model([&weight](at::Tensor x) {
    for (int i = 0; i < 1002; ++i) x = convolve(x, weight);
    return x.sum({2, 3});
  });
  const support::GroupingLocale grouping;
  const at::Tensor x = normal({1, 1, 1, 1});
  CHECK(model.tapped(x, std::vector<std::string>{"convolution.1001"}).layers.size() == 1);
}

TEST_CASE("LastConvolution: threads do not see each other's convolutions") {
  const LastConvolution model(&network);
  const at::Tensor expected = model.tapped(input, std::vector<std::string>{""}).layers[0];
  std::vector<int> right(4, 0);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < right.size(); ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 50; ++i) {
          right[t] += same(model.tapped(input, std::vector<std::string>{""}).layers[0], expected) ? 1 : 0;
        }
      });
    }
  }
  for (const int count : right) CHECK(count == 50);
}
