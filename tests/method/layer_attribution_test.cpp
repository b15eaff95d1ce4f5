#include <salience/method/layer_attribution.hpp>
#include <salience/model/features_head.hpp>

#include <doctest/doctest.h>

#include <type_traits>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor weight = normal({4, 3});
const auto features = [](const at::Tensor& x) { return x.mul(x); };
/// Writes into its input. score_k = sum_j w[j][k] a_j^2, so that the gradient is 2 w[:, k] a.
const auto head = [](const at::Tensor& a) {
  const at::Tensor doubled = a.mul_(2.0);
  return doubled.mul(doubled).mul(0.25).matmul(weight.to(a.scalar_type()));
};
const FeaturesHead model(features, head);
const at::Tensor input = normal({5, 4}, at::kDouble, 1);

at::Tensor gradient(const at::Tensor& classes) {
  return features(input).mul(2.0).mul(weight.t().index_select(0, classes));
}

}  // namespace

TEST_CASE("LayerActivation: what the layer gives, without a gradient") {
  int calls = 0;
  const FeaturesHead counted([&calls](const at::Tensor& x) { return ++calls, features(x); },
                             [](const at::Tensor& a) { return head(a.detach()); });
  const Attribution a = LayerActivation(counted)(input, ClassIndex{1});
  CHECK(calls == 1);
  CHECK(same(a.values, features(input)));
  CHECK_FALSE(a.values.requires_grad());
  CHECK(same(a.logits, model(input)));
  CHECK(same(a.score, model(input).select(1, 1)));
}

TEST_CASE("LayerGradient: the gradient at the layer, for the predicted class or any") {
  const Attribution a = LayerGradient(model, {.layer = "features"})(input);
  CHECK(distance(a.values, gradient(a.target)) < 1e-13);
  CHECK(same(a.target, std::get<1>(model(input).max(1))));
  CHECK(distance(LayerGradient(model)(input, PerSample{{0, 1, 2, 1, 0}}).values,
                 gradient(salience::detail::vector_tensor<std::int64_t>(
                     std::vector<std::int64_t>{0, 1, 2, 1, 0}))) < 1e-13);
}

TEST_CASE("LayerGradXActivation: in a model of degree two the values sum to twice the score") {
  const Attribution a = LayerGradXActivation(model)(input, ClassIndex{2});
  CHECK(distance(a.values.sum({1}), a.score.mul(2.0)) < 1e-12);
}

TEST_CASE("two names for one tensor have the same gradient") {
  const std::vector<std::string> names{"", "features"};
  struct Same {
    Tapped tapped(const at::Tensor& x, std::span<const std::string> layers) const {
      const at::Tensor a = features(x);
      return {head(a.clone()), std::vector<at::Tensor>(layers.size(), a)};
    }
  } same_tensor;
  const auto pass = salience::record(same_tensor, input, ClassIndex{0}, names);
  const std::vector<at::Tensor> gradients = salience::detail::layer_gradients(pass);
  CHECK(same(gradients[0], gradients[1]));
  CHECK(distance(gradients[0], LayerGradient(model)(input, ClassIndex{0}).values) < 1e-14);
}

TEST_CASE("dtype in is dtype out; errors are the model's") {
  CHECK((LayerGradient(model)(input.to(at::kFloat)).values.scalar_type() == at::kFloat));
  CHECK((LayerActivation(model)(input.to(at::kBFloat16)).values.scalar_type() == at::kBFloat16));
  CHECK(contains(message<ArgumentError>([] { LayerActivation(model, {.layer = "feature"})(input); }),
                 "there is no layer 'feature'"));
  const LayerGradient gradient(model);
  CHECK_THROWS_AS(gradient(input, ClassIndex{7}), TargetError);
  CHECK_THROWS_AS(gradient(input.slice(0, 0, 0)), ArgumentError);
}

TEST_CASE("predict explains nothing and tells the rest") {
  const auto predicted = LayerGradient(model).predict(input, ClassIndex{1});
  static_assert(std::is_same_v<decltype(predicted), const Explained>);  // which has no values
  CHECK(same(predicted.logits, model(input)));
}
