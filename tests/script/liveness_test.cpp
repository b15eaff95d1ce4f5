// What writes in place, what moves and what goes twice: loops, branches, views, dropouts and layers of every
// kind give what TorchScript's own interpreter gives, prepared or not.
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::normal;
using support::relative;
using support::same;
using torch::jit::Module;

namespace {

/// A module whose forward and methods are these, with a convolution, a BatchNorm and a layer that may only
/// hand on.
Module module(const std::string& methods) {
  Module made("M");
  made.register_parameter("w", normal({3, 3, 3, 3}, at::kDouble, 71), false);
  made.register_buffer("mean", normal({3}, at::kDouble, 72));
  made.register_buffer("var", normal({3}, at::kDouble, 73).abs().add(0.5));
  made.register_attribute("training", c10::BoolType::get(), true);
  Module same("Same");
  same.define("def forward(self, x):\n  return x\n");
  made.register_module("same", same);
  Module double_it("Double");
  double_it.define("def forward(self, x):\n  return x.mul_(2.0)\n");
  made.register_module("double", double_it);
  made.define(R"(
def conv(self, x):
    return torch.conv2d(x, self.w, None, [1, 1], [1, 1])

def norm(self, x):
    return torch.batch_norm(x, None, None, self.mean, self.var, self.training, 0.1, 1e-5, False)

def off(self, x):
    return torch.dropout(x, 0.5, self.training)

def alpha(self, x):
    return torch.feature_alpha_dropout(x, 0.5, self.training)

)" + methods);
  return made;
}

const at::Tensor input = normal({2, 3, 6, 6}, at::kDouble, 74);

/// The truth is written in C++ on LibTorch's eager operators.
using Eager = at::Tensor (*)(const Module&, const at::Tensor&);

at::Tensor conv(const Module& m, const at::Tensor& x) {
  return torch::conv2d(x, m.attr("w").toTensor(), {}, 1, 1);
}
at::Tensor norm(const Module& m, const at::Tensor& x) {
  return torch::batch_norm(x, {}, {}, m.attr("mean").toTensor(), m.attr("var").toTensor(), false, 0.1, 1e-5,
                           false);
}

struct Case {
  std::string what;
  std::string forward;
  Eager eager;
};

const std::vector<Case> cases{
    {"a ReLU in a loop reads what was made outside of it",
     "  h = self.conv(x)\n  out = x\n  for i in range(3):\n    out = out + torch.relu(h) * (i + 1)\n  return "
     "out\n",
     [](const Module& m, const at::Tensor& x) {
       const at::Tensor h = conv(m, x);
       at::Tensor out = x;
       for (int i = 0; i < 3; ++i) out = out + torch::relu(h) * (i + 1);
       return out;
     }},
    {"a BatchNorm in a loop, to whose result something is added in place",
     "  h = self.conv(x)\n  out = x\n  for i in range(3):\n    r = self.norm(h)\n    r += 1.0\n    out = out "
     "+ r * (i + 1)\n"
     "  return out\n",
     [](const Module& m, const at::Tensor& x) {
       const at::Tensor h = conv(m, x);
       at::Tensor out = x;
       for (int i = 0; i < 3; ++i) out = out + norm(m, h).add_(1.0) * (i + 1);
       return out;
     }},
    {"a ReLU in a branch in a loop",
     "  h = self.conv(x)\n  out = x\n  for i in range(3):\n    if i != 1:\n      out = out * torch.relu(h)\n "
     " return out\n",
     [](const Module& m, const at::Tensor& x) {
       const at::Tensor h = conv(m, x);
       at::Tensor out = x;
       for (int i = 0; i < 3; ++i) {
         if (i != 1) out = out * torch::relu(h);
       }
       return out;
     }},
    {"a hardtanh in place in a loop",
     "  h = self.conv(x)\n  out = x\n  for i in range(2):\n    out = out + torch.hardtanh_(h, 0., 1.) * (i + "
     "1)\n  return out\n",
     [](const Module& m, const at::Tensor& x) {
       at::Tensor h = conv(m, x), out = x;
       for (int i = 0; i < 2; ++i) out = out + torch::hardtanh_(h, 0, 1) * (i + 1);
       return out;
     }},
    {"a write through a dropout that drops nothing",
     "  a = x * 2.0\n  v = self.off(a)\n  v.mul_(0.5)\n  return a * x\n",
     [](const Module&, const at::Tensor& x) { return x * x; }},
    {"a write through two dropouts and a view",
     "  a = x * 2.0\n  v = self.alpha(self.off(a)).view([-1])\n  v.mul_(0.5)\n  return a * x\n",
     [](const Module&, const at::Tensor& x) { return x * x; }},
    {"a write to what a dropout was given",
     "  a = x * 2.0\n  v = self.off(a)\n  a.mul_(0.5)\n  return v * x\n",
     [](const Module&, const at::Tensor& x) { return x * x; }},
    {"a write through a dropout in a loop",
     "  a = x * 1.0\n  for i in range(3):\n    v = self.off(a)\n    v.mul_(2.0)\n  return a * x\n",
     [](const Module&, const at::Tensor& x) { return x * x * 8.0; }},
    {"a view of a convolution, written later",
     "  h = self.conv(x)\n  v = h.view([2, -1])\n  h.mul_(2.0)\n  return v * v\n",
     [](const Module& m, const at::Tensor& x) {
       return (conv(m, x) * 2.0).pow(2).view({2, -1});
     }},
    {"a write to what a list holds",
     "  a = self.conv(x)\n  l = [a, x]\n  a.mul_(0.5)\n  return torch.cat(l, 1)\n",
     [](const Module& m, const at::Tensor& x) {
       return torch::cat({conv(m, x) * 0.5, x}, 1);
     }},
    {"a write to what a list was extended by",
     "  y = self.conv(x)\n  l = [x]\n  l.extend([y.view([2, -1])])\n  l[1].mul_(3.0)\n  return y * y\n",
     [](const Module& m, const at::Tensor& x) { return (conv(m, x) * 3.0).pow(2); }},
    {"a write to what a copy of a list holds",
     "  y = self.conv(x)\n  l = [y.view([2, -1])] * 2\n  m = l.copy()\n  m += [x]\n  m[1].mul_(3.0)\n  "
     "return y * y\n",
     [](const Module& m, const at::Tensor& x) { return (conv(m, x) * 3.0).pow(2); }},
    {"a write to a copy in another layout",
     "  y = self.conv(x)\n  z = y.to(memory_format=2)\n  z.mul_(2.0)\n  return y * z\n",
     [](const Module& m, const at::Tensor& x) { return conv(m, x).pow(2) * 2.0; }},
    {"pairs of pixels as complex numbers",
     "  y = self.conv(x)\n  z = torch.view_as_complex(y.view([2, 3, 6, 3, 2]))\n  return "
     "torch.view_as_real(z * z)\n",
     [](const Module& m, const at::Tensor& x) {
       const at::Tensor z = torch::view_as_complex(conv(m, x).view({2, 3, 6, 3, 2}));
       return torch::view_as_real(z * z);
     }},
    {"a write to an entry of a list, behind a branch that is never taken",
     "  l = [x * 2.0, x]\n  l[0].mul_(0.5)\n  if x.dim() == 9:\n    return x\n  return "
     "torch.stack(l).pow(2)\n",
     [](const Module&, const at::Tensor& x) {
       return torch::stack({x, x}).pow(2);
     }},
    {"a layer that hands on its input, which is then written to",
     "  a = x * 2.0\n  y = self.same.forward(a)\n  a.mul_(3.0)\n  return y * x\n",
     [](const Module&, const at::Tensor& x) { return x * x * 6.0; }},
    {"a layer that writes into its input",
     "  a = x * 1.0\n  y = self.double.forward(a)\n  return a * y + x\n",
     [](const Module&, const at::Tensor& x) { return x * x * 4.0 + x; }},
};

}  // namespace

TEST_CASE("what is written, moved and repeated is what eager LibTorch makes of it, prepared or not") {
  for (const Case& one : cases) {
    CAPTURE(one.what);
    const Module made = module("def forward(self, x):\n" + one.forward);
    const at::Tensor leaf = input.clone().requires_grad_(true);
    const at::Tensor truth = one.eager(made, leaf.clone());
    truth.pow(2).sum().backward();
    const auto squares = [](const at::Tensor& output) { return output.pow(2).flatten(1).sum(1); };
    for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
      CAPTURE(static_cast<int>(prepare));
      const ScriptModel model(made, {.prepare = prepare});
      const Attribution a = gradient_at_input(model, input, squares);
      CHECK(relative(a.logits, truth.detach()) < 1e-14);
      CHECK(relative(a.values, leaf.grad()) < 1e-13);
      for (const Layer& layer : model.layers()) {  // a tap changes nothing
        CAPTURE(layer.path);
        const Attribution tapped = LayerGradient(model, {.layer = layer.path})(input, squares);
        CHECK(relative(tapped.logits, truth.detach()) < 1e-14);
      }
    }
  }
}

namespace {
const auto sum = [](const at::Tensor& output) { return output.flatten(1).sum(1); };
}  // namespace

TEST_CASE("a layer that hands on its input gives that very tensor, with the gradient of all who read it") {
  const Module made =
      module("def forward(self, x):\n  a = x * 1.0\n  return self.same.forward(a) * 3.0 + a * 5.0\n");
  const Attribution a = LayerGradient(ScriptModel(made), {.layer = "same"})(input, sum);
  CHECK(same(a.values, at::Tensor(input.new_full(input.sizes(), 8.0))));
}

TEST_CASE("a layer that works in place, whose result nobody takes, has a gradient") {
  const Module made =
      module("def forward(self, x):\n  a = x * 1.0\n  self.double.forward(a)\n  return a * 5.0\n");
  const Attribution a = LayerGradient(ScriptModel(made), {.layer = "double"})(input, sum);
  CHECK(same(a.values, at::Tensor(input.new_full(input.sizes(), 5.0))));
}

TEST_CASE("a layer's activation stays as it was when its memory is written to by another name") {
  const Module made = module(
      "def forward(self, x):\n  a = x * 2.0\n  y = self.same.forward(a)\n  a.mul_(3.0)\n  return y * x\n");
  const ScriptModel model(made);
  CHECK(same(LayerActivation(model, {.layer = "same"})(input, sum).values, input.mul(2.0)));
}

TEST_CASE("a constant that forward writes to is as new in each call") {
  Module module("Traced");
  module.define("def forward(self, x):\n  return x\n");
  // As a trace leaves a tensor that forward only closes over.
  auto graph = module.get_method("forward").graph();
  torch::jit::Value* x = graph->inputs().at(1);
  const torch::jit::WithInsertPoint before(graph->return_node());
  torch::jit::Value* constant = graph->insertConstant(torch::ones({1}, at::kDouble));
  torch::jit::Value* raised = graph->insert(c10::Symbol::fromQualString("aten::add_"), {constant, 1.0});
  graph->return_node()->replaceInput(0, graph->insert(c10::aten::mul, {x, raised}));
  for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
    const ScriptModel model(module, {.prepare = prepare});
    for (int call = 0; call < 3; ++call) CHECK(same(model(input), input.mul(2.0)));
  }
}
