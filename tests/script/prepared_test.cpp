// What is done to a graph for speed changes nothing, or nothing but rounding.
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/model/script_model.hpp>

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <torch/version.h>

#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::normal;
using support::relative;
using support::same;

namespace {

/// A module with two convolution weights, w (6, 3, 3, 3) and p (6, 6, 1, 1), and this body.
torch::jit::Module module(const std::string& body, at::ScalarType dtype = at::kDouble) {
  torch::jit::Module made("M");
  made.register_parameter("w", normal({6, 3, 3, 3}, dtype, 61), false);
  made.register_parameter("p", normal({6, 6, 1, 1}, dtype, 62), false);
  made.define("def forward(self, x):\n" + body);
  return made;
}

/// How far a float32 gradient may be off float64: a rectifier that flips by rounding moves it visibly.
constexpr double float32_bound = 5e-2;

at::Tensor gradient_of_forward(torch::jit::Module made, const at::Tensor& x) {
  at::Tensor leaf = x.clone().requires_grad_();
  std::get<0>(made.forward({leaf}).toTensor().max(1)).sum().backward();
  return leaf.grad();
}

}  // namespace

TEST_CASE("activations put in place, or taken out of it, change no bit, whoever else reads their input") {
  const std::string conv = "  a = torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n";
  const std::string pool = "  return torch.mean(b, [2, 3])\n";
  const at::Tensor x = normal({2, 3, 8, 8}, at::kDouble, 63);
  for (const std::string activation : {
           "  b = torch.relu(a)\n",
           "  b = torch.relu(a) + a\n",                                  // also read after it
           "  c = a * 2.0\n  b = torch.relu(a) + c\n",                   // and before
           "  b = torch.relu(torch.relu(a) + a)\n",                      // a sum, read once
           "  b = torch.relu(a * a)\n",                                  // a product keeps what it is made of
           "  b = torch.relu(torch.sigmoid(a))\n",                       // a sigmoid keeps its result
           "  b = torch.relu(torch.exp(a * 0.1))\n",                     // as does an exponential
           "  b = torch.relu(a[:, 0:2])\n",                              // a view
           "  b = torch.relu(a.view([2, 6, 64])).view([2, 6, 8, 8])\n",  // another one
           "  c = torch.hardtanh_(a, 0., 6.)\n  b = c + a\n",            // a is what the activation left
           "  b = torch.hardtanh_(a, 0., 6.)\n",
           "  c = torch.hardtanh_(a[:, 0:2], 0., 6.)\n  b = a\n",
           "  b = torch.hardtanh_(a + 1.0, -1., 2.)\n",
           "  if bool(x.sum() > -1e9):\n    b = torch.relu(a)\n  else:\n    b = a\n",
           "  b = a\n  for i in range(3):\n    b = torch.relu(torch.conv2d(b, self.p)) + b\n",
       }) {
    CAPTURE(activation);
    const at::Tensor truth = gradient_of_forward(module(conv + activation + pool), x);
    for (const auto dtype : {at::kDouble, at::kFloat}) {
      CAPTURE(dtype);
      const torch::jit::Module made = module(conv + activation + pool, dtype);
      const at::Tensor input = x.to(dtype);
      CHECK(same(GradientAttributor(ScriptModel(made))(input).values, gradient_of_forward(made, input)));
      CHECK(relative(GradientAttributor(ScriptModel(made, {.prepare = Prepare::fast}))(input).values, truth) <
            (dtype == at::kDouble ? 1e-13 : float32_bound));
    }
  }
}

TEST_CASE("an activation is in place exactly where that saves a tensor") {
  const auto count = [](const std::string& body, const std::string& kind) {
    torch::jit::Module made = module("  a = torch.conv2d(x, self.w)\n" + body);
    auto graph = made.get_method("forward").graph()->copy();
    salience::detail::choose_in_place(*graph);
    graph->lint();
    int found = 0;
    for (const torch::jit::Node* node : salience::detail::nodes_of(*graph))
      found += node->kind().toQualString() == kind ? 1 : 0;
    return found;
  };
  CHECK(count("  return torch.relu(a)\n", "aten::relu_") == 1);
  CHECK(count("  return torch.relu(a) + a\n", "aten::relu_") == 0);
  CHECK(count("  return torch.relu(torch.sigmoid(a))\n", "aten::relu_") == 0);
  CHECK(count("  return torch.hardtanh_(a, 0., 6.)\n", "aten::hardtanh_") == 0);
  CHECK(count("  return torch.hardtanh_(a, 0., 6.) + a\n", "aten::hardtanh_") == 1);
}

TEST_CASE("Prepare::fast folds a BatchNorm that asks how many dimensions it gets, as scripted ones do") {
  torch::jit::Module made("M");
  made.register_parameter("w", normal({6, 3, 3, 3}, at::kDouble, 61), false);
  made.register_parameter("mean", normal({6}, at::kDouble, 63), false);
  made.register_parameter("var", normal({6}, at::kDouble, 64).abs().add(0.5), false);
  made.define(
      "def forward(self, x):\n"
      "  a = torch.conv2d(x, self.w)\n"
      "  if a.dim() != 4:\n"
      "    a = torch.relu(a)\n"
      "  return torch.batch_norm(a, None, None, self.mean, self.var, False, 0.1, 1e-5, "
      "False).relu().mean([2, 3])\n");
  int left = -1;
  const GraphPass count{.name = "count",
                        .run =
                            [&left](auto& graph, const auto&) {
                              left = 0;
                              for (const torch::jit::Node* node : nodes_of(*graph))
                                left +=
                                    node->kind() == c10::Symbol::fromQualString("aten::batch_norm") ? 1 : 0;
                            },
                        .stage = PassStage::after_folding};
  const ScriptModel plain(made, {.prepare = Prepare::none}), fast(made, {.prepare = Prepare::fast});
  const at::Tensor x = normal({2, 3, 9, 8});
  CHECK(relative(fast.rewritten(count)(x), plain(x)) < 1e-13);
  CHECK(left == 0);
}

TEST_CASE("Prepare::fast: 1x1 convolutions by oneDNN give the same, with padding, strides, groups and bias") {
  const at::Tensor x = normal({1, 3, 96, 96}, at::kFloat, 64);
  const int threads = at::get_num_threads();
  for (const int count : {1, threads}) {
    at::set_num_threads(count);
    for (const std::string pointwise : {
             "torch.conv2d(a, self.p)", "torch.conv2d(a, self.p, self.p[:, 0, 0, 0], [1, 1], [1, 1])",
             "torch.conv2d(a, self.p, None, [2, 2])",
             "torch.conv2d(a, self.p, None, [1, 1], [0, 0], [1, 1], 1)",
             "torch.conv2d(a, self.p[:, 0:2], None, [1, 1], [0, 0], [1, 1], 3)",
             "torch.conv_transpose2d(a, self.p)",
             "torch.conv2d(a[:, :, 0:9, 0:9], self.p)",  // a small one stays where it was
         }) {
      CAPTURE(pointwise);
      const std::string body = "  a = torch.relu(torch.conv2d(x, self.w))\n  b = torch.relu(" + pointwise +
                               ")\n  return torch.mean(b, [2, 3])\n";
      const at::Tensor truth = gradient_of_forward(module(body), x.to(at::kDouble));
      const ScriptModel fast(module(body, at::kFloat), {.prepare = Prepare::fast});
      CHECK(relative(GradientAttributor(fast)(x).values, truth) < float32_bound);
      CHECK(relative(fast(x), module(body).forward({x.to(at::kDouble)}).toTensor()) < 1e-5);
    }
  }
  at::set_num_threads(threads);
}

TEST_CASE("Prepare::fast leaves the layout alone where the result depends on it") {
  const at::Tensor x = normal({2, 3, 8, 8}, at::kDouble, 65);
  for (const std::string body : {
           "  a.view([2, -1]).mul_(2.0)\n",
           "  a.reshape([2, -1]).mul_(2.0)\n",  // of an input that is contiguous these three are views
           "  torch.flatten(a, 1).mul_(2.0)\n",
           "  a.contiguous().mul_(2.0)\n",
           "  b = torch.flatten(a, 1)\n  a.mul_(2.0)\n  return b.pow(2)\n",
           "  b = torch.flatten(a, 1)\n  for i in range(2):\n    a.mul_(2.0)\n    b = torch.flatten(a, 1)\n"
           "  a.mul_(3.0)\n  return b.pow(2)\n",
           "  a = torch.as_strided(a, [2, 6, 8, 8], [384, 64, 8, 1])\n",
           "  a = a * a.stride(1)\n",
           "  if a.is_contiguous():\n    a = a * 2.0\n",
       }) {
    CAPTURE(body);
    const torch::jit::Module made = module("  a = torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n" + body +
                                           "  return torch.mean(a.pow(3), [2, 3])\n");
    CHECK(relative(GradientAttributor(ScriptModel(made, {.prepare = Prepare::fast}))(x).values,
                   gradient_of_forward(made, x)) < 1e-13);
  }
}

TEST_CASE("Prepare::fast is channels-last where nothing is written later, dropout or not") {
  const auto channels_last = [](const std::string& body) {
    torch::jit::Module made = module("  a = torch.conv2d(x, self.w)\n" + body);
    auto graph = made.get_method("forward").graph()->copy();
    salience::detail::simplify(graph, made);
    return salience::detail::prepare(graph, made, salience::detail::written_attributes(*graph, made));
  };
  CHECK(channels_last("  return torch.flatten(torch.relu_(a), 1)\n"));
  CHECK(channels_last("  return torch.dropout_(torch.flatten(a, 1), 0.5, False)\n"));
  CHECK(channels_last("  return torch.feature_dropout_(a.view([2, -1]), 0.5, False)\n"));
  CHECK_FALSE(channels_last("  return torch.dropout_(torch.flatten(a, 1), 0.5, True)\n"));
  CHECK_FALSE(channels_last("  return torch.relu_(torch.flatten(a, 1))\n"));
}

TEST_CASE("Prepare::fast: strided depthwise convolutions in bfloat16 are computed in float32, to the same") {
  const at::Tensor x = normal({1, 3, 32, 32}, at::kFloat, 66);
  for (const std::string depthwise : {
           "torch.conv2d(a, self.w[:, 0:1], None, [2, 2], [1, 1], [1, 1], 6)",
           "torch.conv2d(a, self.w[:, 0:1], self.w[:, 0, 0, 0], [2, 1], [0, 0], [1, 1], 6)",
           "torch.conv2d(a, self.w[:, 0:1], None, [1, 1], [1, 1], [1, 1], 6)",  // no stride: as it was
       }) {
    CAPTURE(depthwise);
    const std::string body =
        "  a = torch.conv2d(x, self.w)\n  return torch.mean(torch.tanh(" + depthwise + "), [2, 3])\n";
    const at::Tensor truth = gradient_of_forward(module(body), x.to(at::kDouble));
    const ScriptModel fast(module(body, at::kFloat), {.dtype = at::kBFloat16, .prepare = Prepare::fast});
    CHECK(relative(GradientAttributor(fast)(x).values, truth) < 0.1);  // bfloat16 has 8 bits

    torch::jit::Module made = module(body, at::kBFloat16);
    auto graph = made.get_method("forward").graph()->copy();
    CHECK(salience::detail::prepare(graph, made, {}));
    graph->lint();
    const std::string text = graph->toString();
    const bool strided = depthwise.find("[1, 1], [1, 1], [1, 1]") == std::string::npos;
    CHECK((text.find("aten::to") != std::string::npos) == (strided && TORCH_VERSION_MAJOR >= 2));
  }
}
