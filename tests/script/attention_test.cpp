// Attention rollout and Chefer's relevance on graphs: by the formulas, a sample alone as in the batch,
// attention as one operator as when it is open, and what cannot be read is refused.
#include <salience/method/attention_rollout.hpp>
#include <salience/method/chefer.hpp>
#include <salience/method/detail/token_relevance.hpp>
#include <salience/method/lrp.hpp>
#include <salience/method/registry.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/script_model.hpp>
#include <salience/tensor/composite.hpp>

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

const at::Tensor pictures = normal({3, 3, 8, 12}, at::kDouble, 4);

/// A transformer of two blocks: 2 x 3 patches of 4 x 4 pixels and a class token, 6 features, 2 heads;
/// `attention` makes `y` of q, k and v (N, 2, 7, 3).
Module transformer(const std::string& attention, bool class_token = true, bool reads_it = true) {
  Module made("Net");
  made.register_parameter("patch", normal({6, 3, 4, 4}, at::kDouble, 1) * 0.2, false);
  made.register_parameter("token", normal({1, 1, 6}, at::kDouble, 2), false);
  made.register_parameter("qkv", normal({2, 18, 6}, at::kDouble, 3) * 0.6, false);
  made.register_parameter("mask", normal({7, 7}, at::kDouble, 6), false);
  made.register_parameter("head", normal({4, 6}, at::kDouble, 5), false);
  std::string body =
      "def forward(self, x):\n"
      "  t = torch.conv2d(x, self.patch, None, [4, 4]).flatten(2).transpose(1, 2)\n";
  if (class_token) body += "  t = torch.cat([self.token.expand([x.size(0), 1, 6]), t], 1)\n";
  for (const char* block : {"0", "1"}) {
    body += std::string("  q, k, v = torch.linear(t, self.qkv[") + block +
            "]).view([x.size(0), -1, 3, 2, 3]).permute([2, 0, 3, 1, 4]).unbind(0)\n  y = " + attention +
            "\n  t = t + y.transpose(1, 2).flatten(2)\n";
  }
  const char* read = !class_token ? "t.mean([1])" : reads_it ? "t[:, 0]" : "t[:, 1:].mean([1])";
  made.define(body + "  return torch.linear(" + read + ", self.head)\n");
  return made;
}

const std::string open = "torch.matmul(torch.softmax(torch.matmul(q, k.transpose(2, 3)) / 3 ** 0.5, -1), v)";

#if TORCH_VERSION_MAJOR >= 2
const std::string fused = "torch.scaled_dot_product_attention(q, k, v)";
#else
const std::string fused = open;
#endif

struct Maps {
  at::Tensor rollout, chefer, chefer_by_lrp;
};
Maps maps(const Module& module, const at::Tensor& x, Prepare prepare = Prepare::fast) {
  const ScriptModel model(module, {.prepare = prepare});
  return {AttentionRollout{model}(x, ClassIndex{1}).values, Chefer{model}(x, ClassIndex{1}).values,
          Chefer{model, {.composite = Composite::attn_lrp()}}(x, ClassIndex{1}).values};
}

}  // namespace

TEST_CASE("attention rollout and Chefer's relevance by their formulas") {
  const ScriptModel model(transformer(open));
  const GraphModel shown = model.with_attention();
  const std::vector<std::string> names{"attention.0", "attention.1"};
  at::Tensor x = pictures.clone().requires_grad_(true);
  Tapped tapped = shown.tapped(x, names);
  CHECK(distance(tapped.output.detach(), model(pictures)) < 1e-14);
  for (at::Tensor& layer : tapped.layers) {
    CHECK(layer.sizes() == at::IntArrayRef({3, 2, 7, 7}));
    CHECK(distance(layer.sum(-1), at::ones({3, 2, 7}, at::kDouble)) < 1e-14);
    layer.retain_grad();
  }
  tapped.output.select(1, 1).sum().backward();
  const at::Tensor one = at::eye(7, at::kDouble);
  at::Tensor rolled = one, relevance = one;
  for (const at::Tensor& layer : tapped.layers) {
    const at::Tensor mixed = layer.detach().mean(1) + one;
    rolled = (mixed / mixed.sum(-1, true)).matmul(rolled);
    relevance = relevance + (layer.detach() * layer.grad()).clamp_min(0).mean(1).matmul(relevance);
  }
  const auto map = [](const at::Tensor& product) {
    return at::upsample_bilinear2d(product.select(1, 0).slice(1, 1).reshape({3, 1, 2, 3}), {8, 12}, false);
  };
  const Maps ours = maps(transformer(open), pictures);
  CHECK(distance(ours.rollout, map(rolled.expand({3, 7, 7}))) < 1e-14);
  CHECK(distance(ours.chefer, map(relevance)) < 1e-13);
  const AttentionRollout grid{model, {.upsample = false}};
  CHECK(distance(grid(pictures).values, rolled.select(1, 0).slice(1, 1).reshape({3, 1, 2, 3})) < 1e-14);
}

TEST_CASE("attention: samples alone and in a batch, one operator and open, prepared or not, with masks") {
  const std::vector<std::pair<std::string, std::string>> alike {
    {fused, open},
#if TORCH_VERSION_MAJOR >= 2
        {"torch.scaled_dot_product_attention(q, k, v, None, 0.0, False, scale=0.5)",
         "torch.matmul(torch.softmax(torch.matmul(q, k.transpose(2, 3)) * 0.5, -1), v)"},
        {"torch.scaled_dot_product_attention(q, k, v, self.mask)",
         "torch.matmul(torch.softmax(torch.matmul(q, k.transpose(2, 3)) / 3 ** 0.5 + self.mask, -1), v)"},
        {"torch.scaled_dot_product_attention(q, k, v, self.mask > -1)",
         "torch.matmul(torch.softmax((torch.matmul(q, k.transpose(2, 3)) / 3 ** 0.5).masked_fill(self.mask "
         "<= "
         "-1, "
         "-float('inf')), -1), v)"},
#endif
        // Heads and samples in one dimension, as nn.functional has it.
        {fused,
         "torch.bmm(torch.dropout(torch.softmax(torch.baddbmm(torch.zeros([1]).double(), q.flatten(0, 1), "
         "k.flatten(0, 1).transpose(1, 2)) / 3 ** 0.5, -1), 0.1, False), v.flatten(0, 1)).view(q.size())"},
    {
      fused,
          "torch.einsum('nhij,nhjd->nhid', torch.softmax(torch.matmul(q * 3 ** -0.5, k.transpose(2, 3)), "
          "-1), "
          "v)"
    }
  };
  for (const auto& pair : alike) {
    const std::string& one = pair.first;
    const std::string& other = pair.second;
    CAPTURE(one);
    CAPTURE(other);
    const Module fused_module = transformer(one), open_module = transformer(other);
    const bool masked = contains(one, "mask");
    for (const Prepare prepare : {Prepare::fast, Prepare::none}) {
      const auto of = [&](const Module& module, const at::Tensor& x) {
        const ScriptModel model(module, {.prepare = prepare});
        return std::pair(AttentionRollout{model}(x, ClassIndex{1}).values,
                         Chefer{model}(x, ClassIndex{1}).values);
      };
      const auto [rollout, chefer] = of(fused_module, pictures);
      const auto [open_rollout, open_chefer] = of(open_module, pictures);
      CHECK(rollout.std().item<double>() > 1e-3);
      CHECK(distance(rollout, open_rollout) < 1e-14);
      CHECK(distance(chefer, open_chefer) < 1e-13);
      for (std::int64_t n = 0; n < 3; ++n) {
        const auto [rollout_alone, chefer_alone] = of(fused_module, pictures.narrow(0, n, 1));
        CHECK(distance(rollout_alone, rollout.narrow(0, n, 1)) < 1e-14);
        CHECK(distance(chefer_alone, chefer.narrow(0, n, 1)) < 1e-13);
      }
    }
    if (masked) continue;
    const Maps whole = maps(fused_module, pictures);
    CHECK(distance(whole.chefer_by_lrp, maps(open_module, pictures, Prepare::none).chefer_by_lrp) <
          1e-4);  // LRP's epsilon stands at other values
    CHECK(distance(whole.chefer_by_lrp, whole.chefer) > 1e-3);
    for (std::int64_t n = 0; n < 3; ++n)
      CHECK(distance(maps(fused_module, pictures.narrow(0, n, 1)).chefer_by_lrp,
                     whole.chefer_by_lrp.narrow(0, n, 1)) < 1e-12);
  }
}

TEST_CASE("attention: the relevance of its weights is what Lrp gives them") {
  const ScriptModel model(transformer(open));
  const GraphModel shown = model.with_attention(), relevant = shown.relevant(Composite::attn_lrp());
  const std::vector<std::string> names{"attention.0", "attention.1"};
  const RecordedPass plain = record(shown, pictures, ClassIndex{1}, names),
                     lrp = record(relevant, pictures, ClassIndex{1}, names);
  const std::vector<at::Tensor> gradients = plain.gradients(plain.layers), shares = lrp.gradients(lrp.layers);
  at::Tensor product = at::eye(7, at::kDouble);
  for (std::size_t i = 0; i < 2; ++i)
    product = product + (gradients[i] * shares[i]).clamp_min(0).mean(1).matmul(product);
  const Chefer chefer{model, {.composite = Composite::attn_lrp(), .upsample = false}};
  CHECK(distance(chefer(pictures, ClassIndex{1}).values,
                 product.select(1, 0).slice(1, 1).reshape({3, 1, 2, 3})) < 1e-14);
}

TEST_CASE("attention that cannot be read or followed is refused") {
  const auto refused = [](const Module& module) {
    return message<ModelError>([&] { AttentionRollout{ScriptModel(module)}(pictures); });
  };
  CHECK(contains(
      refused(transformer(fused, /*class_token=*/false)),
      "the attention has no class token, whose row this method reads: its 6 tokens are all patches"));
  CHECK(contains(
      refused(transformer("torch.matmul(torch.softmax(torch.matmul(q, k.transpose(2, 3)), -1) * 2, v)")),
      "attention whose weights are changed before they are applied"));
  const std::string soft = "torch.softmax(torch.matmul(q, k.transpose(2, 3)), -1)";
  for (const std::string& other : std::vector<std::string>{
           "torch.einsum('bhij,hg->bgij', " + soft + ", self.mask[:2, :2]) @ v",
           "(" + soft + ".permute([0, 2, 3, 1]) @ self.mask[:2, :2]).permute([0, 3, 1, 2]) @ v",
           "(v.transpose(2, 3) @ torch.softmax(torch.matmul(k, q.transpose(2, 3)), -2)).transpose(2, 3)",
           "torch.einsum('bhji,bhjd->bhid', torch.softmax(torch.matmul(k, q.transpose(2, 3)), 2), v)",
           soft + ".transpose(2, 3) @ v",
           "torch.where(self.mask > 0, " + soft + ", torch.zeros([1]).double()) @ v", soft + ".flip(3) @ v",
           "torch.log_softmax(torch.matmul(q, k.transpose(2, 3)), -1).exp() @ v + " + open,
           "torch.sigmoid(torch.matmul(q, k.transpose(2, 3))) @ v + " + open}) {
    CAPTURE(other);
    CHECK(contains(refused(transformer(other)), "the attention of the model cannot be read"));
  }
  CHECK(contains(refused(transformer(open + " + " + open)), "attention side by side"));
  CHECK(contains(refused(transformer("torch.relu(q)")), "the model has no attention"));
  // A softmax that is no attention does not disturb.
  const std::string gates = "(torch.softmax(q, -1) * v) + " + open;
  CHECK(distance(maps(transformer(gates), pictures).rollout, maps(transformer(gates), pictures).rollout) ==
        0.0);
  CHECK(contains(
      refused(transformer(
          "torch.matmul(torch.softmax(torch.matmul(q, k[:, :, :5].transpose(2, 3)), -1), v[:, :, :5])")),
      "follows the same tokens through all layers"));
  CHECK(message<ArgumentError>([] { salience::detail::grid_behind_class_token(19, pictures, {}); }) ==
        "the 19 tokens of the attention make no grid of an input of shape (3, 3, 8, 12) behind a class "
        "token, with or "
        "without registers; give the option grid, Tokens{height, width, leading}");
  CHECK(message<ArgumentError>([] {
          AttentionRollout{ScriptModel(transformer(fused)), {.grid = Tokens{3, 3}}}(pictures);
        }) == "a grid of 3x3 behind 1 tokens takes 10 of them, and the attention has 7");
  CHECK(contains(message<ArgumentError>([] {
                   Chefer{ScriptModel(transformer(fused)), {.composite = Composite::cp_lrp()}};
                 }),
                 "holds attention fixed"));
  // It has a class token, and reads the others.
  CHECK(contains(message<ModelError>(
                     [] { Chefer{ScriptModel(transformer(fused, true, /*reads_it=*/false))}(pictures); }),
                 "the score does not depend on the class token behind the layer 'attention.1'"));
  const AttentionRollout told{ScriptModel(transformer(fused)), {.grid = Tokens{2, 10}}};
  CHECK(told(normal({1, 3, 8, 40})).values.sizes() == at::IntArrayRef({1, 1, 8, 40}));
  CHECK(contains(message<ModelError>([] { Chefer{AnyModel([](const at::Tensor& x) { return x; })}; }),
                 "this method reads or rewrites the graph of a model"));
}

TEST_CASE("attention: the registry's methods are those of the classes") {
  const ScriptModel model(transformer(fused));
  const AnyModel any(model);
  CHECK(same(find_method("attention_rollout").make(any, {})(pictures).values,
             AttentionRollout{model}(pictures).values));
  CHECK(same(find_method("chefer").make(any, {})(pictures).values, Chefer{model}(pictures).values));
}
