// FullGrad on graphs: input and biases together are the score of a network of rectifiers, whatever its
// operators are called; the map by its formula.
#include <salience/method/full_grad.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"
#include "body_network.hpp"

using namespace salience;
using support::distance;
using support::message;
using support::normal;
using support::same;
using torch::jit::Module;

namespace {

const at::Tensor pictures = normal({2, 3, 8, 8}, at::kDouble, 4);
const std::string& head = support::logits_of_y;

/// The map of terms (N, C, h, w), by the formula.
at::Tensor map_of(const at::Tensor& terms) {
  const at::Tensor all = terms.abs(), low = all.amin({2, 3}, true), high = all.amax({2, 3}, true);
  const at::Tensor scaled = (all - low) / at::where(high > low, high - low, at::ones_like(high));
  return at::upsample_bilinear2d(scaled, {8, 8}, false).sum(1, true);
}

}  // namespace

TEST_CASE("FullGrad by its formula, two convolutions and BatchNorm") {
  const Module module = support::body_network(
      "  m, v = torch.tensor([0.1, -0.2, 0.3]).double(), torch.tensor([0.5, 2., 1.]).double()\n"
      "  y = torch.relu(torch.conv2d(x, self.w, self.b, [2, 2], [1, 1]))\n"
      "  y = torch.leaky_relu(torch.batch_norm(torch.conv2d(y, self.w), self.b, self.b * 2, m, v, False, "
      "0.1, "
      "1e-5, False))\n" +
      head);
  // The same by LibTorch: the gradient at what each of them gives.
  const at::Tensor w = module.attr("w").toTensor(), b = module.attr("b").toTensor(),
                   v = module.attr("v").toTensor();
  const at::Tensor mean = at::tensor({0.1, -0.2, 0.3}, at::kFloat).to(at::kDouble),
                   var = at::tensor({0.5, 2.0, 1.0}, at::kFloat).to(at::kDouble);
  const at::Tensor x = pictures.clone().requires_grad_(true);
  at::Tensor first = at::conv2d(x, w, b, 2, 1);
  first.retain_grad();
  at::Tensor second =
      at::batch_norm(at::conv2d(first.relu(), w), b, b * 2, mean, var, false, 0.1, 1e-5, false);
  second.retain_grad();
  at::matmul(at::leaky_relu(second).mean({2, 3}), v).select(1, 1).sum().backward();
  const at::Tensor bias2 = b * 2 - mean * b / at::sqrt(var + 1e-5);
  const at::Tensor terms1 = first.grad() * b.view({1, 3, 1, 1}),
                   terms2 = second.grad() * bias2.view({1, 3, 1, 1});
  const at::Tensor truth = map_of(x.detach() * x.grad()) + map_of(terms1) + map_of(terms2);
  for (const Prepare prepare : {Prepare::fast, Prepare::none}) {
    const Attribution a = FullGrad{ScriptModel(module, {.prepare = prepare})}(pictures, ClassIndex{1});
    CHECK(a.values.sizes() == at::IntArrayRef({2, 1, 8, 8}));
    CHECK(distance(a.values, truth) < 1e-12);
    CHECK(distance(a.bias_share * a.score, terms1.sum({1, 2, 3}) + terms2.sum({1, 2, 3})) < 1e-13);
    CHECK(a.relative_completeness_error.max().item<double>() < 1e-12);
  }
}

TEST_CASE("FullGrad: input and biases are the score, whatever the network of rectifiers is made of") {
  const std::string conv = "torch.conv2d(y, self.w, self.b, [1, 1], [1, 1])";
  for (const std::string& middle : std::vector<std::string>{
           "torch.relu_(" + conv + ")", "torch.relu(" + conv + " + y)", "torch.relu(y + 0.5)",
           "torch.relu(0.25 - y)", "torch.leaky_relu(self.b.view([3, 1, 1]) * 2 - y)",
           "torch.relu(torch.sub(y, self.b.view([3, 1, 1]), alpha=2))", "torch.relu(torch.rsub(y, 0.3))",
           "torch.max_pool2d(torch.relu(" + conv + "), [3, 3], [2, 2], [1, 1])",
           "torch.leaky_relu(torch.conv_transpose2d(y, self.w, self.b, [2, 2]), 0.2)",
           "torch.relu(torch.linear(y.transpose(1, 3), self.w[0, :, :, 0], self.b)).transpose(1, 3)",
           "torch.relu(torch.addmm(self.b, y.permute([0, 2, 3, 1]).flatten(0, 2), self.w[0, :, :, 0]))"
           ".view([y.size(0), 8, 8, 3]).permute([0, 3, 1, 2])",
           "torch.relu(torch.addmm(self.b, y.permute([0, 2, 3, 1]).flatten(0, 2), self.w[0, :, :, 0], "
           "beta=0.5, alpha=2))"
           ".view([y.size(0), 8, 8, 3]).permute([0, 3, 1, 2])",
           "torch.relu(torch.instance_norm(y, self.b, self.b, torch.tensor([0.1, -0.2, 0.3]).double(), "
           "torch.tensor([0.5, 2., 1.]).double(), False, 0.1, 1e-5, "
           "False))",
           "torch.cat([y, torch.relu(" + conv + ")], 1)[:, 2:5]",
           "torch.upsample_nearest2d(torch.relu(" + conv + "), [12, 12])",
           "torch.relu(torch.conv1d(y.flatten(2), self.w[:, :, :, 0], self.b).unsqueeze(2))"}) {
    CAPTURE(middle);
    const Module module = support::body_network(
        "  y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n  y = " + middle + "\n" + head + "");
    for (const Prepare prepare : {Prepare::fast, Prepare::none}) {
      const ScriptModel model(module, {.prepare = prepare});
      const FullGrad method{model};
      const Attribution a = method(pictures, ClassIndex{1});
      CHECK(distance(a.score, model(pictures).select(1, 1)) < 1e-12);
      CHECK(a.relative_completeness_error.max().item<double>() < 1e-12);
      CHECK(a.bias_share.abs().min().item<double>() > 1e-4);
      for (std::int64_t n = 0; n < 2; ++n) {
        const Attribution one = method(pictures.narrow(0, n, 1), ClassIndex{1});
        CHECK(distance(one.values, a.values.narrow(0, n, 1)) < 1e-12);
        CHECK(distance(one.bias_share, a.bias_share.narrow(0, n, 1)) < 1e-12);
      }
    }
  }
}

TEST_CASE("FullGrad: samples that are not outermost, another kind of network, and inputs without places") {
  // Windows: (N * 4, 3, 4, 4) inside.
  const Module windows = support::body_network(
      "  y = x.unfold(2, 4, 4).unfold(3, 4, 4).permute([0, 2, 3, 1, 4, 5]).reshape([-1, 3, 4, 4])\n"
      "  y = torch.relu(torch.conv2d(y, self.w, self.b, [1, 1], [1, 1]))\n"
      "  y = y.view([-1, 4, 3, 4, 4]).mean([1])\n" +
      head);
  const FullGrad method{ScriptModel(windows)};
  const Attribution a = method(pictures, ClassIndex{2});
  CHECK(a.relative_completeness_error.max().item<double>() < 1e-12);
  CHECK(same(method(pictures.narrow(0, 1, 1), ClassIndex{2}).values, a.values.narrow(0, 1, 1)));

  const Module smooth =
      support::body_network("  y = torch.sigmoid(torch.conv2d(x, self.w, self.b))\n" + head);
  CHECK(FullGrad{ScriptModel(smooth)}(pictures, ClassIndex{1})
            .relative_completeness_error.min()
            .item<double>() > 1e-3);

  Module vector("Net");
  vector.define("def forward(self, x):\n  return torch.relu(x)\n");
  CHECK(message<ArgumentError>([&] {
          FullGrad{ScriptModel(vector)}(normal({2, 3}), ClassIndex{1});
        }) ==
        "the input of FullGrad must be of shape (N, C, L), (N, C, H, W) or (N, C, D, H, W), got (2, 3)");
}
