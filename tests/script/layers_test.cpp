// Layers of TorchScript modules. The traps are tested after the module was warmed up three times with a
// gradient, which makes LibTorch's own executor fuse operators (see docs/architecture.md).
#include <salience/model/script_model.hpp>

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <salience/method/grad_cam.hpp>
#include <salience/method/layer_attribution.hpp>

#include <atomic>
#include <thread>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using torch::jit::Module;

namespace {

using Names = std::vector<std::string>;
const at::Tensor input = normal({2, 3, 6, 6}, at::kDouble, 9);

Module layer(const std::string& type, const std::string& body) {
  Module made(type);
  made.define("def forward(self, x):\n" + body + "\n");
  return made;
}

/// A 3x3 convolution without a bias.
Module conv(std::int64_t out, std::int64_t in, int salt, std::int64_t size = 3) {
  Module made("Conv2d");
  made.register_parameter("weight", normal({out, in, size, size}, at::kDouble, salt) * 0.3, false);
  made.define("def forward(self, x):\n    return torch.conv2d(x, self.weight, None, [1, 1], [" +
              std::to_string(size / 2) + ", " + std::to_string(size / 2) + "])\n");
  return made;
}

at::Tensor convolved(const at::Tensor& x, const Module& conv) {
  const at::Tensor weight = conv.attr("weight").toTensor();
  return at::conv2d(x, weight, {}, 1, weight.size(2) / 2);
}

Module relu_in_place() { return layer("ReLU", "    return torch.relu_(x)"); }

Module network(const std::string& forward, std::initializer_list<std::pair<const char*, Module>> layers) {
  Module net("Net");
  for (const auto& [name, module] : layers) net.register_module(name, module);
  net.define(forward);
  return net;
}

/// Runs the module three times with a gradient, as LibTorch runs it.
const Module& warm(const Module& module) {
  Module copy = module;
  for (int i = 0; i < 3; ++i) {
    const at::Tensor leaf = input.clone().requires_grad_(true);
    copy.forward({leaf.clone()}).toTensor().sum().backward();
  }
  return module;
}

Tapped tap(const ScriptModel& model, const Names& names) {
  return model.tapped(input.clone().requires_grad_(true).clone(), names);
}

/// conv1, a ReLU in place, conv2, a ReLU in place, the mean.
const Module conv1 = conv(4, 3, 1), conv2 = conv(5, 4, 2);
Module plain() {
  return network(R"(
def forward(self, x):
    x = self.relu.forward(self.conv1.forward(x))
    return self.relu.forward(self.conv2.forward(x)).mean([2, 3])
)",
                 {{"conv1", conv1}, {"conv2", conv2}, {"relu", relu_in_place()}});
}

/// A residual block whose shortcut comes last, as torchvision's; the sum is in place.
Module residual() {
  Module down("Sequential");
  down.register_module("0", conv(5, 3, 3, 1));
  down.define("def forward(self, x):\n    return getattr(self, '0').forward(x)\n");
  return network(R"(
def forward(self, x):
    out = self.conv2.forward(torch.relu(self.conv1.forward(x)))
    out.add_(self.downsample.forward(x))
    return torch.relu_(out).mean([2, 3])
)",
                 {{"conv1", conv1}, {"conv2", conv2}, {"downsample", down}});
}

}  // namespace

static_assert(LayeredModel<ScriptModel>);

TEST_CASE(
    "a layer's output and gradient are right after three warm-up runs, though a ReLU in place follows") {
  const ScriptModel model(warm(plain()));
  const Tapped tapped = tap(model, {"conv2", "conv1", "relu", ""});
  const at::Tensor first = convolved(input, conv1), second = convolved(first.relu(), conv2);
  CHECK(same(tapped.output.detach(), model(input)));
  CHECK(same(tapped.layers[0].detach(), second));
  CHECK(same(tapped.layers[1].detach(), first));
  CHECK(same(tapped.layers[2].detach(), second.relu()));  // its last use
  CHECK(same(tapped.layers[3].detach(), second));
  const at::Tensor gradient = LayerGradient(model, {.layer = "conv2"})(input, ClassIndex{1}).values;
  at::Tensor expected = second.gt(0).to(at::kDouble) / 36;
  expected.slice(1, 0, 1).zero_();
  expected.slice(1, 2).zero_();
  CHECK(distance(gradient, expected) < 1e-15);
}

TEST_CASE("a sum in place after a layer does not overwrite it") {
  const Module module = residual();
  const ScriptModel model(warm(module));
  const at::Tensor second = convolved(convolved(input, conv1).relu(), conv2);
  CHECK(same(tap(model, {"conv2"}).layers[0].detach(), second));
}

TEST_CASE("the last convolution is the end of the longest chain, not the shortcut, which comes last") {
  const ScriptModel model(warm(residual()));
  const at::Tensor second = convolved(convolved(input, conv1).relu(), conv2);
  CHECK(same(tap(model, {""}).layers[0].detach(), second));
  CHECK(tap(model, {"downsample.0"}).layers[0].size(1) == 5);
  CHECK_FALSE(same(tap(model, {"downsample"}).layers[0].detach(), second));
}

TEST_CASE(
    "a branch that is not taken: the last convolution is the last that ran, a layer in it is not reached") {
  const Module module = network(R"(
def forward(self, x):
    y = self.conv1.forward(x)
    if x.sum() > 1000.0:
        y = self.conv2.forward(y)
    return y.mean([2, 3])
)",
                                {{"conv1", conv1}, {"conv2", conv2}});
  const ScriptModel model(warm(module));
  CHECK(same(tap(model, {""}).layers[0].detach(), convolved(input, conv1)));
  CHECK(contains(message<ModelError>([&] { (void)tap(model, {"conv2"}); }),
                 "the layer 'conv2' was not reached for this input"));
  const at::Tensor x = input.add(100.0);
  const Names names{"", "conv2"};
  const Tapped taken = model.tapped(x, names);
  CHECK(same(taken.layers[0], convolved(convolved(x, conv1), conv2)));
  CHECK(same(taken.layers[1], taken.layers[0]));
  CHECK(model.layers(input).size() == 1);
  CHECK(model.layers(x).size() == 2);
  CHECK(model.layers().size() == 2);
}

TEST_CASE("a loop, also of no round: a layer gives its last round") {
  const Module square = conv(3, 3, 4);
  const Module module = network(R"(
def forward(self, x):
    y = torch.mul(x, 1.0)
    for i in range(int(x.size(2)) - 4):
        y = torch.relu_(self.square.forward(y))
    return y.mean([2, 3])
)",
                                {{"square", square}});
  const ScriptModel model(warm(module));
  const at::Tensor last = convolved(convolved(input, square).relu(), square);
  CHECK(same(tap(model, {"square"}).layers[0].detach(), last));
  CHECK(same(tap(model, {""}).layers[0].detach(), last));
  const at::Tensor small = input.slice(2, 0, 4);
  const Names none{""};
  CHECK(
      contains(message<ModelError>([&] { (void)model.tapped(small, none); }), "no convolution was reached"));
}

TEST_CASE("a layer that is used several times gives its last use, and is listed once") {
  const Module square = conv(3, 3, 4);
  const Module module = network(R"(
def forward(self, x):
    return self.square.forward(self.square.forward(x)[:, :, :4]).mean([2, 3])
)",
                                {{"square", square}});
  const ScriptModel model(warm(module));
  const at::Tensor last = convolved(convolved(input, square).slice(2, 0, 4), square);
  CHECK(same(tap(model, {"square"}).layers[0].detach(), last));
  const std::vector<Layer> layers = model.layers(input);
  REQUIRE(layers.size() == 1);
  CHECK(layers[0].shape == last.sizes().vec());
}

TEST_CASE("an overloaded layer, whose method TorchScript calls forward__0, is one too") {
  Module twice("Twice");
  twice.define("def forward__0(self, x):\n    return x * 2\n");
  const Module module = network(R"(
def forward(self, x):
    return self.twice.forward__0(x).mean([2, 3])
)",
                                {{"twice", twice}});
  CHECK(same(tap(ScriptModel(module), {"twice"}).layers[0].detach(), input.mul(2)));
}

TEST_CASE("a layer behind an interface-typed attribute is found by its name") {
  const Module module = torch::jit::load(std::string(SALIENCE_TEST_DATA_DIR) + "/script/interface.pt");
  const ScriptModel model(module, {.dtype = at::kDouble});
  CHECK(same(tap(model, {"step"}).layers[0].detach(), input.mul(2.0).relu()));
  const std::vector<Layer> layers = model.layers();
  REQUIRE(layers.size() == 1);
  CHECK(layers[0].path == "step");
  CHECK(layers[0].type == "Double");
}

TEST_CASE("a layer that gives its input, or no tensor") {
  Module net =
      network(R"(
def forward(self, x):
    y = self.same.forward(x)
    if x.dim() == 4:
        y = self.same.forward(y).add_(1.0)
    a, b = self.both.forward(y)
    return a.mean([2, 3]) * b
)",
              {{"same", layer("Identity", "    return x")}, {"both", layer("Both", "    return x, 2.0")}});
  const ScriptModel model(warm(net));
  const Tapped tapped = tap(model, {"same"});
  CHECK(same(tapped.layers[0].detach(), input));
  CHECK(same(tapped.output.detach(), model(input.clone())));
  CHECK(contains(message<ModelError>([&] { (void)tap(model, {"both"}); }),
                 "the layer 'both' gives Tuple[Tensor, float], not a tensor"));
  CHECK(model.layers(input)[1].shape.empty());
}

TEST_CASE("a model with a tuple as output is tapped too") {
  const Module module =
      network("def forward(self, x):\n    y = self.conv1.forward(x)\n    return y.mean([2, 3]), y\n",
              {{"conv1", conv1}});
  const ScriptModel model(module, {.output = "0"});
  const Tapped tapped = tap(model, {"conv1"});
  CHECK(same(tapped.output.detach(), convolved(input, conv1).mean({2, 3})));
  CHECK(same(tapped.layers[0].detach(), convolved(input, conv1)));
}

TEST_CASE("a frozen file has convolutions by number, and its error says so") {
  Module module = plain();
  module.register_attribute("training", c10::BoolType::get(), false);
  const Module frozen = torch::jit::freeze(module);
  const ScriptModel model(frozen), named(module);
  CHECK(same(tap(model, {""}).layers[0].detach(), tap(named, {"conv2"}).layers[0].detach()));
  CHECK(same(tap(model, {"convolution.0"}).layers[0].detach(), tap(named, {"conv1"}).layers[0].detach()));
  CHECK(same(tap(named, {"convolution.1"}).layers[0].detach(), tap(named, {"conv2"}).layers[0].detach()));
  const std::vector<Layer> layers = model.layers(input);
  REQUIRE(layers.size() == 2);
  CHECK(layers[1].path == "convolution.1");
  CHECK(layers[1].shape == std::vector<std::int64_t>{2, 5, 6, 6});
  const std::string text = message<ArgumentError>([&] { (void)tap(model, {"conv2"}); });
  CHECK(contains(text, "there is no layer 'conv2'; the nearest are 'convolution.0', 'convolution.1'"));
  CHECK(contains(text, "the file was frozen"));
}

TEST_CASE("layers are listed in the order in which they begin, with their types") {
  Module inner("Sequential");
  inner.register_module("0", conv1);
  inner.register_module("1", relu_in_place());
  inner.define(
      "def forward(self, x):\n    return getattr(self, '1').forward(getattr(self, '0').forward(x))\n");
  const Module net =
      network("def forward(self, x):\n    return self.conv2.forward(self.features.forward(x))\n",
              {{"features", inner}, {"conv2", conv2}});
  std::string text;
  for (const Layer& layer : ScriptModel(net).layers(input)) {
    text += layer.path + " " + layer.type + " " + std::to_string(layer.shape.at(1)) + ", ";
  }
  CHECK(text == "features Sequential 4, features.0 Conv2d 4, features.1 ReLU 4, conv2 Conv2d 5, ");
  CHECK(contains(message<ArgumentError>([&] { (void)tap(ScriptModel(net), {"feature.0"}); }),
                 "there is no layer 'feature.0'; the nearest are 'features.0'"));
  const Module none = layer("None", "    return x.mean([2, 3])");
  CHECK(contains(message<ModelError>([&] { (void)tap(ScriptModel(none), {""}); }), "has no convolution"));
  CHECK(contains(message<ArgumentError>([&] { (void)tap(ScriptModel(none), {"a"}); }), "the model has none"));
}

TEST_CASE("squeeze and excitation: its convolutions of one position are not the last") {
  const Module squeeze = conv(5, 5, 6, 1);
  const Module net = network(R"(
def forward(self, x):
    y = self.conv1.forward(x)
    y = self.conv2.forward(y)
    return (y * self.squeeze.forward(torch.adaptive_avg_pool2d(y, [1, 1]))).mean([2, 3])
)",
                             {{"conv1", conv1}, {"conv2", conv2}, {"squeeze", squeeze}});
  const ScriptModel model(warm(net));
  CHECK(same(tap(model, {""}).layers[0].detach(), convolved(convolved(input, conv1), conv2)));
}

TEST_CASE("Prepare::fast folds the graph with the taps in it: the same layers up to rounding") {
  Module norm("BatchNorm2d");
  norm.register_parameter("weight", normal({4}, at::kDouble, 21), false);
  norm.register_buffer("mean", normal({4}, at::kDouble, 22));
  norm.register_buffer("var", normal({4}, at::kDouble, 23).abs() + 0.5);
  norm.define(
      "def forward(self, x):\n"
      "    return torch.batch_norm(x, self.weight, None, self.mean, self.var, False, 0.1, 1e-5, False)\n");
  const Module net = network(R"(
def forward(self, x):
    y = self.relu.forward(self.norm.forward(self.conv1.forward(x)))
    return self.relu.forward(self.conv2.forward(y)).mean([2, 3])
)",
                             {{"conv1", conv1}, {"norm", norm}, {"conv2", conv2}, {"relu", relu_in_place()}});
  const ScriptModel exact(net), fast(net, {.prepare = Prepare::fast});
  for (const std::string name : {"conv1", "norm", "conv2", "relu", ""}) {
    const Tapped a = tap(exact, {name}), b = tap(fast, {name});
    CHECK(distance(a.layers[0], b.layers[0]) < 1e-13);
    CHECK(distance(a.output, b.output) < 1e-13);
    const GradCam cam(exact, {.layer = name}), folded(fast, {.layer = name});
    CHECK(distance(cam(input).values, folded(input).values) < 1e-13);
  }
  CHECK(fast.layers(input).size() == exact.layers(input).size());
}

TEST_CASE("promise 1: the module's parameters, buffers and graph are bit-identical afterwards") {
  const Module module = residual();
  std::vector<at::Tensor> before;
  for (const at::Tensor& parameter : module.parameters()) before.push_back(parameter.clone());
  const std::string graph = module.get_method("forward").graph()->toString();
  const ScriptModel model(module);
  (void)GradCam(model, {.layer = {"conv1", "downsample", ""}})(input);
  const GradCam wrong(model, {.layer = "conv9"});
  CHECK_THROWS_AS(wrong(input), ArgumentError);
  std::size_t i = 0;
  for (const at::Tensor& parameter : module.parameters()) {
    CHECK(same(parameter, before[i++]));
    CHECK_FALSE(parameter.grad().defined());
  }
  CHECK(module.get_method("forward").graph()->toString() == graph);
}

TEST_CASE("promise 2: eight threads that ask for different layers at once get the bits of one") {
  const int threads_before = at::get_num_threads();
  at::set_num_threads(1);
  const Module module = residual();
  const std::vector<std::string> names{"conv1", "conv2", "downsample", ""};
  std::vector<at::Tensor> expected;
  for (const std::string& name : names)
    expected.push_back(GradCam(ScriptModel(module), {.layer = name})(input).values);
  std::atomic<int> right = 0;
  const ScriptModel model(module);  // the graphs are built by whichever thread comes first
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        at::set_num_threads(1);
        for (std::size_t i = 0; i < 25; ++i) {
          const std::size_t which = (t + i) % names.size();
          const GradCam cam(model, {.layer = names[which]});
          right += same(cam(input).values, expected[which]) ? 1 : 0;
        }
      });
    }
  }
  at::set_num_threads(threads_before);
  CHECK(right == 200);
}

TEST_CASE("the same names in one call, twice or by two names, give one layer") {
  const ScriptModel model(residual());
  const Tapped tapped = tap(model, {"conv2", "conv2", "convolution.1", ""});
  for (const at::Tensor& one : tapped.layers) CHECK(same(one.detach(), tapped.layers[0].detach()));
  const GradCam several(model, {.layer = {"conv2", "conv2", ""}}), one(model, {.layer = "conv2"});
  const at::Tensor map = GradCam(model, {.layer = "conv2", .upsample = false})(input).values;
  const at::Tensor largest = map.flatten(1).amax({1}).view({-1, 1, 1, 1});
  CHECK(distance(several(input).values, one(input).values.div(largest)) < 1e-13);
}

TEST_CASE("a tapped graph is well-formed") {
  const Module module = residual();
  const std::vector<Binding> none;
  const std::vector<ExplainedInput> any;
  const auto marked = salience::detail::forward_graph(module, {}, {none, any}).graph;
  const Names names{"", "conv1", "downsample.0"};
  salience::detail::tapped_graph(*marked, module, names)->lint();
  salience::detail::tapped_graph(*marked, module, {})->lint();
  salience::detail::listing_graph(*marked)->lint();
}
