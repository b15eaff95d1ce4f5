// A model whose graph was rewritten is the model that was written so.
#include <salience/method/grad_cam.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::normal;
using support::same;

namespace {

/// Convolution, BatchNorm, this activation, a branch and a loop with it, and a layer "last" that is called by
/// name.
torch::jit::Module network(const std::string& activation) {
  torch::jit::Module last("Conv");
  last.register_parameter("weight", normal({4, 6, 1, 1}, at::kDouble, 71), false);
  last.define("def forward(self, x):\n  return torch.conv2d(x, self.weight)\n");
  torch::jit::Module made("M");
  made.register_parameter("w", normal({6, 3, 3, 3}, at::kDouble, 72), false);
  made.register_parameter("p", normal({6, 6, 1, 1}, at::kDouble, 73).mul(0.3), false);
  made.register_buffer("mean", normal({6}, at::kDouble, 74));
  made.register_buffer("var", normal({6}, at::kDouble, 75).square().add(0.5));
  made.register_module("last", last);
  made.define("def act(self, x):\n  return " + activation + "\n");
  made.define(
      "def forward(self, x):\n"
      "  a = torch.conv2d(x, self.w)\n"
      "  a = torch.batch_norm(a, None, None, self.mean, self.var, False, 0.1, 1e-5, False)\n"
      "  b = self.act(a)\n"
      "  if bool(x.sum() > -1e9):\n    b = self.act(b - 0.1)\n"
      "  for i in range(2):\n    b = self.act(torch.conv2d(b, self.p)) + b\n"
      "  return torch.mean(self.last.forward(b), [2, 3])\n");
  return made;
}

/// Every relu becomes another operator of one input.
GraphPass instead_of_relu(const std::string& kind, PassStage stage = PassStage::before_folding) {
  const auto run = [kind](std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module&) {
    for (torch::jit::Node* node : nodes_of(*graph)) {
      if (salience::detail::kind_of(node) != "aten::relu") continue;
      const torch::jit::WithInsertPoint before(node);
      node->output()->replaceAllUsesWith(graph->insert(c10::Symbol::fromQualString(kind), {node->input(0)}));
    }
    graph->lint();
  };
  return {"relu as " + kind, run, stage};
}

std::vector<std::string> paths(const std::vector<Layer>& layers) {
  std::vector<std::string> result;
  for (const Layer& layer : layers) result.push_back(layer.path);
  return result;
}

/// The bits of the same program, or float64's rounding where it was folded.
void check_same(const at::Tensor& a, const at::Tensor& b, Prepare prepare) {
  if (prepare == Prepare::none) {
    CHECK(same(a, b));
  } else {
    CHECK(a.sub(b).abs().max().item<double>() < 1e-12);
  }
}

}  // namespace

TEST_CASE("a pass that replaces relu gives the output, gradient and layers of a model written so") {
  const at::Tensor x = normal({2, 3, 8, 8}, at::kDouble, 76);
  const std::vector<std::string> last{"last"};
  for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
    for (const PassStage stage :
         {PassStage::before_taps, PassStage::before_folding, PassStage::after_folding}) {
      CAPTURE(prepare);
      CAPTURE(stage);
      const ScriptModel plain(network("torch.relu(x)"), {.prepare = prepare});
      const at::Tensor before = plain(x), gradient_before = GradientAttributor(plain)(x).values;
      const ScriptModel written(network("torch.tanh(x)"), {.prepare = prepare});
      const GraphModel rewritten = plain.rewritten(instead_of_relu("aten::tanh", stage));

      check_same(rewritten(x), written(x), prepare);
      check_same(GradientAttributor(rewritten)(x).values, GradientAttributor(written)(x).values, prepare);
      check_same(rewritten.tapped(x, last).layers.at(0), written.tapped(x, last).layers.at(0), prepare);
      check_same(GradCam(rewritten, {.layer = "last"})(x).values,
                 GradCam(written, {.layer = "last"})(x).values, prepare);
      CHECK(paths(rewritten.layers()) == std::vector<std::string>{"last"});
      CHECK(paths(rewritten.layers(x)) == std::vector<std::string>{"last"});
      CHECK(rewritten.layers(x).at(0).shape == std::vector<std::int64_t>{2, 4, 6, 6});
      CHECK(rewritten.tapped(x, last).channels.at(0) == ChannelAxis::first);
      CHECK(rewritten.options().prepare == prepare);

      CHECK_FALSE(same(rewritten(x), before));
      CHECK(same(plain(x), before));
      CHECK(same(GradientAttributor(plain)(x).values, gradient_before));
    }
  }
}

TEST_CASE(
    "passes of one stage run in the order in which they were asked for, and after those of the stage "
    "before") {
  const at::Tensor x = normal({1, 3, 8, 8}, at::kDouble, 77);
  const ScriptModel plain(network("torch.relu(x)"));
  std::vector<std::string> order;
  const auto note = [&order](const std::string& name, PassStage stage) {
    return GraphPass{name,
                     [&order, name](std::shared_ptr<torch::jit::Graph>&, const torch::jit::Module&) {
                       order.push_back(name);
                     },
                     stage};
  };
  const GraphModel many = plain.rewritten(note("after", PassStage::after_folding))
                              .rewritten(note("first", PassStage::before_folding))
                              .rewritten(note("second", PassStage::before_folding));
  order.clear();
  (void)many.rewritten(note("marked", PassStage::before_taps));
  CHECK(order == std::vector<std::string>{"marked", "first", "second", "after"});

  // What the first one leaves is what the second one meets.
  const GraphModel twice =
      plain.rewritten(instead_of_relu("aten::tanh")).rewritten(instead_of_relu("aten::sigmoid"));
  CHECK(same(twice(x), ScriptModel(network("torch.tanh(x)"))(x)));
}

TEST_CASE("a rewritten model shares the parameters, and builds a graph once for each set of layers") {
  const ScriptModel plain(network("torch.relu(x)"));
  const void* weight = nullptr;
  std::atomic<int> runs = 0;
  const auto look = [&](std::shared_ptr<torch::jit::Graph>&, const torch::jit::Module& object) {
    const void* here = object.attr("w").toTensor().data_ptr();
    if (weight) CHECK(here == weight);
    weight = here;
    ++runs;
  };
  const GraphModel one = plain.rewritten({"look", look});
  const GraphModel other = plain.rewritten({"look", look});
  CHECK(runs == 2);

  const at::Tensor x = normal({1, 3, 8, 8}, at::kDouble, 78);
  const std::vector<std::string> last{"last"};
  (void)one(x);
  CHECK(runs == 2);
  (void)one.tapped(x, last);
  (void)one.tapped(x, last);
  const GraphModel copy = one;
  (void)copy.tapped(x, last);
  CHECK(runs == 3);
}

TEST_CASE("several threads may rewrite one model, and call what comes out") {
  const at::Tensor x = normal({1, 3, 8, 8}, at::kDouble, 79);
  const ScriptModel plain(network("torch.relu(x)"));
  const ScriptModel written(network("torch.tanh(x)"));
  const GraphModel shared = plain.rewritten(instead_of_relu("aten::tanh"));
  const std::vector<std::string> last{"last"};
  const at::Tensor truth = GradientAttributor(written)(x).values,
                   layer = written.tapped(x, last).layers.at(0);
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) {
        const GraphModel own = plain.rewritten(instead_of_relu("aten::tanh"));
        if (same(GradientAttributor(own)(x).values, truth) &&
            same(GradientAttributor(shared)(x).values, truth) &&
            same(shared.tapped(x, last).layers.at(0), layer)) {
          ++right;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 20);
}

TEST_CASE("what a pass leaves unread is removed, but not what writes") {
  torch::jit::Module made("M");
  made.define(
      "def forward(self, x):\n  a = x * 2.0\n  a.add_(1.0)\n  return torch.mean(torch.relu(a), [2, 3])\n");
  std::string text;
  const auto read = [&text](std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module&) {
    text = graph->toString();
  };
  const at::Tensor x = normal({1, 3, 8, 8}, at::kDouble, 80);
  const GraphModel model =
      ScriptModel(made).rewritten(instead_of_relu("aten::tanh")).rewritten({"read", read});
  CHECK(text.find("aten::relu") == std::string::npos);
  CHECK(text.find("aten::add_") != std::string::npos);
  CHECK(same(model(x), x.mul(2.0).add(1.0).tanh().mean({2, 3})));
}

TEST_CASE("a pass that fails says which one it was; the library's own errors come as they are") {
  const ScriptModel plain(network("torch.relu(x)"));
  const auto failing = [](const auto& fail) {
    return GraphPass{"mine",
                     [fail](std::shared_ptr<torch::jit::Graph>&, const torch::jit::Module&) { fail(); }};
  };
  CHECK_THROWS_WITH_AS((void)plain.rewritten(failing([] { throw std::runtime_error("no way"); })),
                       "the pass 'mine' cannot rewrite the model: no way", ModelError);
  CHECK_THROWS_WITH_AS((void)plain.rewritten(failing([] { throw ModelError("no rule for aten::cross"); })),
                       "no rule for aten::cross", ModelError);
  const auto lose = [](std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module&) {
    graph = nullptr;
  };
  CHECK_THROWS_WITH_AS((void)plain.rewritten({"lost", lose}), "the pass 'lost' left no graph", ModelError);
  for (const PassStage stage :
       {PassStage::before_taps, PassStage::before_folding, PassStage::after_folding}) {
    CHECK_THROWS_WITH_AS((void)plain.rewritten({.name = "idle", .run = {}, .stage = stage}),
                         "the pass 'idle' has no function to run", ArgumentError);
  }
  // An operator that is not there cannot be inserted.
  CHECK_THROWS_AS((void)plain.rewritten(instead_of_relu("aten::no_such_thing")), ModelError);
}

TEST_CASE("a pass finds a layer by its name, and what it puts behind it is what later nodes and taps read") {
  const at::Tensor x = normal({2, 3, 8, 8}, at::kDouble, 81);
  const ScriptModel plain(network("torch.relu(x)"));
  std::vector<std::string> seen;
  const auto damp = [&seen](std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module&) {
    for (const LayerNode& layer : layer_nodes(*graph)) {
      seen.push_back(layer.path + ' ' + layer.type);
      const torch::jit::WithInsertPoint after(layer.output->node()->next());
      torch::jit::Value* half = graph->insert(c10::aten::mul, {layer.output, 0.5});
      layer.output->replaceAllUsesAfterNodeWith(half->node(), half);
    }
  };
  const GraphModel damped = plain.rewritten({.name = "damp", .run = damp, .stage = PassStage::before_taps});
  CHECK(seen == std::vector<std::string>{"last Conv"});
  CHECK(same(damped(x), plain(x).mul(0.5)));
  const std::vector<std::string> last{"last"};
  CHECK(same(damped.tapped(x, last).layers.at(0), plain.tapped(x, last).layers.at(0).mul(0.5)));
}
