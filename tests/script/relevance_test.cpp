// Layer-wise relevance propagation on graphs: each rule by its formula, and relevance that is conserved up to
// what biases, epsilon and constants take, whatever the graph is made of.
#include <salience/method/deep_lift.hpp>
#include <salience/method/full_grad.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/lrp.hpp>
#include <salience/method/registry.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/script_model.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/deep_lift_rule.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <string_view>
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

const at::Tensor pictures = normal({2, 3, 8, 8}, at::kDouble, 4);
const std::string& head = support::logits_of_y;

Module network(const std::string& body) { return support::body_network(body, 0.3); }

/// One linear layer of 3 inputs and 2 outputs, alone.
struct Linear {
  at::Tensor w = tensor({1.0, -2.0, 0.5, -1.0, 3.0, 1.5}, {2, 3});
  at::Tensor b = tensor({0.25, -0.5}, {2});
  at::Tensor x = tensor({1.0, -1.0, 2.0, 0.5, 2.0, -1.5}, {2, 3});

  ScriptModel model() const {
    Module made("Net");
    made.register_parameter("w", w, false);
    made.register_parameter("b", b, false);
    made.define("def forward(self, x):\n  return torch.linear(x, self.w, self.b)\n");
    return ScriptModel(made);
  }

  /// The relevance of input i of a sample, for class 1, whose shares are `share(x_i, w_i)` of z.
  at::Tensor by_hand(const std::function<double(double x, double w)>& share,
                     const std::function<double(double b)>& bias, double epsilon = 1e-6) const {
    at::Tensor result = at::zeros_like(x);
    const at::Tensor scores = at::linear(x, w, b).select(1, 1);
    for (std::int64_t n = 0; n < 2; ++n) {
      double z = bias(b[1].item<double>());
      for (std::int64_t i = 0; i < 3; ++i) z += share(x[n][i].item<double>(), w[1][i].item<double>());
      const double held = z + (z < 0 ? -epsilon : epsilon);
      for (std::int64_t i = 0; i < 3; ++i) {
        result[n][i] =
            share(x[n][i].item<double>(), w[1][i].item<double>()) / held * scores[n].item<double>();
      }
    }
    return result;
  }

  at::Tensor by(LrpRule rule) const { return Lrp{model(), {{}, std::move(rule)}}(x, ClassIndex{1}).values; }
};

double up(double value) { return std::max(value, 0.0); }
double down(double value) { return std::min(value, 0.0); }
double plain(double x, double w) { return x * w; }

/// Checks that what comes to the input and what was taken are the score, in all preparations, a sample alone
/// as in the batch; gives the attribution.
Attribution conserved(const Module& module, const Composite& composite, const at::Tensor& x = pictures) {
  Attribution a;
  for (const Prepare prepare : {Prepare::fast, Prepare::none}) {
    const ScriptModel model(module, {.prepare = prepare});
    const Lrp method{model, composite};
    const Attribution before = a;
    a = method(x, ClassIndex{1});
    CHECK(distance(a.score, model(x).select(1, 1)) < 1e-12);  // BatchNorm is merged in each
    const at::Tensor whole =
        a.values.flatten(1).sum(1).div(a.score).add(a.bias_share).add(a.epsilon_share).add(a.constant_share);
    CHECK(distance(whole, at::ones_like(whole)) < 1e-10);
    for (std::int64_t n = 0; n < x.size(0); ++n)
      CHECK(distance(method(x.narrow(0, n, 1), ClassIndex{1}).values, a.values.narrow(0, n, 1)) < 1e-12);
    if (before.values.defined()) CHECK(distance(before.values, a.values) < 1e-9);
  }
  return a;
}

}  // namespace

TEST_CASE("LRP: each rule by its formula, on one linear layer") {
  const Linear one;
  const auto whole = [](double b) { return b; };
  CHECK(distance(one.by(lrp::Epsilon{}), one.by_hand(plain, whole)) < 1e-14);
  CHECK(distance(one.by(lrp::Epsilon{0.5}), one.by_hand(plain, whole, 0.5)) < 1e-14);
  const auto positive = [](double x, double w) { return up(x) * up(w) + down(x) * down(w); };
  const auto negative = [](double x, double w) { return up(x) * down(w) + down(x) * up(w); };
  CHECK(distance(one.by(lrp::ZPlus{}), one.by_hand(positive, up)) < 1e-14);
  const at::Tensor for_it = one.by_hand(positive, up), against = one.by_hand(negative, down);
  CHECK(distance(one.by(lrp::AlphaBeta{}), for_it * 2 - against) < 1e-14);
  CHECK(distance(one.by(lrp::AlphaBeta{1.0, 0.0}), for_it) < 1e-14);
  CHECK(distance(one.by(lrp::WSquare{}), one.by_hand([](double, double w) { return w * w; },
                                                     [](double b) { return b * b; })) < 1e-14);
  CHECK(distance(one.by(lrp::Flat{}),
                 one.by_hand([](double, double) { return 1.0; }, [](double) { return 0.0; })) < 1e-14);
  CHECK(distance(one.by(lrp::ZBox{tensor({-2.0}, {1}), tensor({3.0}, {1})}),
                 one.by_hand([](double x, double w) { return x * w + 2 * up(w) - 3 * down(w); },
                             [](double) { return 0.0; })) < 1e-14);
  CHECK(distance(one.by(lrp::Excitation{}), one.by_hand([](double x, double w) { return up(x) * up(w); },
                                                        [](double) { return 0.0; }, 0.0)) < 1e-14);
  // Gamma leans to the sign of the output: positive in sample 1, negative in sample 0.
  for (const double gamma : {0.25, 1.0}) {
    const auto leaning = [&](bool above) {
      return one.by_hand(
          [&](double x, double w) {
            return up(x) * (w + gamma * (above ? up(w) : down(w))) +
                   down(x) * (w + gamma * (above ? down(w) : up(w)));
          },
          [&](double b) { return b + gamma * (above ? up(b) : down(b)); });
    };
    const at::Tensor above = at::linear(one.x, one.w, one.b).select(1, 1).gt(0).unsqueeze(1);
    CHECK(above.any().item<bool>());
    CHECK_FALSE(above.all().item<bool>());
    CHECK(distance(one.by(lrp::Gamma{gamma}), at::where(above, leaning(true), leaning(false))) < 1e-14);
  }
  // A black box around the input's own numbers, when none is given.
  CHECK(distance(one.by(lrp::ZBox{}).select(0, 0),
                 one.by(lrp::ZBox{tensor({-1.0}, {1}), tensor({2.0}, {1})}).select(0, 0)) < 1e-14);
}

TEST_CASE("LRP conserves relevance on any graph: sums, joins, gates, norms, pooling, upsampling") {
  const std::vector<std::pair<std::string, std::string>> parts{
      {"a functional residual sum", "torch.relu(y) + x"},
      {"a functional residual sum in place", "y.add_(x)"},
      {"a rectifier used twice", "torch.relu(torch.relu(y) - 0.2)"},
      {"flatten and back", "torch.elu(y.flatten(1)).view([-1, 3, 8, 8])"},
      {"a transposed convolution", "torch.conv_transpose2d(torch.relu(y), self.w, self.b, [2, 2])"},
      {"upsampling", "torch.upsample_nearest2d(torch.relu(y), None, [2.0, 2.0])"},
      {"concatenation", "torch.cat([torch.relu(y), x[:, :1], torch.ones_like(x[:, :1])], 1)[:, 1:4]"},
      {"squeeze and excitation", "y * torch.sigmoid(y.mean([2, 3], keepdim=True))"},
      {"a hard swish in pieces", "y * torch.clamp(y + 3, 0, 6) / 6"},
      {"BatchNorm before a rectifier",
       "torch.conv2d(torch.relu(torch.batch_norm(y, self.b, self.b, self.b, "
       "self.b.abs() + 0.5, False, 0.1, 1e-5, False)), self.w, self.b)"},
      {"LayerNorm", "torch.layer_norm(y, [8, 8])+ x"},
      {"GroupNorm", "torch.group_norm(torch.relu(y), 1, self.b, self.b)"},
      {"overlapping maxima", "torch.max_pool2d(torch.relu(y), [3, 3], [2, 2], [1, 1])"},
      {"means", "torch.avg_pool2d(torch.relu(y), [2, 2])"},
      {"attention", "torch.matmul(torch.softmax(torch.matmul(y, y.transpose(2, 3)) * 0.3, -1), y)"},
      {"a mask", "y * (y > 0) + torch.where(y > 0.3, y, x)"},
      {"a view written in place", "torch.add(y.view([-1, 3, 64]).relu_().view([-1, 3, 8, 8]), y)"},
  };
  for (const auto& each : parts) {
    const std::string &name = each.first, &part = each.second;
    const Module module = network("  y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n  y = " + part +
                                  "\n  y = torch.conv2d(y, self.w, self.b)\n" + head);
    for (const Composite& composite :
         {Composite::epsilon_plus(), Composite::epsilon_plus_flat(), Composite::epsilon_alpha2_beta1(),
          Composite::epsilon_gamma_box(), Composite::attn_lrp(), Composite::cp_lrp(),
          Composite::excitation_backprop()}) {
      CAPTURE(name);
      const Attribution a = conserved(module, composite);
      // What has no constants, and no softmax, has nothing left over.
      constexpr std::array<std::string_view, 6> more{"concatenation", "a rectifier used twice",
                                                     "LayerNorm",     "a hard swish in pieces",
                                                     "attention",     "GroupNorm"};
      if (std::find(more.begin(), more.end(), name) == more.end())
        CHECK(a.constant_share.abs().max().item<double>() < 1e-9);
    }
  }
}

TEST_CASE("LRP: without biases all of the score comes to the input, but for epsilon") {
  Module made("Net");
  made.register_parameter("w", normal({3, 3, 3, 3}, at::kDouble, 1) * 0.5, false);
  made.register_parameter("v", normal({3, 4}, at::kDouble, 2), false);
  made.define(
      "def forward(self, x):\n  y = torch.relu(torch.conv2d(x, self.w, None, [1, 1], [1, 1]))\n"
      "  y = torch.relu(torch.conv2d(y, self.w)) + y[:, :, 1:7, 1:7]\n" +
      head);
  for (const Composite& composite : {Composite(), Composite::epsilon_plus(), Composite::epsilon_plus_flat(),
                                     Composite::epsilon_alpha2_beta1_flat()}) {
    const Attribution a = conserved(made, composite);
    CHECK(a.bias_share.abs().max().item<double>() == 0.0);
    // A z-plus or alpha-beta loses what has no share of its sign; that is in epsilon's.
    if (!composite.entries.empty()) continue;
    CHECK(a.values.flatten(1).sum(1).sub(a.score).abs().max().item<double>() <
          1e-4 * a.score.abs().min().item<double>());
  }
}

TEST_CASE("LRP: what a reviewer broke it with") {
  // Outputs in lists, branches and nested tuples begin as any other.
  const std::string two =
      "  y = torch.relu(torch.conv2d(x, self.w, self.b)).mean([2, 3])\n  z = torch.matmul(y, self.v)\n";
  const at::Tensor plain = Lrp{ScriptModel(network(two + "  return z\n"))}(pictures, ClassIndex{1}).values;
  const std::vector<std::pair<std::string, std::string>> outputs{
      {"  r = []\n  r.append(y)\n  r.append(z)\n  return r\n", "1"},
      {"  return ((z, y), y)\n", "0.0"},
      {"  if x.size(0) < 100:\n    r = (y, z)\n  else:\n    r = (y, z * 2)\n  return r\n", "1"}};
  for (const auto& each : outputs) {
    CAPTURE(each.first);
    const ScriptModel model(network(two + each.first), {.output = each.second});
    CHECK(distance(Lrp{model}(pictures, ClassIndex{1}).values, plain) < 1e-12);
  }
  // An addend beside a product, and what folds windows back.
  for (const char* body :
       {"  h = x.mean([2, 3])\n  y = torch.addmm(h, h, self.w[:, :, 0, 0]).unsqueeze(2).unsqueeze(3)\n",
        "  h = x.mean([2, 3])\n  y = torch.addcmul(h, h, self.v[:, 0]).unsqueeze(2).unsqueeze(3)\n",
        "  y = torch.col2im(torch.im2col(x, [2, 2], [1, 1], [1, 1], [1, 1]), [8, 8], [2, 2], [1, 1], [1, 1], "
        "[1, 1])\n"}) {
    CAPTURE(std::string(body));
    const Attribution a = conserved(network(body + head), Composite());
    CHECK(a.constant_share.abs().max().item<double>() < 1e-9);
    CHECK(a.bias_share.abs().max().item<double>() == 0.0);
  }
}

TEST_CASE("LRP: a composite chooses by kind, by layer and by place") {
  Module first("Conv"), second("Conv"), net("Net"), features("Sequential");
  for (Module* conv : {&first, &second}) {
    conv->register_parameter("w", normal({3, 3, 3, 3}, at::kDouble, conv == &first ? 1 : 5), false);
    conv->define("def forward(self, x):\n  return torch.conv2d(x, self.w)\n");
  }
  features.register_module("0", first);
  features.register_module("1", second);
  features.define(
      "def forward(self, x):\n  return torch.relu(getattr(self, \"1\").forward(torch.relu(getattr(self, "
      "\"0\").forward(x))))\n");
  net.register_module("features", features);
  net.register_parameter("v", normal({3, 4}, at::kDouble, 2), false);
  net.define("def forward(self, x):\n  return torch.matmul(self.features.forward(x).mean([2, 3]), self.v)\n");
  const ScriptModel model(net);
  const auto values = [&](const Composite& composite) {
    return Lrp{model, composite}(pictures, ClassIndex{1}).values;
  };
  const LrpRule flat = lrp::Flat{}, plus = lrp::ZPlus{};
  const at::Tensor all_plus = values({{}, plus});
  CHECK(same(values({{{.rule = plus}}}), all_plus));
  CHECK(same(
      values({{{.kind = LinearKind::convolution, .rule = plus}, {.kind = LinearKind::linear, .rule = plus}}}),
      all_plus));
  const at::Tensor first_flat = values({{{.first = true, .rule = flat}}, plus});
  CHECK(distance(first_flat, all_plus) > 1e-3);
  CHECK(distance(values({{{.layers = {"features.0"}, .rule = flat}}, plus}), first_flat) == 0.0);
  CHECK(distance(values({{{.layers = {"features.1"}, .rule = flat}}, plus}), first_flat) > 1e-3);
  CHECK(same(values({{{.layers = {"features"}, .rule = flat}}, plus}),
             values({{{.kind = LinearKind::convolution, .rule = flat}}, plus})));
  CHECK(contains(message<ArgumentError>([&] { values({{{.layers = {"features.2"}, .rule = flat}}}); }),
                 "there is no layer with a product for the composite 'features.2'"));
  // The same in a model that is cut, and the relevance of a layer.
  const auto rest = model.from("features.0", pictures);
  const at::Tensor at_layer =
      Lrp{rest, {{}, plus}}(model.until("features.0")(pictures), ClassIndex{1}).values;
  const LayerGradient layer{model.relevant({{}, plus}), {.layer = "features.0"}};
  CHECK(distance(layer(pictures, ClassIndex{1}).values, at_layer) < 1e-12);
}

TEST_CASE("LRP: what stands behind a branch or in the second round of a loop is not first") {
  const std::string conv = "  y = torch.conv2d(y, self.w, self.b, [1, 1], [1, 1])\n";
  const std::string branch = "  if x.size(2) > 3:\n    y = y + 0.0\n  else:\n    y = y - 1.0\n";
  const std::string loop = "  for i in range(2):\n    y = torch.conv2d(y, self.w, self.b, [1, 1], [1, 1])\n";
  const auto values = [](const std::string& body, const Composite& composite) {
    return conserved(network("  y = x\n" + body + head), composite).values;
  };
  const Composite flat = Composite::epsilon_plus_flat();
  CHECK(distance(values(conv + branch + conv, flat), values(conv + conv, flat)) <
        1e-6);  // a sum of one has epsilon, too
  CHECK(distance(values(conv + loop, flat), values(conv + conv + conv, flat)) < 1e-9);
}

TEST_CASE("LRP refuses what has no rule, numbers out of range, and a model that shows no graph") {
  CHECK(contains(message<ModelError>([] { Lrp{ScriptModel(network("  y = x.sort(1)[0]\n" + head))}; }),
                 "no rule for aten::sort"));
  const ScriptModel model(network("  y = torch.conv2d(x, self.w)\n" + head));
  const auto refused = [&](LrpRule rule) {
    return message<ArgumentError>([&] { Lrp{model, {{{.rule = std::move(rule)}}}}; });
  };
  CHECK(contains(refused(lrp::Epsilon{0.0}), "epsilon"));
  CHECK(contains(refused(lrp::Gamma{-1.0}), "gamma"));
  CHECK(contains(refused(lrp::AlphaBeta{2.0, 2.0}), "alpha - beta 1"));
  CHECK(contains(message<ModelError>([] { Lrp{AnyModel([](const at::Tensor& x) { return x; })}; }),
                 "must hold a ScriptModel"));
}

TEST_CASE("the registry's methods that need a graph are those of their classes, bit for bit") {
  const ScriptModel model(network("  y = torch.relu(torch.conv2d(x, self.w, self.b))\n" + head));
  const at::Tensor low = tensor({-3.0}, {1}), high = tensor({3.0}, {1});
  const Baseline grey = Baseline::constant(0.2);
  const auto lrp = [&](const Composite& composite) { return AnyAttributor(Lrp(model, composite)); };
  const std::map<std::string, AnyAttributor> expected{
      {"deep_lift", AnyAttributor(DeepLift(model, {.baseline = grey}))},
      {"deep_lift_reveal_cancel",
       AnyAttributor(DeepLift(model, {.baseline = grey, .rule = DeepLiftRule::reveal_cancel}))},
      {"deep_lift_shap", AnyAttributor(DeepLiftShap(model, {.baseline = grey}))},
      {"full_grad", AnyAttributor(FullGrad(model))},
      {"lrp_epsilon_plus", lrp(Composite::epsilon_plus())},
      {"lrp_epsilon_plus_flat", lrp(Composite::epsilon_plus_flat())},
      {"lrp_epsilon_alpha2_beta1", lrp(Composite::epsilon_alpha2_beta1())},
      {"lrp_epsilon_alpha2_beta1_flat", lrp(Composite::epsilon_alpha2_beta1_flat())},
      {"lrp_epsilon_gamma_box", lrp(Composite::epsilon_gamma_box(low, high))},
      {"excitation_backprop", lrp(Composite::excitation_backprop())},
      {"attn_lrp", lrp(Composite::attn_lrp())},
      {"cp_lrp", lrp(Composite::cp_lrp())},
  };
  std::size_t found = 0;
  for (const MethodEntry& entry : methods()) {
    if (!entry.needs_graph) continue;
    if (entry.name == "attention_rollout" || entry.name == "chefer")
      continue;  // the network has no attention
    ++found;
    CAPTURE(std::string(entry.name));
    const MethodOptions options{.baseline = grey, .low = low, .high = high};
    const Attribution made = entry.make(AnyModel(model), options)(pictures, ClassIndex{3});
    CHECK(same(made.values, expected.at(std::string(entry.name))(pictures, ClassIndex{3}).values));
    CHECK(made.values.any().item<bool>());
  }
  CHECK(found == expected.size());
}
