// Backward rules on TorchScript modules, whose own executor hides rectifiers after a few calls.
#include <salience/method/guided_backprop.hpp>
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>

#include <string>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;

namespace {

const at::Tensor a = normal({4, 6}, at::kDouble, 1), b = normal({6, 6}, at::kDouble, 2),
                 c = normal({6, 3}, at::kDouble, 3);
const at::Tensor input = normal({5, 4}, at::kDouble, 4);

/// o = f(f(x A) B) C as a scripted module, warmed up with gradients until its executor has fused what it can.
torch::jit::Module warm(const std::string& f) {
  torch::jit::Module module("Net");
  module.register_buffer("a", a.clone());
  module.register_buffer("b", b.clone());
  module.register_buffer("c", c.clone());
  module.define("def f(self, x: Tensor) -> Tensor:\n" + f +
                "\ndef forward(self, x: Tensor) -> Tensor:\n"
                "    return self.f(self.f(x.matmul(self.a)).matmul(self.b)).matmul(self.c)\n");
  for (int i = 0; i < 3; ++i) {
    module.forward({input.clone().requires_grad_(true)}).toTensor().sum().backward();
  }
  return module;
}

/// The guided gradient of the same net by its formula.
at::Tensor guided(std::int64_t target) {
  const auto passed = [](const at::Tensor& r, const at::Tensor& x) { return r * (r > 0) * (x > 0); };
  const at::Tensor first = input.matmul(a), second = first.relu().matmul(b);
  const at::Tensor r = passed(c.select(1, target).expand({5, 6}), second).matmul(b.t());
  return passed(r, first).matmul(a.t());
}

}  // namespace

TEST_CASE("trap: after the module was warmed up, its rectifiers are found in every scripted form") {
  for (const char* f : {
           "    return torch.relu(x)",
           "    y = x * 1.0\n    torch.relu_(y)\n    return y",
           "    y = x * 1.0\n    torch.relu_(y.view([-1]))\n    return y",
           "    return torch.clamp(x, min=0.0)",
           "    return torch.hardtanh(x, 0.0, 1000.0)",
           "    return torch.threshold(x, 0.0, 0.0)",
           "    if bool(x.sum() > -1e9):\n        x = torch.relu(x)\n    return x",
           "    for i in range(2):\n        x = torch.relu(x)\n    return x",
       }) {
    CAPTURE(std::string(f));
    const GuidedBackprop method{ScriptModel{warm(f)}};
    for (std::int64_t target = 0; target < 3; ++target) {
      CHECK(distance(method(input, ClassIndex{target}).values, guided(target)) < 1e-12);
    }
  }
}

TEST_CASE(
    "trap: a module run by its own executor is an error that names ScriptModel, never a plain gradient") {
  torch::jit::Module module = warm("    return torch.relu(x)");
  const GuidedBackprop method{[&module](const at::Tensor& x) { return module.forward({x}).toTensor(); }};
  const std::string text = message<ModelError>([&] { method(input); });
  CHECK(contains(text, "DifferentiableGraph"));
  CHECK(contains(text, "ScriptModel"));
}

TEST_CASE("a scripted model without a rectifier says which activations it has") {
  const GuidedBackprop method{ScriptModel{warm("    return torch.gelu(x)")}};
  CHECK(contains(message<ModelError>([&] { method(input); }), "GeluBackward0"));
}
