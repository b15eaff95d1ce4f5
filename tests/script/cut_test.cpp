// A model until a layer, and from it on.
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/layer_conductance.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/metric/randomized_model.hpp>
#include <salience/model/script_model.hpp>
#include <salience/target/neuron.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using torch::jit::Module;

namespace {

const at::Tensor input = normal({3, 4, 6, 6}, at::kDouble, 5);

Module conv(std::int64_t channels, int salt) {
  Module made("Conv2d");
  made.register_parameter("weight", normal({channels, channels, 3, 3}, at::kDouble, salt) * 0.3, false);
  made.define("def forward(self, x):\n  return torch.conv2d(x, self.weight, None, [1, 1], [1, 1])\n");
  return made;
}

Module layer(const std::string& type, const std::string& body, const std::string& arguments = "self, x") {
  Module made(type);
  made.define("def forward(" + arguments + "):\n" + body + "\n");
  return made;
}

using Layers = std::vector<std::pair<std::string, Module>>;

Module network(const std::string& forward, const Layers& layers) {
  Module net("Net");
  for (const auto& [name, module] : layers) net.register_module(name, module);
  net.define(forward);
  return net;
}

/// A residual block, one ReLU that is used three times and writes in place, and sizes that are computed.
ScriptModel residual(ModelOptions options = {}) {
  return ScriptModel(network("def forward(self, x):\n"
                             "  y = self.relu.forward(self.a.forward(x))\n"
                             "  z = self.relu.forward(self.b.forward(y))\n"
                             "  z = z + y\n"
                             "  z = self.relu.forward(self.c.forward(z)) * x\n"
                             "  return z.view(z.size(0), -1)[:, :7] + z.sum([1, 2, 3]).unsqueeze(1)\n",
                             {{"a", conv(4, 1)},
                              {"b", conv(4, 2)},
                              {"c", conv(4, 3)},
                              {"relu", layer("ReLU", "  return torch.relu_(x)")}}),
                     std::move(options));
}

std::string refused(const std::function<void()>& call) { return message<Error>(call); }

/// That the two parts at a point are the whole, also for other rows of the batch.
template <class M>
void check_cut(const M& model, const LayerPoints& point, const at::Tensor& x = input) {
  const at::Tensor whole = model(x);
  const auto until = model.until(point);
  const auto rest = model.from(point, x);
  const at::Tensor a = until(x), copy = a.clone();
  CHECK(same(rest(a), whole));
  CHECK(same(a, copy));
  CHECK(distance(rest.for_samples(support::tensor({2, 0, 0, 1, 2}, {5}).to(at::kLong))(
                     a.index_select(0, support::tensor({2, 0, 0, 1, 2}, {5}).to(at::kLong))),
                 whole.index_select(0, support::tensor({2, 0, 0, 1, 2}, {5}).to(at::kLong))) < 1e-12);
}

}  // namespace

TEST_CASE("until a layer and from it on are the whole, bit for bit") {
  const ScriptModel model = residual();
  for (const char* point : {"a", "b", "c", "relu", "relu#0", "relu#1", "relu#2", "a:input", "b:input",
                            "c:input", "relu:input", "relu#0:input", "relu#1:input"}) {
    CAPTURE(point);
    check_cut(model, point);
  }
  check_cut(model, {"a", "b:input"});
  check_cut(model, {"relu#0", "b"});
}

TEST_CASE("what a layer gives is what it gave, whatever is written into it afterwards") {
  const ScriptModel model = residual();
  const Module plain = conv(4, 1);
  const at::Tensor a = at::conv2d(input, plain.attr("weight").toTensor(), {}, 1, 1);
  CHECK(same(model.until("a")(input), a));
  CHECK(same(model.until("relu#0:input")(input), a));
  CHECK(same(model.until("relu#0")(input), a.relu()));
  CHECK(same(model.until("a:input")(input), input));
  CHECK(same(model.until("convolution.0")(input), a));  // as in a file without names
  check_cut(model, "convolution.1");
}

TEST_CASE("the gradient at the input of the rest is that at the layer, with the rest of the network held") {
  const ScriptModel model = residual();
  const at::Tensor y = model.until("relu#0")(input);
  const auto weight = [](int salt) { return conv(4, salt).attr("weight").toTensor(); };
  // The block's input alone: the other way around it stays as it was.
  const auto block = [&](const at::Tensor& v) {
    const at::Tensor z = at::conv2d(v, weight(2), {}, 1, 1).relu() + y.detach();
    const at::Tensor end = at::conv2d(z, weight(3), {}, 1, 1).relu() * input;
    return at::Tensor(end.flatten(1).narrow(1, 0, 7) + end.sum({1, 2, 3}).unsqueeze(1));
  };
  const Attribution expected = gradient_at_input(block, y, ClassIndex{2});
  const Attribution ours = gradient_at_input(model.from("b:input", input), y, ClassIndex{2});
  CHECK(distance(ours.values, expected.values) < 1e-12);
  CHECK(same(ours.logits, model(input)));
  // The layer's output for all who read it.
  const std::vector<std::string> layers{"a"};
  const at::Tensor a = model.until("a")(input);
  const at::Tensor whole = GradientAttributor{model.from("a", input)}(a, ClassIndex{2}).values;
  const auto after = [&](const at::Tensor& v) {
    const at::Tensor r = v.relu();
    const at::Tensor z = at::conv2d(r, weight(2), {}, 1, 1).relu() + r;
    const at::Tensor end = at::conv2d(z, weight(3), {}, 1, 1).relu() * input;
    return at::Tensor(end.flatten(1).narrow(1, 0, 7) + end.sum({1, 2, 3}).unsqueeze(1));
  };
  CHECK(distance(whole, gradient_at_input(after, a, ClassIndex{2}).values) < 1e-12);
}

TEST_CASE("methods at a layer regroup what is held with the samples") {
  const ScriptModel model = residual();
  const at::Tensor y = model.until("b:input")(input);
  const auto run = [&](const auto& make) {
    const at::Tensor whole = make(model.from("b:input", input), 0)(y, ClassIndex{1}).values;
    for (const std::int64_t chunk : {1, 2, 7}) {
      CHECK(distance(make(model.from("b:input", input), chunk)(y, ClassIndex{1}).values, whole) < 1e-12);
    }
    for (std::int64_t n = 0; n < 3; ++n) {
      const at::Tensor one =
          make(model.from("b:input", input.narrow(0, n, 1)), 0)(y.narrow(0, n, 1), ClassIndex{1}).values;
      CHECK(distance(one, whole.narrow(0, n, 1)) < 1e-12);
    }
  };
  run([](const GraphModel& m, std::int64_t chunk) {
    return IntegratedGradients{m, {.steps = 5, .chunk = chunk}};
  });
  run([](const GraphModel& m, std::int64_t chunk) {
    return SmoothGrad{GuidedBackprop{m}, {.samples = 4, .chunk = chunk}};
  });
}

TEST_CASE("conductance of a network with a way around the layer says what it lacks") {
  const ScriptModel model = residual();
  const Attribution a = LayerConductance{model, {.layer = "b", .steps = 200}}(input, ClassIndex{0});
  const at::Tensor lack = a.values.flatten(1).sum(1) - (model(input) - model(input * 0)).select(1, 0);
  CHECK(distance(a.completeness_error, lack) < 1e-12);
  CHECK(lack.abs().min().item<double>() > 1e-3);  // what went around it
  const Attribution all = LayerConductance{model, {.layer = "a", .steps = 400}}(input * 0.01, ClassIndex{0});
  CHECK(all.relative_completeness_error.abs().min().item<double>() > 1e-3);  // x itself goes around, too
  for (const std::int64_t chunk : {1, 7}) {
    const auto part =
        LayerConductance{model, {.layer = "b", .steps = 9, .chunk = chunk}}(input, ClassIndex{0});
    CHECK(distance(part.values,
                   LayerConductance{model, {.layer = "b", .steps = 9}}(input, ClassIndex{0}).values) < 1e-12);
  }
}

TEST_CASE("what is held of one sample is held for all rows of a call") {
  const ScriptModel model = residual();
  const at::Tensor y = model.until("b:input")(input), first = input.narrow(0, 0, 1);
  const at::Tensor all = model.from("b:input", first)(y);
  for (std::int64_t n = 0; n < 3; ++n) {
    const at::Tensor row = y.narrow(0, n, 1);
    CHECK(distance(all.narrow(0, n, 1), model.from("b:input", first)(row)) < 1e-12);
  }
  CHECK(distance(all, model.from("b:input", input)(y)) > 1e-3);
}

TEST_CASE("a neuron is a target of the model until its layer") {
  const ScriptModel model = residual();
  const at::Tensor g = GradientAttributor{model.until("a")}(input, Neuron{1, 2, 3}).values;
  at::Tensor expected = at::zeros_like(input);
  const at::Tensor w = conv(4, 1).attr("weight").toTensor();
  for (std::int64_t n = 0; n < 3; ++n) expected[n].narrow(1, 1, 3).narrow(2, 2, 3).copy_(w[1]);
  CHECK(distance(g, expected) < 1e-15);
  CHECK(contains(message<TargetError>([&] {
                   GradientAttributor{model.until("a")}(input, Neuron{1, 6, 3});
                 }),
                 "there is no neuron at [1, 6, 3] in an output of shape (3, 4, 6, 6)"));
  CHECK(contains(message<TargetError>([&] { GradientAttributor{model.until("a")}(input, Neuron{1}); }),
                 "a position is needed for each dimension"));
}

TEST_CASE("tuples, and what they hold") {
  const Module pair = layer("Pair", "  return x * 2, (x + 1, x.sin())");
  const ScriptModel model(
      network("def forward(self, x):\n"
              "  a, b = self.pair.forward(x)\n"
              "  c, d = b\n"
              "  return (a * c + d).flatten(1)\n",
              {{"pair", pair}}));
  for (const char* point : {"pair[0]", "pair[1][0]", "pair[1][1]", "pair:input"}) check_cut(model, point);
  check_cut(model, {"pair[0]", "pair[1][1]"});
  CHECK(same(model.until("pair[1][1]")(input), input.sin()));
  const at::Tensor x = input;
  CHECK(
      distance(GradientAttributor{model.from("pair[0]", x)}(x * 2, Neuron{3}).values.flatten(1).select(1, 3),
               (x + 1).flatten(1).select(1, 3)) < 1e-15);
  CHECK(contains(refused([&] { model.until("pair"); }), "not a tensor: name a place in it, as 'pair[0]'"));
  CHECK(contains(refused([&] { model.until("pair[2]"); }), "in which there is no 'pair[2]'"));
  CHECK(contains(refused([&] { model.until("pair:input[1]"); }), "takes no tensor in position 1"));
}

TEST_CASE("a layer in a branch or a loop") {
  const Layers layers{{"a", conv(4, 1)}, {"b", conv(4, 2)}};
  const ScriptModel model(
      network("def forward(self, x):\n"
              "  if bool(x.sum() > 0):\n    x = self.a.forward(x)\n"
              "  for i in range(3):\n    x = self.b.forward(x)\n"
              "  return x.flatten(1)\n",
              layers));
  const at::Tensor positive = input.abs();
  check_cut(model, "a", positive);
  const at::Tensor w = conv(4, 2).attr("weight").toTensor();
  const auto b = [&](const at::Tensor& x) { return at::conv2d(x, w, {}, 1, 1); };
  const at::Tensor a = model.until("a")(positive);
  CHECK(same(model.until("b#0")(positive), b(a)));
  CHECK(same(model.until("b#1")(positive), b(b(a))));
  CHECK(same(model.until("b")(positive), b(b(b(a)))));
  const at::Tensor negative = positive.neg();
  CHECK(
      contains(refused([&] { model.until("a")(negative); }), "the layer 'a' was not reached for this input"));
  for (int i = 0; i < 2; ++i) {  // the second time the cut is known
    CHECK(contains(refused([&] { model.from("a", negative); }),
                   "the layer 'a' was not reached for this input"));
  }
  CHECK(contains(refused([&] { model.from("b", positive); }), "is in a loop"));
  CHECK(contains(refused([&] { model.until("b#7")(positive); }), "was not used 8 times"));
}

TEST_CASE("a value that nothing reads but the end of a branch in a branch") {
  const ScriptModel model(
      network("def forward(self, x):\n"
              "  y = self.a.forward(x)\n"
              "  z = x.sin()\n"
              "  if bool(x.sum() > -1e9):\n"
              "    if bool(x.sum() > -2e9):\n      r = y\n"
              "    else:\n      r = z\n"
              "  else:\n    r = z * 2\n"
              "  return r.flatten(1)\n",
              {{"a", conv(4, 1)}}));
  check_cut(model, "a");
}

TEST_CASE("misuse has one sentence") {
  const ScriptModel model = residual();
  const at::Tensor y = model.until("b:input")(input);
  CHECK(contains(refused([&] { model.from("b:input", input)(y.narrow(0, 0, 2)); }),
                 "the input has 2 samples, but"));
  CHECK(contains(refused([&] { model.until("d"); }), "'a', 'b', 'c'"));
  CHECK(contains(refused([&] { model.until("relu#3"); }), "is used 3 times: there is no 'relu#3'"));
  for (const char* text : {"", "#0", "a[", "a[x]", "a#", "a:inputs", "a:input[0][1]", "a#9999999999"}) {
    CAPTURE(text);
    CHECK(contains(refused([&] { model.until(text); }), "is no place in a model"));
  }
  const ScriptModel rows(network(
      "def forward(self, x):\n  return self.a.forward(x.flatten(0, 1)).unflatten(0, [3, 4]).sum([2, 3])\n",
      {{"a", layer("Sin", "  return x.sin()")}}));
  CHECK(contains(refused([&] { rows.from("a", input); }), "its first dimension is not the batch"));
  const ScriptModel idle(network("def forward(self, x):\n  y = self.a.forward(x)\n  return x.flatten(1)\n",
                                 {{"a", conv(4, 1)}}));
  CHECK(contains(refused([&] { idle.from("a", input); }), "does not depend on 'a'"));
}

TEST_CASE("a cut model has the layers behind the cut, and can be cut again") {
  const ScriptModel model = residual();
  const auto names = [](const GraphModel& m) {
    std::string all;
    for (const Layer& one : m.layers()) all += one.path + ' ';
    return all;
  };
  CHECK(names(model.until("b")) == "a relu b ");
  const GraphModel rest = model.from("b", input);
  CHECK(names(rest) == "b relu c ");
  const at::Tensor b = model.until("b")(input);
  CHECK(same(rest.until("c")(b), model.until("c")(input)));
  check_cut(rest, "c", b);
  CHECK(same(rest.until("c:input")(b), model.until("c:input")(input)));
  const std::vector<std::string> layers{"c"};
  CHECK(same(rest.tapped(b, layers).layers[0], model.until("c")(input)));
}

TEST_CASE("a cut model with other parameters holds what these give") {
  const ScriptModel model = residual();
  const GraphModel rest = model.from("b:input", input);
  Module other = model.parameters().deepcopy();
  other.attr("a").toModule().attr("weight").toTensor().mul_(2);
  const at::Tensor y = model.until("b:input")(input);
  const GraphModel changed = rest.with_parameters(other);
  CHECK(same(changed(y), model.with_parameters(other).from("b:input", input)(y)));
  CHECK(distance(changed(y), rest(y)) > 1e-3);
}

TEST_CASE("rows of a sample that are not first, or several, follow the samples") {
  // (T, N, C), and (N * 2, T, C / 2) beside the layer.
  const ScriptModel model(
      network("def forward(self, x):\n"
              "  x = x.flatten(2)\n"
              "  t = x.permute(2, 0, 1).sin()\n"
              "  h = x.reshape(x.size(0) * 2, 2, -1).exp()\n"
              "  y = self.a.forward(x)\n"
              "  y = y * t.permute(1, 2, 0) + h.reshape(x.size(0), 4, -1)\n"
              "  return y.flatten(1)\n",
              {{"a", layer("Sin", "  return x.sin()")}}));
  check_cut(model, "a");
  check_cut(model, "a", input.narrow(1, 0, 4).narrow(2, 0, 3).narrow(3, 0, 1));  // T = N
}
