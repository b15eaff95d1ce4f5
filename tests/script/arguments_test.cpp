// Models with several inputs: some bound, one explained, or several explained together.
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/model/script_model.hpp>
#include <salience/target/neuron.hpp>
#include <salience/tensor/parts.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <string>
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

const at::Tensor x = normal({3, 2, 4}, at::kDouble, 1);
const at::Tensor mask = normal({3, 2, 4}, at::kDouble, 2);
const at::Tensor scale = normal({4}, at::kDouble, 3);

Module module(const std::string& arguments, const std::string& body) {
  Module made("Net");
  made.define("def forward(self, " + arguments + "):\n" + body + "\n");
  return made;
}

const Module several = module(
    "x: Tensor, mask: Tensor, scale: Tensor, power: float, kind: str, more: Optional[Tensor], flag: bool = "
    "False",
    "  y = (x * mask).sin() * scale * power\n"
    "  if kind == 'cube':\n    y = y ** 3\n"
    "  if more is not None:\n    y = y + more\n"
    "  if flag:\n    y = -y\n"
    "  return y.flatten(1)");

std::string refused(const std::function<void()>& call) { return message<Error>(call); }

}  // namespace

TEST_CASE("bound arguments: tensors, numbers, texts, flags and None") {
  const ScriptModel model(several, {.bind = {{"mask", mask},
                                             {"2", scale, true},
                                             {"power", 2},
                                             {"kind", std::string("cube")},
                                             {"more", c10::IValue()},
                                             {"flag", true}}});
  const auto expected = [](const at::Tensor& rows, const at::Tensor& its) {
    return at::Tensor(((rows * its).sin() * scale * 2.0).pow(3).neg().flatten(1));
  };
  CHECK(distance(model(x), expected(x, mask)) < 1e-14);
  const auto truth = [&](std::int64_t n) {
    return IntegratedGradients{
        [&, n](const at::Tensor& rows) { return expected(rows, mask.narrow(0, n, 1)); }, {.steps = 6}}(
               x.narrow(0, n, 1), Neuron{5})
        .values;
  };
  for (const std::int64_t chunk : {0, 1, 2, 5}) {  // the rows of a chunk are of other samples
    const at::Tensor values = IntegratedGradients{model, {.steps = 6, .chunk = chunk}}(x, Neuron{5}).values;
    for (std::int64_t n = 0; n < 3; ++n) CHECK(distance(values.narrow(0, n, 1), truth(n)) < 1e-13);
  }
}

TEST_CASE("what is bound must be there, be of its type, and have the batch's rows") {
  const Module two = module("x, mask", "  return (x * mask).flatten(1)");
  CHECK(contains(refused([&] { ScriptModel{two}; }),
                 "takes 2 inputs (x, mask), an attribution needs exactly one tensor: bind"));
  CHECK(contains(refused([&] { ScriptModel(two, {.bind = {{"masks", mask}}}); }), "'mask'"));
  CHECK(contains(refused([&] {
                   ScriptModel(two, {.bind = {{"mask", 3}}});
                 }),
                 "'mask' is a Tensor, but a int is bound to it"));
  CHECK(contains(refused([&] { ScriptModel(two, {.bind = {{"mask", mask}, {"1", mask}}}); }), "bound twice"));
  CHECK(contains(refused([&] {
                   ScriptModel(two, {.bind = {{"mask", mask}, {"x", x}}});
                 }),
                 "no input that is left"));
  CHECK(contains(refused([&] { ScriptModel(two, {.bind = {{"mask", at::Tensor()}}}); }), "undefined"));
  const ScriptModel model(two, {.bind = {{"mask", mask}}});
  CHECK(contains(refused([&] { model(x.narrow(0, 0, 2)); }),
                 "the input has 2 samples, but mask, which is held fixed, has 3"));
  const ScriptModel alike(two, {.bind = {{"mask", mask.narrow(0, 0, 1), true}}});
  CHECK(same(alike(x), (x * mask.narrow(0, 0, 1)).flatten(1)));
  const ScriptModel second(two, {.bind = {{"x", x}}});
  CHECK(same(second(mask), (x * mask).flatten(1)));
}

TEST_CASE("several inputs are explained together as the parts of a row") {
  const Module two = module("x, w, power: float", "  return (x.sin().sum([1, 2]).unsqueeze(1) * w) ** power");
  const at::Tensor w = normal({3, 5}, at::kDouble, 7).abs();
  const at::Tensor positive = x.abs();
  const ScriptModel model(two, {.bind = {{"power", 2.0}}, .explain = {{"x", {2, 4}}, {"w", {5}}}});
  const Parts parts = model.parts().value();
  const at::Tensor packed = parts.pack({positive, w});
  CHECK(packed.sizes() == at::IntArrayRef({3, 13}));
  CHECK(same(parts.split(packed)[0], positive));
  CHECK(same(parts.split(packed)[1], w));
  CHECK(same(model(packed), (positive.sin().sum({1, 2}).unsqueeze(1) * w).pow(2.0)));
  const Attribution a = IntegratedGradients{model, {.steps = 60}}(packed, Neuron{1});
  CHECK(a.completeness_error.abs().max().item<double>() < 1e-9);
  const auto maps = parts.split(a.values);
  CHECK(maps[0].sizes() == positive.sizes());
  CHECK(maps[1].select(1, 0).abs().max().item<double>() == 0.0);
  CHECK(maps[1].select(1, 1).abs().min().item<double>() > 0.0);
  CHECK(contains(refused([&] {
                   ScriptModel(two, {.bind = {{"power", 2.0}}, .explain = {{"x"}, {"w", {5}}}});
                 }),
                 "the sizes of the explained input 'x' are not known"));
  CHECK(contains(refused([&] { parts.pack({w, positive}); }), "part 0 must be of shape (N, 2, 4)"));
  CHECK(contains(refused([&] { parts.split(w); }), "of shape (N, 13), not (3, 5)"));
}

TEST_CASE("the noise of a part is a fraction of that part's range") {
  const Parts parts({{2, 4}, {5}});
  const at::Tensor packed = parts.pack({x, normal({3, 5}, at::kDouble, 9) * 1000});
  // The mean square of the gradient of sum (v - x)^2 / 2 is that of the noise.
  const auto model = [&](const at::Tensor& v) {
    return at::Tensor((v - packed.narrow(0, 0, 1)).square().sum(1, true) / 2);
  };
  const at::Tensor squares =
      SmoothGrad{GradientAttributor{model},
                 {.samples = 400, .noise_level = 0.1, .type = SmoothGradType::smoothgrad_sq, .parts = parts}}(
          packed.narrow(0, 0, 1), Neuron{0})
          .values;
  const auto noise = parts.split(squares), values = parts.split(packed.narrow(0, 0, 1));
  for (std::size_t i = 0; i < 2; ++i) {
    const double range = (values[i].max() - values[i].min()).item<double>();
    CHECK(noise[i].mean().sqrt().item<double>() == doctest::Approx(0.1 * range).epsilon(0.1));
  }
}

TEST_CASE("layers of several places are parts, too") {
  Module made("Net");
  for (const char* name : {"a", "b"}) {
    Module one(std::string("Sin"));
    one.define("def forward(self, x):\n  return x.sin()\n");
    made.register_module(name, one);
  }
  made.define(
      "def forward(self, x):\n  return self.a.forward(x).flatten(1) * self.b.forward(x * 2).sum([1, "
      "2]).unsqueeze(1)\n");
  const ScriptModel model(made);
  const GraphModel rest = model.from({"a", "b"}, x);
  const Parts& parts = rest.parts().value();
  CHECK(same(rest(parts.pack({x.sin(), (x * 2).sin()})), model(x)));
  CHECK(same(model.until({"a", "b"})(x), parts.pack({x.sin(), (x * 2).sin()})));
}
