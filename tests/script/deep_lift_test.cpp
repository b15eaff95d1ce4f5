// DeepLIFT on graphs: the values sum to the change of the score whatever the graph is made of, and an
// operator without a rule is refused.
#include <salience/method/deep_lift.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/script_model.hpp>
#include <salience/tensor/deep_lift_rule.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"
#include "body_network.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;
using torch::jit::Module;

namespace {

const std::string& head = support::logits_of_y;

Module network(const std::string& body) { return support::body_network(body); }

/// The sum of the values minus f(x) - f(b), over the latter, of the sample that is worst; and that the figure
/// of the attribution says the same, and each sample is what it is alone.
double incompleteness(const Module& module, const at::Tensor& x,
                      const Baseline& baseline = Baseline::zero()) {
  double worst = 0.0;
  for (const auto& [prepare, rule] :
       {std::pair(Prepare::none, DeepLiftRule::rescale), std::pair(Prepare::fast, DeepLiftRule::rescale),
        std::pair(Prepare::none, DeepLiftRule::reveal_cancel),
        std::pair(Prepare::fast, DeepLiftRule::reveal_cancel)}) {
    const ScriptModel model(module, {.prepare = prepare});
    const DeepLift method{model, {.baseline = baseline, .rule = rule}};
    const Attribution a = method(x, ClassIndex{1});
    const at::Tensor change = model(x).select(1, 1).sub(model(baseline(x)).select(1, 1));
    CHECK(same(a.score, model(x).select(1, 1)));
    const at::Tensor error = a.values.flatten(1).sum(1).sub(change);
    CHECK(change.abs().min().item<double>() > 1e-4);
    CHECK(distance(a.completeness_error, error) < 1e-12);
    worst = std::max(worst, error.div(change).abs().max().item<double>());
    for (std::int64_t n = 0; n < x.size(0); ++n) {
      const Attribution one = method(x.narrow(0, n, 1), ClassIndex{1});
      CHECK(distance(one.values, a.values.narrow(0, n, 1)) < 1e-11);
    }
  }
  return worst;
}

const at::Tensor pictures = normal({3, 3, 8, 8}, at::kDouble, 4);

}  // namespace

TEST_CASE("DeepLIFT by hand: a rectifier hands back the quotient of the changes") {
  Module module("Net");
  module.register_parameter("w", tensor({1.0, 2.0}, {2}), false);
  module.define(
      "def forward(self, x):\n  y = torch.relu((x * self.w).sum(1) - 1.0)\n"
      "  return torch.stack([y, -y], 1)\n");
  const ScriptModel model(module);
  // From -1 to 3 and relu from 0 to 3: the multiplier is 3/4.
  const Attribution a = DeepLift{model}(tensor({2.0, 1.0}, {1, 2}), ClassIndex{0});
  CHECK(distance(a.values, tensor({1.5, 1.5}, {1, 2})) < 1e-15);
  CHECK(a.completeness_error.item<double>() == doctest::Approx(0.0));
  // Where nothing changes, the derivative: 1 here, though the baseline is the input.
  const at::Tensor x = tensor({2.0, 1.0}, {1, 2});
  const Attribution none = DeepLift{model, {.baseline = Baseline::tensor(x)}}(x, ClassIndex{0});
  CHECK(distance(none.values, at::zeros_like(x)) == 0.0);
}

TEST_CASE("DeepLIFT sums to the change: activations of every kind, functional, in place and used twice") {
  for (const char* activation :
       {"torch.relu(y)", "torch.relu_(y)", "torch.relu6(y * 4)", "torch.gelu(y)", "torch.silu(y)",
        "torch.silu_(y)", "torch.mish(y)", "torch.hardswish(y)", "torch.hardsigmoid(y)", "torch.softplus(y)",
        "torch.sigmoid(y)", "torch.tanh(y)", "torch.elu(y)", "torch.selu(y)", "torch.celu(y, 0.7)",
        "torch.leaky_relu(y, 0.2)", "torch.prelu(y, self.b)", "torch.hardtanh(y)",
        "torch.clamp(y, -0.3, 0.4)", "torch.threshold(y, 0.1, 0.05)", "y / (1 + y.abs())",
        "torch.log_sigmoid(y)", "torch.hardshrink(y)", "torch.exp(y)", "torch.abs(y)", "y * y", "y ** 3",
        "torch.sqrt(y * y + 1)", "torch.rsqrt(y.square() + 1)", "torch.where(y > 0.1, y, y * 0.3)",
        "y * (y > 0)", "y * (y > 0.2).to(y.dtype)", "y.masked_fill(y < 0, 0.25)",
        "torch.relu(torch.relu(y) - 0.2)", "torch.maximum(y, y.flip(3))", "torch.minimum(y, 0.3 * y.flip(2))",
        "y / (1 + y * y)",
        // A part alone would be out of their range, or far too large.
        "torch.log1p(torch.relu(y * 5))", "torch.log(torch.softplus(y * 3))",
        "y * torch.tanh(torch.log(1 + torch.exp(y)))", "torch.sqrt(torch.sigmoid(y))",
        "torch.sqrt(torch.relu(y) + 1e-5) - torch.sqrt(torch.relu(-y) + 1e-5)",
        "torch.relu(y).clamp(1e-6).pow(2.5).mean([2, 3], True).pow(1 / 2.5) + torch.relu(y)",
        "torch.softmax(torch.log(torch.relu(y) + 1e-3) * 3, 1)", "torch.cos(y)"}) {
    CAPTURE(std::string(activation));
    const Module module = network(
        "  y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n"
        "  y = " +
        std::string(activation) + "\n  y = torch.conv2d(y, self.w, self.b)\n" + head);
    CHECK(incompleteness(module, pictures) < 1e-10);
    CHECK(incompleteness(module, pictures, Baseline::constant(0.4)) < 1e-10);
  }
}

TEST_CASE("DeepLIFT sums to the change: pooling, products, softmax and norms, which Captum gets wrong") {
  const std::vector<std::pair<std::string, std::string>> parts{
      {"overlapping maxima", "torch.max_pool2d(torch.relu(y), [3, 3], [2, 2], [1, 1])"},
      {"maxima behind a rectifier", "torch.max_pool2d(torch.relu(y), [2, 2])"},
      {"maxima in one dimension", "torch.max_pool1d(y.flatten(2), [3], [2], [1]).unsqueeze(2)"},
      {"maxima of dilated windows", "torch.max_pool2d(y, [2, 2], [1, 1], [0, 0], [2, 2], True)"},
      {"adaptive maxima", "torch.adaptive_max_pool2d(y, [3, 3])[0]"},
      {"the largest of a dimension", "y.amax([2, 3], keepdim=True) + torch.max(y, dim=2)[0].unsqueeze(2)"},
      {"means", "torch.avg_pool2d(torch.relu(y), [2, 2]) + y.mean([1, 2, 3], True)"},
      {"squeeze and excitation", "y * torch.sigmoid(y.mean([2, 3], keepdim=True))"},
      {"a product of three", "y * torch.tanh(y) * torch.sigmoid(y)"},
      {"softmax over channels", "torch.softmax(y * 3, 1)"},
      {"log softmax", "torch.log_softmax(y, 1)"},
      {"attention by products",
       "torch.matmul(torch.softmax(torch.matmul(y, y.transpose(2, 3)) * 0.3, -1), y)"},
      {"attention in one operator", "torch.scaled_dot_product_attention(y, y * 0.5, torch.relu(y))"},
      {"LayerNorm", "torch.relu(torch.layer_norm(y, [8, 8]))"},
      {"GroupNorm", "torch.group_norm(y, 1, self.b, self.b)"},
      {"InstanceNorm",
       "torch.relu(torch.instance_norm(y, self.b, self.b, None, None, True, 0.1, 1e-5, False) + 0.1 * x)"},
      {"lengths", "y / torch.norm(y, 2, [1], True)"},
      {"a gate of halves", "torch.glu(torch.cat([y, 2 * y.flip(1)], 1), 1)"},
      {"a residual sum", "torch.relu(y) + x"},
      {"einsum", "torch.einsum('nchw,nchv->ncwv', [y, torch.relu(y)])"},
      {"interpolation", "torch.upsample_nearest2d(torch.relu(y), None, [2.0, 2.0])"},
      {"parts and joins", "torch.cat([torch.relu(y[:, :1]), y[:, 1:].flip(2)], 1)"},
  };
  for (const auto& each : parts) {
    const std::string &name = each.first, &part = each.second;
    CAPTURE(name);
    if (TORCH_VERSION_MAJOR < 2 && name == "attention in one operator") continue;
    const Module module =
        network("  y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n  y = " + part + "\n" + head);
    CHECK(incompleteness(module, pictures) < 1e-10);
    CHECK(incompleteness(module, pictures, Baseline::constant(-0.7)) < 1e-10);
  }
}

TEST_CASE("DeepLIFT sums to the change: what is written in place, through views, in branches and loops") {
  for (const char* body : {"  y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n"
                           "  flat = y.view([y.size(0), 3, -1])\n"
                           "  flat.relu_()\n"
                           "  z = y[:, :2]\n"
                           "  z.mul_(torch.sigmoid(z))\n"
                           "  y[:, 2:] = torch.exp(-y[:, 2:].abs())\n",
                           "  y = torch.zeros_like(x)\n"
                           "  y[:, :, 1:] = torch.relu(x[:, :, :7])\n"
                           "  y += torch.tanh(x)\n"
                           "  y.add_(y * y)\n",
                           "  y = x\n"
                           "  for i in range(3):\n"
                           "    if i == 1:\n"
                           "      y = torch.tanh(y)\n"
                           "    else:\n"
                           "      y = torch.relu(torch.conv2d(y, self.w, self.b, [1, 1], [1, 1])) + x\n",
                           "  parts = []\n"
                           "  for i in range(2):\n"
                           "    parts.append(torch.relu(x - 0.1 * i))\n"
                           "  y = torch.cat(parts, 2)\n"}) {
    CAPTURE(std::string(body));
    CHECK(incompleteness(network(body + head), pictures) < 1e-10);
    CHECK(incompleteness(network(body + head), pictures, Baseline::constant(0.6)) < 1e-10);
  }
}

TEST_CASE("DeepLIFT of softmax stays of the size of its change where the scores differ by hundreds") {
  const Module module = network("  y = torch.softmax(x * 200, 1) * x\n" + head);
  const ScriptModel model(module);
  const Attribution a = DeepLift{model}(pictures, ClassIndex{1});
  CHECK(a.values.abs().sum().item<double>() < 100 * a.score.abs().sum().item<double>());
  CHECK(incompleteness(module, pictures) < 1e-10);
}

TEST_CASE("DeepLIFT refuses, by name, what has no rule, and the model that shows no graph") {
  const auto said = [](const std::string& body) {
    return message<ModelError>([&] { DeepLift{ScriptModel(network(body))}(pictures, ClassIndex{0}); });
  };
  const std::string sorted = said("  y = x.sort(1)[0]\n" + head);
  CHECK(contains(sorted, "DeepLIFT has no rule for aten::sort"));
  CHECK(contains(said("  y = torch.floor(x) + torch.cumprod(x, 1)\n" + head), "aten::cumprod, aten::floor"));
  CHECK(contains(said("  y = x * (x > x.mean())\n" + head), "aten::gt"));
  CHECK(contains(said("  y = x * float(x.sum())\n" + head), "no rule for"));
  CHECK(contains(said("  y = x.detach() + x\n" + head), "aten::detach"));
  CHECK(contains(message<ModelError>([] {
                   DeepLift{AnyModel([](const at::Tensor& x) { return x; })}(pictures, ClassIndex{0});
                 }),
                 "must hold a ScriptModel"));
  const ScriptModel model(network("  y = torch.relu(x)\n" + head));
  CHECK(contains(message<ArgumentError>([&] {
                   DeepLift{model, {.baseline = Baseline::each(normal({4, 3, 8, 8}))}};
                 }),
                 "DeepLift takes one baseline, and there are 4: DeepLiftShap"));
  CHECK(contains(message<ArgumentError>([&] { DeepLiftShap{model, {.samples = -1}}; }), "samples"));
  // What does not depend on the input needs no rule.
  CHECK(incompleteness(
            network("  k = torch.floor(self.w.sort(0)[0])\n  y = torch.relu(torch.conv2d(x, k))\n" + head),
            pictures) < 1e-10);
}

TEST_CASE("DeepLIFT sums to the change: what a reviewer broke it with") {
  for (const char* body :
       {// A condition whose compared value is written over before it is used.
        "  h = torch.conv2d(x, self.w, self.b)\n  c = h > 0\n  v = h.view([-1, 3, 36])\n  u = h * 0.5 + 1\n"
        "  v.clamp_(max=-1.0)\n  y = torch.where(c, u, 2 * u + 1) + h\n",
        // A model that writes into its input.
        "  x.mul_(2.0)\n  x.relu_()\n  y = torch.conv2d(x, self.w, self.b)\n",
        // Tiny changes at a kink.
        "  y = torch.relu(torch.conv2d(x, self.w, self.b) * 1e-12) * 1e12\n",
        // Masked scores.
        "  m = torch.zeros_like(x)\n  m[:, 1] = -float('inf')\n  y = torch.log_softmax(x + m, 1).exp() + x * "
        "0.1\n",
        "  m = torch.zeros_like(x)\n  m[:, 1] = -float('inf')\n  y = torch.softmax(x + m, 1) * x\n",
        // Filled memory.
        "  y = torch.relu(x) + x\n  y[:, 0] = 0.5\n  y[:, 1:, 0].zero_()\n"}) {
    CAPTURE(std::string(body));
    const Module module = network(body + head);
    // The model itself would change what it is given, time by time.
    const bool writes = std::string(body).find("x.mul_") != std::string::npos;
    if (!writes) CHECK(incompleteness(module, pictures, Baseline::constant(0.3)) < 1e-10);
    at::Tensor grey = at::full({3, 8, 8}, 0.3, at::kDouble);
    const ScriptModel model(module);
    const DeepLift method{model, {.baseline = Baseline::tensor(grey)}};
    const at::Tensor once = method(pictures, ClassIndex{1}).values;
    const Attribution again = method(pictures, ClassIndex{1});
    CHECK(same(again.values, once));
    CHECK(again.relative_completeness_error.max().item<double>() < 1e-10);
    CHECK(same(grey, at::full({3, 8, 8}, 0.3, at::kDouble)));
  }
  // Outputs in lists that grow, in branches, and in tuples in tuples.
  const auto of_output = [](const std::string& body, const std::string& entry) {
    const ScriptModel model(network(body), {.output = entry});
    const Attribution a = DeepLift{model}(pictures, ClassIndex{1});
    return a.relative_completeness_error.max().item<double>();
  };
  const std::string two =
      "  y = torch.relu(torch.conv2d(x, self.w, self.b)).mean([2, 3])\n  z = torch.matmul(y, self.v)\n";
  CHECK(of_output(two + "  r = []\n  r.append(y)\n  r.append(z)\n  return r\n", "1") < 1e-10);
  CHECK(of_output(two + "  return ((z, y), y)\n", "0.0") < 1e-10);
  CHECK(of_output(two + "  if x.size(0) < 100:\n    r = (y, z)\n  else:\n    r = (y, z * 2)\n  return r\n",
                  "1") < 1e-10);
  // Whole numbers, and buffers.
  const auto refused = [](const std::string& body) {
    return message<ModelError>([&] { DeepLift{ScriptModel(network(body + head))}(pictures, ClassIndex{0}); });
  };
  CHECK(contains(refused("  y = x + (3 * x).to(torch.device('cpu'), 4).to(7)\n"), "aten::to"));
  CHECK(contains(refused("  k = torch.ones_like(x, dtype=4)\n  y = x + (3 * x).type_as(k).to(7)\n"),
                 "whole numbers"));
  CHECK(contains(
      refused("  self.b.copy_(x.mean([0, 2, 3]))\n  y = torch.relu(x) * self.b.view([1, 3, 1, 1])\n"),
      "buffers"));
}

TEST_CASE("DeepSHAP is the mean of DeepLIFT over the baselines, each once, with its standard error") {
  const ScriptModel model(network("  y = torch.relu(torch.conv2d(x, self.w, self.b))\n" + head));
  const at::Tensor photos = normal({4, 3, 8, 8}, at::kDouble, 9);
  std::vector<at::Tensor> each;
  for (std::int64_t i = 0; i < 4; ++i) {
    each.push_back(
        DeepLift{model, {.baseline = Baseline::tensor(photos[i])}}(pictures, ClassIndex{2}).values);
  }
  const at::Tensor all = at::stack(each);
  for (const std::int64_t chunk : {0, 1, 5}) {
    const Attribution a =
        DeepLiftShap{model, {.baseline = Baseline::each(photos), .chunk = chunk}}(pictures, ClassIndex{2});
    CHECK(distance(a.values, all.mean(0)) < 1e-14);
    CHECK(a.copies.eq(4).all().item<bool>());
    const at::Tensor deviation = all.select(1, 0).var(0).sum().div(4).sqrt().div(all.mean(0)[0].norm());
    CHECK(a.standard_error[0].item<double>() == doctest::Approx(deviation.item<double>()));
    CHECK(a.relative_completeness_error.max().item<double>() < 1e-11);
  }
  const DeepLiftShapOptions drawn{.samples = 7, .baseline = Baseline::each(photos), .seed = 3};
  const Attribution random = DeepLiftShap{model, drawn}(pictures, ClassIndex{2});
  CHECK(same(random.values, DeepLiftShap{model, drawn}(pictures, ClassIndex{2}).values));
  CHECK(distance(random.values, all.mean(0)) > 1e-6);
  CHECK(random.relative_completeness_error.max().item<double>() < 1e-11);
  int told = 0;
  DeepLiftShapOptions stopping{.baseline = Baseline::each(photos), .chunk = 1};
  stopping.progress = [&told](const Progress&) { return ++told < 2; };
  const Attribution stopped = DeepLiftShap{model, stopping}(pictures, ClassIndex{2});
  CHECK(stopped.stopped);
  CHECK(stopped.values.defined());
}

TEST_CASE("DeepLIFT in float32 is that in float64, also where inputs and baseline hardly differ") {
  for (const char* activation :
       {"torch.gelu(y)", "torch.sigmoid(y)", "torch.softmax(y, 1)", "torch.relu(y)"}) {
    const Module module =
        network("  y = torch.conv2d(x, self.w, self.b)\n  y = " + std::string(activation) + "\n" + head);
    const ScriptModel wide(module), narrow(module, {.dtype = at::kFloat});
    for (const double change : {1.0, 1e-2, 1e-4}) {
      const auto at = [&](const ScriptModel& model, const at::Tensor& x) {
        const at::Tensor base = x.sub(normal({3, 3, 8, 8}, at::kDouble, 8).to(x.scalar_type()).mul(change));
        return DeepLift{model, {.baseline = Baseline::tensor(base)}}(x, ClassIndex{1}).values.to(at::kDouble);
      };
      const at::Tensor x = pictures.to(at::kFloat);
      const at::Tensor truth = at(wide, x.to(at::kDouble));
      CAPTURE(change);
      CHECK(at(narrow, x).sub(truth).norm().item<double>() < 2e-3 * truth.norm().item<double>());
    }
  }
}

TEST_CASE("RevealCancel by hand: min(a, b) is half of each, where Rescale sees one of them alone") {
  Module module("Net");  // a - relu(a - b)
  module.register_parameter("w", tensor({1.0, -1.0}, {1, 2}), false);
  module.define(
      "def forward(self, x):\n  y = x[:, :1] - torch.relu(torch.linear(x, self.w))\n"
      "  return torch.cat([y, -y], 1)\n");
  const ScriptModel model(module);
  const at::Tensor x = tensor({5.0, 3.0, 2.0, 6.0}, {2, 2});
  const Attribution a = DeepLift{model, {.rule = DeepLiftRule::reveal_cancel}}(x, ClassIndex{0});
  CHECK(distance(a.values, tensor({1.5, 1.5, 1.0, 1.0}, {2, 2})) < 1e-15);
  CHECK(distance(DeepLift{model}(x, ClassIndex{0}).values, tensor({0.0, 3.0, 2.0, 0.0}, {2, 2})) < 1e-15);
}

namespace {

/// RevealCancel of tanh(x A) B behind relu, written out: the parts of each neuron and their multipliers.
at::Tensor reveal_cancel_by_hand(const at::Tensor& x, const at::Tensor& x0, const at::Tensor& a,
                                 const at::Tensor& b, const at::Tensor& c) {
  const auto up = [](const at::Tensor& t) { return t.clamp_min(0); };
  const auto down = [](const at::Tensor& t) { return t.clamp_max(0); };
  struct Parts {
    at::Tensor from, rises, falls;
  };
  // Of y = in W, where the change of each input is in one part only.
  const auto linear = [&](const at::Tensor& change, const at::Tensor& w) {
    return std::pair(up(change).mm(up(w)).add(down(change).mm(down(w))),
                     up(change).mm(down(w)).add(down(change).mm(up(w))));
  };
  const auto curve = [](const Parts& u, const auto& f) {
    const at::Tensor all = u.from + u.rises + u.falls;
    return Parts{f(u.from), (f(u.from + u.rises) - f(u.from) + f(all) - f(u.from + u.falls)) * 0.5,
                 (f(u.from + u.falls) - f(u.from) + f(all) - f(u.from + u.rises)) * 0.5};
  };
  const auto back = [&](const at::Tensor& change, const at::Tensor& w, const at::Tensor& of_rises,
                        const at::Tensor& of_falls) {  // one multiplier for both parts of an input
    const at::Tensor rising = of_rises.mm(up(w).t()) + of_falls.mm(down(w).t()),
                     falling = of_rises.mm(down(w).t()) + of_falls.mm(up(w).t());
    const at::Tensor still = (rising + falling) * 0.5;  // its parts may cancel, and then count
    return at::where(change.gt(0), rising, at::where(change.lt(0), falling, still));
  };
  const auto relu = [](const at::Tensor& t) { return t.relu(); };
  const auto tanh = [](const at::Tensor& t) { return t.tanh(); };
  const at::Tensor dx = x - x0;
  const auto [rises1, falls1] = linear(dx, a);
  const Parts u1{x0.mm(a), rises1, falls1}, h1 = curve(u1, relu);
  const auto [rises2, falls2] = linear(h1.rises + h1.falls, b);
  const Parts u2{h1.from.mm(b), rises2, falls2}, h2 = curve(u2, tanh);
  const at::Tensor m2 = c.t().expand_as(h2.from);  // of the score, the same for both parts
  // The effect of a part over the part; of none its limit, by the derivative before the other part and behind
  // it.
  const auto quotient = [](const at::Tensor& effect, const at::Tensor& part, const Parts& u,
                           const auto& slope) {
    const at::Tensor limit = (slope(u.from) + slope(u.from + u.rises + u.falls)) * 0.5;
    return at::where(part.eq(0), limit, effect / part);
  };
  const auto of_tanh = [](const at::Tensor& t) { return 1 - t.tanh().square(); };
  const auto of_relu = [](const at::Tensor& t) { return t.gt(0).to(at::kDouble); };
  const at::Tensor m1 = back(h1.rises + h1.falls, b, m2 * quotient(h2.rises, u2.rises, u2, of_tanh),
                             m2 * quotient(h2.falls, u2.falls, u2, of_tanh));
  return dx * back(dx, a, m1 * quotient(h1.rises, u1.rises, u1, of_relu),
                   m1 * quotient(h1.falls, u1.falls, u1, of_relu));
}

}  // namespace

TEST_CASE("RevealCancel through several layers, against the paper's formulas written out") {
  const at::Tensor a = normal({5, 7}, at::kDouble, 11), b = normal({7, 6}, at::kDouble, 12),
                   c = normal({6, 1}, at::kDouble, 13), x = normal({4, 5}, at::kDouble, 14);
  Module module("Net");
  module.register_parameter("a", a, false);
  module.register_parameter("b", b, false);
  module.register_parameter("c", c, false);
  module.define(
      "def forward(self, x):\n  y = torch.tanh(torch.relu(x @ self.a) @ self.b) @ self.c\n"
      "  return torch.cat([y, -y], 1)\n");
  for (const double level : {0.0, 0.7}) {
    const DeepLift method{ScriptModel(module),
                          {.baseline = Baseline::constant(level), .rule = DeepLiftRule::reveal_cancel}};
    const at::Tensor truth = reveal_cancel_by_hand(x, at::full_like(x, level), a, b, c);
    CHECK(distance(method(x, ClassIndex{0}).values, truth) < 1e-12);
  }
}

TEST_CASE("RevealCancel does not depend on how a linear map is written") {
  const std::string before = "  y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n";
  const auto values = [&](const std::string& middle) {
    const DeepLift method{ScriptModel(network(before + middle + "  y = torch.relu(y)\n" + head)),
                          {.rule = DeepLiftRule::reveal_cancel}};
    return method(pictures, ClassIndex{1}).values;
  };
  const at::Tensor whole = values("");
  CHECK(distance(values("  y = y.flatten(2).view([-1, 3, 8, 8]).contiguous()\n"), whole) < 1e-14);
  CHECK(distance(values("  y = (y * -2.0) * -0.5\n"), whole) < 1e-14);
  for (const char* same :
       {"-(0.5 - y) + 0.5",
        "y / 2.0 * 2.0",
        "y / torch.sqrt(self.b * self.b).view([3, 1, 1]) * self.b.abs().view([3, 1, 1])",
        "y / -self.b.view([3, 1, 1]) * -self.b.view([3, 1, 1])",
        "1.0 - (1.0 - y)",
        "torch.rsub(torch.rsub(y, 0.3), 0.3)",
        "torch.add(torch.zeros_like(self.b).view([3, 1, 1]), y, alpha=2) * 0.5",
        "torch.add(y * 0.5, y, alpha=0.5)",
        "torch.stack([y * 0.25, y * 0.75]).sum(0)",
        "torch.cat(torch.split(y, [1, 2], 1), 1)",
        "torch.cat([torch.chunk(y, 2, 2)[0], torch.chunk(y, 2, 2)[1]], 2)",
        "torch.stack(torch.unbind(y, 1), 1)",
        "torch.cat([y, torch.ones_like(y)], 1)[:, :3]",
        "y.unflatten(2, [2, 4]).flatten(2, 3)",
        "y.mT.mT.movedim(1, 2).movedim(2, 1).contiguous()",
        "y.flip([2]).flip([2]).roll(1, 3).roll(-1, 3)",
        "y[:, [2, 0, 1]][:, [1, 2, 0]]",
        "torch.constant_pad_nd(y, [1, 1, 2, 0], 0.7)[:, :, 2:, 1:-1]",
        "y.repeat([1, 2, 1, 1])[:, :3]",
        "y.double()",
        "torch.avg_pool2d(y, [1, 1])",
        "torch.avg_pool2d(torch.upsample_nearest2d(y, [16, 16]), [2, 2])",
        "torch.pixel_unshuffle(torch.pixel_shuffle(torch.cat([y, y, y, y], 1), 2), 2)[:, 0:3]"}) {
    CAPTURE(std::string(same));
    CHECK(distance(values("  y = " + std::string(same) + "\n"), whole) < 1e-13);
  }
  CHECK(distance(values("  y = torch.conv2d(x, self.w * 0.25, None, [1, 1], [1, 1]) +"
                        " torch.conv2d(x, self.w * 0.75, self.b, [1, 1], [1, 1])\n"),
                 whole) < 1e-14);
  const auto plain_norm = [&](Prepare prepare) {
    const std::string norm =
        "  y = torch.relu(torch.batch_norm(y, None, None, torch.tensor([0.1, -0.2, 0.3]).double(), "
        "torch.tensor([0.5, 2., 1.]).double(), False, 0.1, 1e-5, False))\n";
    return DeepLift{ScriptModel(network(before + norm + head), {.prepare = prepare}),
                    {.rule = DeepLiftRule::reveal_cancel}}(pictures, ClassIndex{1})
        .values;
  };
  CHECK(distance(plain_norm(Prepare::none), plain_norm(Prepare::fast)) < 1e-13);
  // BatchNorm keeps both parts apart, and changes them where its weight is negative.
  const std::string statistics =
      "torch.tensor([0.1, -0.2, 0.3]).double(), torch.tensor([0.5, 2., 1.]).double()";
  const at::Tensor normed =
      values("  y = torch.batch_norm(y, self.b, self.b, " + statistics + ", False, 0.1, 1e-5, False)\n");
  const at::Tensor scaled = values(
      "  m, v = " + statistics + "\n  g = self.b * torch.rsqrt(v + 1e-5)\n" +
      "  y = torch.conv2d(x, self.w * g.view([3, 1, 1, 1]), (self.b - m) * g + self.b, [1, 1], [1, 1])\n");
  CHECK(distance(normed, scaled) < 1e-13);
}
