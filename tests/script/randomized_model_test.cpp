#include <salience/metric/randomized_model.hpp>

#include <salience/method/gradient_attributor.hpp>
#include <salience/metric/randomization.hpp>
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "../support.hpp"
#include "module_state.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;
using support::state;

namespace {

const std::string scenes = std::string(SALIENCE_EXAMPLE_DATA_DIR) + "/scenes.pt";

/// Two layers "first" and "second", and a parameter of the module's own.
torch::jit::Module network() {
  torch::jit::Module first("Layer"), second("Layer"), module("Net");
  int salt = 1;
  for (torch::jit::Module* layer : {&first, &second}) {
    layer->register_parameter("weight", normal({100, 100}, at::kFloat, salt++).mul(0.1).add(0.5), false);
    layer->register_parameter("bias", normal({100}, at::kFloat, salt++), false);
    layer->register_buffer("seen", torch::ones({3}));
    layer->define("def forward(self, x):\n  return x.matmul(self.weight) + self.bias\n");
  }
  module.register_module("first", first);
  module.register_module("second", second);
  module.register_parameter("scale", torch::full({100}, 2.0), false);
  module.define(
      "def forward(self, x):\n  return self.second.forward(self.first.forward(x).relu()) * self.scale\n");
  return module;
}

at::Tensor parameter(const torch::jit::Module& module, const std::string& name) {
  for (const auto& each : module.named_parameters()) {
    if (each.name == name) return each.value;
  }
  return {};
}

/// Which parameters of two modules differ.
std::vector<std::string> changed(const torch::jit::Module& a, const torch::jit::Module& b) {
  std::vector<std::string> names;
  for (const auto& each : a.named_parameters()) {
    if (!same(each.value, parameter(b, each.name))) names.push_back(each.name);
  }
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("cascading: the layers from the top down; independent: one at a time; the model stays as it was") {
  const torch::jit::Module module = network();
  const std::string before = state(module);
  const RandomizedModel cascading{ScriptModel(module)};
  CHECK(cascading.layers() == Names{"second", "first", ""});
  CHECK(changed(module, cascading(0).parameters()) == Names{"second.weight", "second.bias"});
  CHECK(changed(module, cascading(1).parameters()).size() == 4);
  CHECK(same(parameter(cascading(0).parameters(), "second.weight"),
             parameter(cascading(1).parameters(), "second.weight")));
  const RandomizedModel independent(ScriptModel(module), {.order = RandomizationOrder::independent});
  CHECK(changed(module, independent(0).parameters()) == Names{"second.weight", "second.bias"});
  CHECK(changed(module, independent(1).parameters()) == Names{"first.weight", "first.bias"});
  CHECK(changed(module, independent(2).parameters()).empty());  // a single value everywhere
  CHECK(same(parameter(independent(1).parameters(), "first.weight"),
             parameter(cascading(1).parameters(), "first.weight")));
  CHECK(state(module) == before);
}

TEST_CASE("random parameters keep the mean and the deviation, and nothing else; the seed decides") {
  const torch::jit::Module module = network();
  const at::Tensor was = parameter(module, "second.weight");
  const auto drawn = [&](std::uint64_t seed) {
    return parameter(RandomizedModel(ScriptModel(module), {.seed = seed})(0).parameters(), "second.weight");
  };
  const at::Tensor is = drawn(3);
  CHECK(is.mean().item<double>() == doctest::Approx(was.mean().item<double>()).epsilon(0.02));
  CHECK(is.std().item<double>() == doctest::Approx(was.std().item<double>()).epsilon(0.05));
  const at::Tensor product = is.sub(is.mean()).mul(was.sub(was.mean())).mean();
  CHECK(std::abs(product.item<double>()) < 0.01 * 5 / 100);  // five deviations of that mean
  CHECK(same(drawn(3), is));
  CHECK_FALSE(same(drawn(4), is));
}

TEST_CASE(
    "on the shipped network: the gradient depends on what was learnt, the edges of the picture do not") {
  const ScriptModel model = ScriptModel::load(scenes);
  const RandomizedModel random(model);
  const at::Tensor x = normal({1, 3, 96, 96}, at::kFloat);
  const auto levels = std::ssize(random.layers());
  CHECK(levels > 3);
  const RandomizationSimilarity alike =
      RandomizationCheck(GradientAttributor(model),
                         [&](std::int64_t level) { return GradientAttributor(random(level)); })(x, levels);
  CHECK(alike.spearman.sizes() == at::IntArrayRef({1, levels}));
  CHECK(alike.spearman[0][levels - 1].abs().item<double>() < 0.1);
  CHECK(alike.ssim[0][levels - 1].abs().item<double>() < 0.1);
}

TEST_CASE(
    "the modes of the caller's thread have no effect on a level, and stay; two threads may ask at once") {
  const torch::jit::Module module = network();
  const std::string before = state(module);
  const RandomizedModel random{ScriptModel(module)};
  const torch::jit::Module expected = random(1).parameters();
  {
    const c10::InferenceMode inference;
    const torch::jit::Module level = random(1).parameters();
    CHECK(changed(level, expected).empty());
    for (const at::Tensor& each : level.parameters()) CHECK_FALSE(each.is_inference());
    CHECK(c10::InferenceMode::is_enabled());
  }
  {
    const c10::NoGradGuard no_grad;
    CHECK(changed(random(1).parameters(), expected).empty());
    CHECK_FALSE(c10::GradMode::is_enabled());
  }
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 2; ++t)
      threads.emplace_back([&] { right += changed(random(1).parameters(), expected).empty(); });
  }
  CHECK(right == 2);
  CHECK(state(module) == before);
}

TEST_CASE("a model without parameters, and a level that is not there, are refused") {
  torch::jit::Module empty("Empty");
  empty.define("def forward(self, x):\n  return x\n");
  CHECK(contains(message<ModelError>([&] { RandomizedModel{ScriptModel(empty)}; }),
                 "no parameters to randomise"));
  const RandomizedModel random{ScriptModel(network())};
  for (const std::int64_t level : {-1, 3}) {
    CHECK(contains(message<ArgumentError>([&] { random(level); }), "level must be from 0 to 2"));
  }
}
