#include <salience/method/grad_cam.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>

#include <ATen/ops/constant_pad_nd_ops.h>
#include <doctest/doctest.h>

#include <type_traits>

#include "../support.hpp"
#include "../warnings.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

/// The features are the input itself, so that a test can give the activations; the head is score_0 = sum(u
/// A), score_1 = sum(u A^2) / 2, so that the gradients are u and u A.
const at::Tensor u = tensor({1, -1, 2, 0, 3, -2, 1, 1}, {1, 2, 2, 2});
const auto identity = [](const at::Tensor& x) { return x; };
const auto head = [](const at::Tensor& a) {
  return at::Tensor(a.mul(u).flatten(1).sum({1}, true))
      .mul(tensor({1, 0}, {1, 2}))
      .add(a.mul(a).mul(u).mul(0.5).flatten(1).sum({1}, true).mul(tensor({0, 1}, {1, 2})));
};
const FeaturesHead model(identity, head);
const at::Tensor a = tensor({1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 2, 2});  // (1, C=2, 2, 2)
const CamOptions raw{.relu = false, .upsample = false};

at::Tensor values(const auto& method, std::int64_t index) { return method(a, ClassIndex{index}).values; }

/// The tokens of a grid behind some of zeros.
at::Tensor behind(std::int64_t leading, const at::Tensor& grid) {
  return at::_ops::constant_pad_nd::call(grid.flatten(2).transpose(1, 2), {0, 0, leading, 0}, 0.0);
}

/// A model of tokens: the input (N, C, H, W) becomes `leading` zeros and then H * W tokens.
auto tokens_model(std::int64_t leading) {
  return FeaturesHead([leading](const at::Tensor& x) { return behind(leading, x); },
                      [](const at::Tensor& t) { return t.mul(t).sum({1}); });
}

}  // namespace

TEST_CASE("Grad-CAM: the spatial mean of the gradient weighs each channel") {
  // class 0: weights (1-1+2+0)/4 = 0.5 and (3-2+1+1)/4 = 0.75
  CHECK(distance(values(GradCam(model, raw), 0), tensor({4.25, 5.5, 6.75, 8}, {1, 1, 2, 2})) < 1e-14);
  // class 1: gradients u A = 1 -2 6 0 | 15 -12 7 8: weights 1.25 and 4.5
  CHECK(distance(values(GradCam(model, raw), 1), tensor({23.75, 29.5, 35.25, 41}, {1, 1, 2, 2})) < 1e-13);
}

TEST_CASE("HiResCAM: each place with its own gradient; the map sums to the score of a linear head") {
  const Attribution map = HiResCam(model, raw)(a, ClassIndex{0});
  CHECK(distance(map.values, tensor({16, -14, 13, 8}, {1, 1, 2, 2})) < 1e-14);
  CHECK(distance(map.values.sum(), map.score) < 1e-13);
}

TEST_CASE("LayerCAM: positive gradients alone") {
  CHECK(distance(values(LayerCam(model, raw), 0), tensor({16, 0, 13, 8}, {1, 1, 2, 2})) < 1e-14);
}

TEST_CASE("XGrad-CAM: gradients weighted by the share of the activation") {
  // (1-2+6+0)/10 = 0.5 and (15-12+7+8)/26 = 18/26
  const at::Tensor weights = tensor({0.5, 18.0 / 26.0}, {1, 2, 1, 1});
  CHECK(distance(values(XGradCam(model, raw), 0), a.mul(weights).sum({1}, true)) < 1e-6);
}

TEST_CASE("Grad-CAM++: alpha of equation 19, its epsilon as an option") {
  // alpha = 1 / (2 + S_k g), S = 10 and 26: positive gradients 1, 2 | 3, 1, 1
  const auto weight = [](double sum, std::vector<double> gradients) {
    double total = 0.0;
    for (const double g : gradients) total += g / (2.0 + sum * g);
    return total;
  };
  const at::Tensor weights = tensor({weight(10, {1, 2}), weight(26, {3, 1, 1})}, {1, 2, 1, 1});
  CHECK(distance(values(GradCamPlusPlus(model, raw), 0), a.mul(weights).sum({1}, true)) < 1e-13);
  const GradCamPlusPlus damped(model, raw, {.epsilon = 1e-6});
  CHECK(distance(values(damped, 0), a.mul(weights).sum({1}, true)) < 1e-5);
  CHECK_FALSE(same(values(damped, 0), values(GradCamPlusPlus(model, raw), 0)));
}

TEST_CASE("Grad-CAM++: a denominator that is exactly 0 counts as 1, as in the authors' code") {
  // Channel 0 has the sum 10 and the gradients -1/5 (2 + 10 g = 0) and 1; channel 1 the sum -2 and the
  // gradient 1 (2 - 2 g = 0), whose alpha is then g^2 = 1, and 2, whose alpha is 1 / (2 - 4).
  const at::Tensor activations = tensor({1, 2, 3, 4, -3, 2, -2, 1}, {1, 2, 2, 2});
  const at::Tensor gradients = tensor({-0.2, 1, 0, 0, 1, 2, 0, 0}, {1, 2, 2, 2});
  const at::Tensor weights = tensor({1.0 / 12.0, 1.0 - 1.0}, {1, 2, 1, 1});
  CHECK(distance(PlusPlus{}(activations, gradients), activations.mul(weights).sum({1}, true)) < 1e-14);
  const at::Tensor alone = gradients.mul(tensor({1, 1, 1, 1, 1, 0, 1, 1}, {1, 2, 2, 2}));
  const at::Tensor one = tensor({1.0 / 12.0, 1.0}, {1, 2, 1, 1});
  CHECK(distance(PlusPlus{}(activations, alone), activations.mul(one).sum({1}, true)) < 1e-14);
}

TEST_CASE("Eigen-CAM: the first principal direction, its largest value positive, for every class the same") {
  // Two channels, of which the second is twice the first: the direction is (1, 2) / sqrt(5).
  const at::Tensor one = tensor({1, 2, 3, 10}, {1, 1, 2, 2});
  const at::Tensor both = one.repeat({1, 2, 1, 1}).mul(tensor({1, 2}, {1, 2, 1, 1}));
  for (const double sign : {1.0, -1.0}) {
    const at::Tensor plain = EigenCam(model, raw, {.centred = false})(both.mul(sign), ClassIndex{0}).values;
    CHECK(distance(plain, one.mul(std::sqrt(5.0))) < 1e-12);
  }
  const at::Tensor centred = EigenCam(model, raw)(both, ClassIndex{1}).values;
  CHECK(distance(centred, one.sub(4.0).mul(std::sqrt(5.0))) < 1e-12);
  CHECK(distance(EigenCam(model, raw)(at::Tensor(both.zero_()), ClassIndex{1}).values, one.mul(0.0)) == 0.0);
}

TEST_CASE("Eigen-CAM does no backward pass") {
  const FeaturesHead detached(identity, [](const at::Tensor& x) { return head(x.detach()); });
  CHECK(EigenCam(detached)(a).values.sizes() == at::IntArrayRef({1, 1, 2, 2}));
  const GradCam cam(detached);
  CHECK_THROWS_AS(cam(a), ModelError);
}

TEST_CASE("only what speaks for the target is kept by default, upsampled to the input's size") {
  // The features are 2x2 means of a 4x4 input; the map is A_0 - 2.5 by a head with gradient 1.
  const auto pool = [](const at::Tensor& x) {
    return x.unflatten(2, {2, 2}).unflatten(4, {2, 2}).mean({3, 5});
  };
  const FeaturesHead pooled(pool, [](const at::Tensor& x) { return x.sum({2, 3}); });
  const at::Tensor grid = tensor({-1, 2, 3, 4}, {1, 1, 2, 2});
  const at::Tensor x = grid.repeat_interleave(2, 2).repeat_interleave(2, 3);
  const Attribution map = GradCam(pooled)(x);
  CHECK(map.values.sizes() == at::IntArrayRef({1, 1, 4, 4}));
  // align_corners=false from 2 to 4: weights 1, 3/4, 1/4, 0 of the first
  const at::Tensor w = tensor({1, 0, 0.75, 0.25, 0.25, 0.75, 0, 1}, {4, 2});
  const at::Tensor rectified = tensor({0, 2, 3, 4}, {2, 2});
  CHECK(distance(map.values[0][0], w.matmul(rectified).matmul(w.t())) < 1e-14);
  const Attribution grid_only = GradCam(pooled, {.upsample = false})(x);
  CHECK(same(grid_only.values[0][0], rectified));
  CHECK(same(GradCam(pooled, {.relu = false, .upsample = false})(x).values, grid));
}

TEST_CASE("a map with nothing above zero is flagged, zero, and there in full without relu") {
  const FeaturesHead linear(identity, [](const at::Tensor& x) { return x.mean({1, 2, 3}); });
  const at::Tensor x = tensor({-1, -2, -3, -4, 1, -2, -3, -4}, {2, 1, 2, 2});
  const Attribution map = GradCam(linear)(x);
  CHECK((map.nothing_positive.scalar_type() == at::kBool));
  CHECK(map.nothing_positive[0].item<bool>());
  CHECK_FALSE(map.nothing_positive[1].item<bool>());
  CHECK(map.values[0].abs().max().item<double>() == 0.0);
  const Attribution raw_map = GradCam(linear, raw)(x);
  CHECK(raw_map.nothing_positive[0].item<bool>());
  CHECK(distance(raw_map.values, x.mul(0.25)) < 1e-15);
}

TEST_CASE("several layers: the mean of their maps, each by its largest absolute value") {
  struct Two {
    Tapped tapped(const at::Tensor& x, std::span<const std::string> layers) const {
      const at::Tensor second = x.mul(x).clone();
      Tapped result{second.mul(u).flatten(1).sum({1}, true), {}};
      for (const std::string& name : layers) result.layers.push_back(name == "x" ? x : second);
      result.channels.assign(layers.size(), ChannelAxis::first);
      return result;
    }
  };
  const at::Tensor first = GradCam(Two{}, {.layer = "x", .relu = false})(a).values;
  const at::Tensor second = GradCam(Two{}, {.layer = "y", .relu = false})(a).values;
  const at::Tensor mean = first.div(first.abs().max()).add(second.div(second.abs().max())).div(2.0);
  CHECK(distance(GradCam(Two{}, {.layer = {"x", "y"}, .relu = false})(a).values, mean) < 1e-14);
  CHECK(distance(GradCam(Two{}, {.layer = {"y", "y"}})(a).values, second.div(second.abs().max())) < 1e-14);
  CHECK(contains(message<ArgumentError>([] { LayerNames(std::vector<std::string>{}); }), "got none"));
}

TEST_CASE("tokens: the grid is inferred, with a class token and without, in the input's aspect or a square") {
  const auto expect = [](const at::Tensor& x) {
    return GradCam(FeaturesHead(identity,
                                [](const at::Tensor& y) {
                                  return y.mul(y).sum({2, 3});
                                }))(x, ClassIndex{1})
        .values;
  };
  for (const auto& [height, width] : {std::pair{4, 4}, std::pair{2, 6}, std::pair{6, 2}}) {
    const at::Tensor x = normal({2, 3, height, width});
    for (const std::int64_t leading : {0, 1}) {
      CHECK(distance(GradCam(tokens_model(leading))(x, ClassIndex{1}).values, expect(x)) < 1e-13);
    }
    const Tokens five{height, width, 5};
    CHECK(distance(GradCam(tokens_model(5), {.reshape = five})(x, ClassIndex{1}).values, expect(x)) < 1e-13);
  }
  const std::string text = message<ArgumentError>([] {
    (void)GradCam(tokens_model(6))(normal({2, 3, 2, 6}));
  });
  CHECK(contains(text, "the last convolution gives (2, 18, 3): its 18 tokens"));
  CHECK(contains(text, "Tokens{height, width, leading}"));
  CHECK(contains(message<ArgumentError>([] { Tokens{3, 3}(normal({2, 9, 4})); }), "(N, 1 + 3 * 3, C)"));
}

TEST_CASE("channels-last grids, as Swin's, by a reshape") {
  const FeaturesHead swin(
      [](const at::Tensor& x) {
        return x.permute({0, 2, 3, 1}).mul(1.0);
      },
      [](const at::Tensor& y) {
        return y.mul(y).sum({1, 2});
      });
  const FeaturesHead usual(identity, [](const at::Tensor& y) { return y.mul(y).sum({2, 3}); });
  const at::Tensor x = normal({2, 3, 4, 5});
  CHECK(distance(GradCam(swin, {.reshape = ChannelsLast{}})(x, ClassIndex{2}).values,
                 GradCam(usual)(x, ClassIndex{2}).values) < 1e-13);
}

TEST_CASE("a gradient that is zero everywhere is told, once a call, with the layer's name") {
  const FeaturesHead class_token([](const at::Tensor& x) { return behind(1, x); },
                                 [](const at::Tensor& t) { return t.select(1, 0).mul(3.0); });
  const support::CatchWarnings warnings;
  const Attribution map = GradCam(class_token)(normal({1, 2, 3, 3}));
  CHECK(map.nothing_positive.all().item<bool>());
  REQUIRE(warnings.messages().size() == 1);
  CHECK(contains(warnings.messages()[0], "the gradient at the last convolution is zero everywhere"));
  CHECK(contains(warnings.messages()[0], "name an earlier layer"));
}

TEST_CASE("what is no grid is an error that names the layer and its shape") {
  const FeaturesHead batched([](const at::Tensor& x) { return x.transpose(0, 1).mul(1.0); },
                             [](const at::Tensor& y) {
                               return y.sum({2, 3}).t();
                             });
  CHECK(contains(message<ArgumentError>([&] { (void)GradCam(batched)(a); }),
                 "must be of shape (1, C, places...)"));
  const FeaturesHead flat([](const at::Tensor& x) { return x.unsqueeze(1).unsqueeze(1).mul(1.0); },
                          [](const at::Tensor& y) { return y.flatten(1); });
  CHECK(contains(message<ArgumentError>([&] {
                   (void)GradCam(flat)(normal({2, 3}));
                 }),
                 "not known where the channels are; give the option reshape"));
  CHECK(message<ArgumentError>([&] {
          (void)GradCam(flat, {.reshape = ChannelsFirst{}})(normal({2, 3}));
        }) ==
        "the last convolution gives (2, 1, 1, 3), a map of 1x3, which cannot be upsampled to an input of "
        "no places; give the option reshape, or upsample = false for the layer's own grid");
  CHECK(GradCam(flat, {.upsample = false, .reshape = ChannelsFirst{}})(normal({2, 3})).values.sizes() ==
        at::IntArrayRef({2, 1, 1, 3}));
  CHECK(contains(message<ArgumentError>([&] { (void)GradCam(model, {.layer = "no"})(a); }), "no layer 'no'"));
}

TEST_CASE("a layer on which the score does not depend is an error") {
  const FeaturesHead ignored(identity, [](const at::Tensor& x) {
    return x.detach().sum({2, 3}).add(x.sum());
  });
  CHECK(GradCam(ignored)(a).values.defined());
  struct Apart {
    Tapped tapped(const at::Tensor& x, std::span<const std::string>) const {
      return {x.sum({2, 3}), {x.mul(2.0)}};
    }
  };
  CHECK(contains(message<ModelError>([] { (void)GradCam(Apart{}, {.layer = "side"})(a); }), "'side'"));
}

TEST_CASE("promise 1: the input is untouched; works under no_grad, in inference mode and with its tensors") {
  at::Tensor leaf = a.clone().requires_grad_(true);
  const GradCam cam(model);
  const at::Tensor expected = cam(a).values;
  CHECK(same(cam(leaf).values, expected));
  CHECK_FALSE(leaf.grad().defined());
  const c10::InferenceMode mode;
  CHECK(same(cam(a).values, expected));
  CHECK(same(cam(a.clone()).values, expected));
  CHECK(same(EigenCam(model)(a.clone()).values, EigenCam(model)(a).values));
}

TEST_CASE("promise 2: threads that share a method get the same bits") {
  const GradCam cam(model);
  CHECK(support::same_from_threads(cam, a, 50) == 4 * 50);
}

TEST_CASE("promise 3: a batch gives what its samples give one by one, for every map") {
  const FeaturesHead net([](const at::Tensor& x) { return x.mul(x).add(0.1); },
                         [](const at::Tensor& y) {
                           return y.mul(y.sub(1.0)).sum({2, 3});
                         });
  const at::Tensor x = normal({4, 3, 5, 5});
  const auto check = [&x](const auto& method) {
    const Attribution batch = method(x);
    for (std::int64_t n = 0; n < x.size(0); ++n) {
      const Attribution one = method(x.slice(0, n, n + 1));
      CHECK(distance(batch.values.slice(0, n, n + 1), one.values) < 1e-12);
      CHECK(same(batch.nothing_positive.slice(0, n, n + 1), one.nothing_positive));
    }
  };
  check(GradCam(net));
  check(GradCamPlusPlus(net));
  check(HiResCam(net));
  check(XGradCam(net));
  check(LayerCam(net));
  check(EigenCam(net));
}

TEST_CASE("promise 5: dtype in is dtype out") {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const Attribution map = GradCam(model)(a.to(dtype), ClassIndex{0});
    CHECK((map.values.scalar_type() == dtype));
    CHECK((EigenCam(model)(a.to(dtype)).values.scalar_type() == dtype));
  }
}

TEST_CASE("predict explains nothing and tells the rest") {
  const auto predicted = GradCam(model).predict(a);
  const Attribution explained = GradCam(model)(a);
  static_assert(std::is_same_v<decltype(predicted), const Explained>);  // which has no values
  CHECK(same(predicted.target, explained.target));
  CHECK(same(predicted.score, explained.score));
  CHECK(same(predicted.logits, explained.logits));
}

static_assert(Attributor<GradCam<std::remove_const_t<decltype(model)>>>);
