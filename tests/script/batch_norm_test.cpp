// The gradient of BatchNorm for a batch of one, where LibTorch's own is wrong: by every way to run a model, a
// row has alone the gradient that it has in a batch of two.
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "../support.hpp"

using namespace salience;
using support::normal;
using support::relative;
using support::same;
using torch::jit::Module;

namespace {

/// A convolution, a norm, and tokens: the incoming gradient lies channels-last, the norm's input does not.
Module network(const std::string& norm) {
  Module made("Net");
  made.register_parameter("w", normal({8, 3, 3, 3}, at::kDouble, 81), false);
  made.register_parameter("head", normal({36, 8}, at::kDouble, 82), false);
  made.register_buffer("mean", normal({8}, at::kDouble, 83));
  made.register_buffer("var", normal({8}, at::kDouble, 84).abs().add(0.5));
  made.define("def forward(self, x):\n  y = torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n  y = " + norm +
              R"(
  y = torch.relu(y.flatten(2).transpose(1, 2)) * self.head
  return y.sum([1])
)");
  return made;
}

const std::string batch = "torch.batch_norm(y, None, None, self.mean, self.var, False, 0.1, 1e-5, False)";
const std::string instance = "torch.instance_norm(y, None, None, None, None, True, 0.1, 1e-5, False)";

using Gradient = std::function<at::Tensor(const at::Tensor&)>;

/// The largest distance between a row's gradient alone and in a batch of two, as it lies and channels-last.
double between_batches(const Gradient& gradient) {
  const at::Tensor x = normal({2, 3, 6, 6}, at::kDouble, 85);
  const at::Tensor truth = gradient(x);
  double worst = 0.0;
  for (const at::Tensor& rows : {x, x.contiguous(at::MemoryFormat::ChannelsLast)}) {
    for (int row = 0; row < 2; ++row) {
      worst = std::max(worst, relative(gradient(rows.slice(0, row, row + 1)), truth.slice(0, row, row + 1)));
    }
  }
  return worst;
}

const auto all_classes = [](const at::Tensor& output) { return output.mul(output).sum(1); };

Gradient vanilla(const auto& model) {
  return [&model](const at::Tensor& x) { return gradient_at_input(model, x, all_classes).values; };
}

}  // namespace

TEST_CASE("a batch of one has the gradient that it has in a batch of two, however the model runs") {
  for (const std::string& norm : {batch, instance}) {
    CAPTURE(norm);
    Module module = network(norm);
    for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
      const ScriptModel model(module, {.prepare = prepare});
      CHECK(between_batches(vanilla(model)) < 1e-13);
      CHECK(between_batches([&model](const at::Tensor& x) {
              return gradient_at_input(model, x, all_classes, GuidedRule{}).values;
            }) < 1e-13);
    }
    const auto profiled = [&module](const at::Tensor& x) { return module.forward({x}).toTensor(); };
    for (int warm = 0; warm < 4; ++warm) CHECK(between_batches(vanilla(profiled)) < 1e-13);
  }
}

TEST_CASE("plain LibTorch is wrong there, or the repair could go") {
  Module module = network(instance);
  const auto plain = [&module](const at::Tensor& x) {
    const at::Tensor leaf = x.detach().requires_grad_(true);
    all_classes(module.forward({leaf}).toTensor()).sum().backward();
    return leaf.grad();
  };
  CHECK(between_batches(plain) > 0.1);
}

TEST_CASE("under a pass that is recorded and walked twice both gradients are right") {
  const ScriptModel model(network(batch));
  const at::Tensor x = normal({2, 3, 6, 6}, at::kDouble, 86);
  const at::Tensor truth = gradient_at_input(model, x, all_classes).values.slice(0, 0, 1);
  const auto pass = salience::record(model, x.slice(0, 0, 1), all_classes);
  const at::Tensor first = pass.gradient(/*keep=*/true), second = pass.gradient();
  CHECK(relative(first, truth) < 1e-13);
  CHECK(same(first, second));
}

TEST_CASE(
    "an antialiased interpolation of a channels-last picture one pixel wide is that of a contiguous one") {
  Module made("M");
  made.define("def forward(self, x):\n  return torch._upsample_bilinear2d_aa(x, [3, 1], False, None)\n");
  const at::Tensor x = normal({2, 8, 7, 1}, at::kDouble, 87);
  for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
    const ScriptModel model(made, {.prepare = prepare});
    CHECK(relative(model(x.contiguous(at::MemoryFormat::ChannelsLast)), model(x)) < 1e-14);
    // as an (H,W,C) buffer has it
    CHECK(relative(model(x.permute({0, 2, 3, 1}).contiguous().permute({0, 3, 1, 2})), model(x)) < 1e-14);
  }
}
