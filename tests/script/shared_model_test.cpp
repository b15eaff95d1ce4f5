// All methods on one ScriptModel, from many threads: the same bits, nothing changed, no memory kept.
#include <salience/method/explanation.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/method/input_x_gradient.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/model/script_model.hpp>

#include <ATen/Parallel.h>
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../support.hpp"
#include "module_state.hpp"

using namespace salience;
using support::same;
using support::state;

namespace {

using Method = std::function<Attribution(const at::Tensor&)>;

/// Some of each kind: plain, sampled, ruled, tapped, several from one graph.
std::vector<Method> methods_on(const ScriptModel& model) {
  return {
      GradientAttributor(model),
      GuidedBackprop(model),
      GradCam(model),
      GuidedGradCam(model),
      EigenCam(model),
      LayerCam(model, {.layer = {"pool", "conv2"}}),
      Deconvnet(model),
      SmoothGrad(GuidedBackprop(model), {.samples = 3}),
      IntegratedGradients(model, {.steps = 4}),
      [model](const at::Tensor& x) {
        return Explanation(model, x, TargetSelector{}, CamOptions{}).guided_grad_cam();
      },
  };
}

torch::jit::Module network(const char* forward) {
  torch::jit::Module conv1("Conv"), conv2("Conv"), pool("Pool"), module("Net");
  torch::manual_seed(3);
  for (torch::jit::Module* conv : {&conv1, &conv2}) {
    conv->register_parameter("weight", torch::randn({6, conv == &conv1 ? 3 : 6, 3, 3}), false);
    conv->define("def forward(self, x):\n  return torch.conv2d(x, self.weight, None, [1, 1], [1, 1])\n");
  }
  pool.define("def forward(self, x):\n  return torch.max_pool2d(x, [2, 2])\n");
  module.register_module("conv1", conv1);
  module.register_module("pool", pool);
  module.register_module("conv2", conv2);
  module.register_parameter("head", torch::randn({6, 4}), false);
  module.register_buffer("count", torch::zeros({1}));
  module.register_attribute("training", c10::BoolType::get(), true);
  module.define(forward);
  return module;
}

const char* const forward = R"(
def forward(self, x):
  self.count += 1
  x = self.pool.forward(torch.relu_(self.conv1.forward(x)))
  x = self.conv2.forward(x).relu_()
  return torch.mean(x, [2, 3]).matmul(self.head)
)";

const char* const throwing = R"(
def forward(self, x):
  self.count += 1
  x = self.pool.forward(self.conv1.forward(x.mul_(2)))
  assert bool(x.sum() < -1e9), "from inside the model"
  return torch.mean(self.conv2.forward(x), [2, 3]).matmul(self.head)
)";

torch::jit::Module warmed(const char* source) {
  torch::jit::Module module = network(source);
  for (const at::Tensor& parameter : module.parameters()) {
    parameter.set_requires_grad(true);
    parameter.mutable_grad() = torch::ones_like(parameter);
  }
  return module;
}

}  // namespace

TEST_CASE(
    "two and eight threads, methods mixed, a thousand runs: every result is that of one thread, bit for "
    "bit") {
  torch::jit::Module module = warmed(forward);
  for (int i = 0; i < 3; ++i) {
    at::Tensor x = torch::randn({1, 3, 16, 16}).requires_grad_();
    module.forward({x}).toTensor().sum().backward();
  }
  const std::string before = state(module);
  const ScriptModel model(module);
  const std::vector<Method> methods = methods_on(model);
  const at::Tensor x = torch::randn({2, 3, 16, 16});
  const int intra = at::get_num_threads();
  at::set_num_threads(1);
  std::vector<at::Tensor> expected;
  for (const Method& method : methods) expected.push_back(method(x).values);
  for (const std::size_t count : {2U, 8U}) {
    std::atomic<int> right = 0;
    {
      std::vector<std::jthread> threads;
      for (std::size_t t = 0; t < count; ++t) {
        threads.emplace_back([&, t] {
          at::set_num_threads(1);
          for (std::size_t i = 0; i < 1000 / count; ++i) {
            const std::size_t which = (i * (t + 1) + t) % methods.size();
            right += same(methods[which](x).values, expected[which]) ? 1 : 0;
          }
        });
      }
    }
    CHECK(right == 1000);
  }
  at::set_num_threads(intra);
  CHECK(state(module) == before);
}

TEST_CASE("after a throw from inside the model nothing is changed, and the next call is right") {
  const torch::jit::Module module = warmed(throwing);
  const std::string before = state(module);
  const ScriptModel model(module);
  const at::Tensor x = torch::randn({2, 3, 16, 16}), kept = x.clone();
  int thrown = 0;
  for (const Method& method : methods_on(model)) {
    try {
      method(x);
    } catch (const ModelError& error) {
      thrown += support::contains(error.what(), "from inside the model") ? 1 : 0;
    }
  }
  CHECK(thrown == 10);
  CHECK(state(module) == before);
  CHECK(same(x, kept));
  CHECK(at::GradMode::is_enabled());
  // a rule that throws inside of the backward pass
  const ScriptModel good(warmed(forward));
  const at::Tensor expected = GuidedBackprop(good)(x).values;
  const auto rule = [](const at::Tensor&, const at::Tensor&) -> at::Tensor {
    throw std::domain_error("rule");
  };
  CHECK_THROWS_AS(GradientAttributor(good, rule)(x), std::domain_error);
  CHECK(same(GuidedBackprop(good)(x).values, expected));
}

TEST_CASE("a thousand runs of each kind of method leave memory flat") {
  const ScriptModel model(network(forward));
  const std::vector<Method> methods = methods_on(model);
  const at::Tensor x = torch::randn({1, 3, 32, 32});
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) methods[static_cast<std::size_t>(i) % methods.size()](x);
    return support::resident_memory();
  };
  run(300);
  const double before = run(100);
  CHECK(run(1000) - before < 4096);  // KiB; a kept graph of one call alone is 300
}

TEST_CASE(
    "promise 3 on convolutions: chunks 1, 3 and 16, and a batch of five against five singles, to 1e-8") {
  const ScriptModel model(network(forward), {.dtype = at::kDouble});
  const at::Tensor x = support::normal({5, 3, 16, 16});
  const auto check = [&](const auto& method_of) {
    const at::Tensor one = method_of(1)(x).values;
    const double size = one.abs().max().item<double>();
    for (const std::int64_t chunk : {3, 16}) {
      CHECK(support::distance(method_of(chunk)(x).values, one) < 1e-8 * size);
    }
    for (std::int64_t n = 0; n < 5; ++n) {
      CHECK(support::distance(method_of(16)(x.slice(0, n, n + 1)).values, one.slice(0, n, n + 1)) <
            1e-8 * size);
    }
    CHECK(same(method_of(1)(x).values, one));
  };
  check([&](std::int64_t chunk) {
    return SmoothGrad(GradientAttributor(model), {.samples = 7, .chunk = chunk});
  });
  check([&](std::int64_t chunk) { return IntegratedGradients(model, {.steps = 7, .chunk = chunk}); });
  check([&](std::int64_t chunk) { return IntegratedGradients(model, {.tolerance = 0.01, .chunk = chunk}); });
  check([&](std::int64_t chunk) {
    return IntegratedGradients(model, {.steps = 7, .chunk = chunk}, GuidedPath{});
  });
}
