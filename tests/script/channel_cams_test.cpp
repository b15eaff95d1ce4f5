// ScoreCam and AblationCam of model files: the last convolution by default, what lies beside the layer.
#include <salience/method/ablation_cam.hpp>
#include <salience/method/score_cam.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "../support.hpp"

using namespace salience;
using support::distance;
using support::normal;
using torch::jit::Module;

namespace {

Module conv(std::int64_t out, std::int64_t in, int salt) {
  Module made("Conv2d");
  made.register_parameter("w", normal({out, in, 3, 3}, at::kDouble, salt) * 0.4, false);
  made.define("def forward(self, x):\n  return torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n");
  return made;
}

/// Two blocks with a residual connection around the second; an auxiliary head that does not run.
Module network(const std::string& before = "") {
  Module net("Net");
  net.register_module("first", conv(4, 3, 1));
  net.register_module("second", conv(4, 4, 2));
  net.register_module("auxiliary", conv(4, 4, 3));
  net.register_attribute("training", c10::BoolType::get(), false);
  net.register_parameter("head", normal({4, 5}, at::kDouble, 4), false);
  net.define(
      "def forward(self, x):\n"
      "  f = torch.relu_(self.first.forward(x))\n"
      "  if self.training:\n"
      "    f = self.auxiliary.forward(f)\n" +
      before +
      "  y = torch.relu_(self.second.forward(f)) * 0.7\n"
      "  y = y + f\n"
      "  return torch.matmul(y.mean([2, 3]) + y.square().mean([2, 3]), self.head)\n");
  return net;
}

const at::Tensor x = normal({3, 3, 7, 6}, at::kDouble, 8);

/// What the network gives behind `second`.
at::Tensor behind(const Module& net, const at::Tensor& a, const at::Tensor& input) {
  const at::Tensor f = at::relu(net.attr("first").toModule().forward({input}).toTensor());
  const at::Tensor y = at::relu(a) * 0.7 + f;
  return (y.mean({2, 3}) + y.square().mean({2, 3})).matmul(net.attr("head").toTensor());
}

}  // namespace

TEST_CASE("Ablation-CAM of a model file: the last convolution by default, what is beside it held") {
  Module net = network();
  const at::Tensor f = at::relu(net.attr("first").toModule().forward({x}).toTensor());
  const at::Tensor a = net.attr("second").toModule().forward({f}).toTensor();
  const at::Tensor clean = behind(net, a, x).select(1, 2);
  at::Tensor map = at::zeros_like(a.narrow(1, 0, 1));
  for (std::int64_t k = 0; k < 4; ++k) {
    const at::Tensor without = a.clone();
    without.select(1, k).zero_();
    const at::Tensor weight = (clean - behind(net, without, x).select(1, 2)) / clean.abs();
    map = map + weight.view({3, 1, 1, 1}) * a.narrow(1, k, 1);
  }
  for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
    const ScriptModel model(net, {.prepare = prepare});
    for (const std::string& layer : {std::string(), std::string("second")}) {
      const AblationCam cam(model, {.layer = layer, .relu = false, .upsample = false});
      CHECK(distance(cam(x, ClassIndex{2}).values, map) < 1e-12);
      const AblationCam any(AnyModel(model), {.layer = layer, .relu = false, .upsample = false});
      CHECK(distance(any(x, ClassIndex{2}).values, map) < 1e-12);
    }
    const ScoreCam by_default(model), named(model, {.layer = "second"});
    CHECK(distance(by_default(x).values, named(x).values) == 0.0);
  }
}

TEST_CASE("Ablation-CAM of a frozen file: convolutions by number") {
  Module net = network();
  net.eval();
  const ScriptModel whole(net), frozen(torch::jit::freeze(net));
  CHECK(distance(AblationCam(frozen)(x).values, AblationCam(whole)(x).values) < 1e-12);
  CHECK(distance(AblationCam(frozen, {.layer = "convolution.1"})(x).values, AblationCam(whole)(x).values) <
        1e-12);
}

TEST_CASE("Ablation-CAM where the last convolution is no layer of its own: it is cut at by its number") {
  Module net("Net");
  net.register_module("first", conv(4, 3, 1));
  net.register_parameter("w", normal({4, 4, 3, 3}, at::kDouble, 2), false);
  net.define(
      "def forward(self, x):\n  return torch.conv2d(self.first.forward(x), self.w).relu().mean([2, 3])\n");
  const ScriptModel model(net);
  CHECK(distance(AblationCam(model)(x).values, AblationCam(model, {.layer = "convolution.1"})(x).values) ==
        0.0);
  CHECK(distance(AblationCam(model)(x).values, AblationCam(model, {.layer = "first"})(x).values) > 1e-3);
}
