// Every attributor on models that are cut at a layer, hold something for each sample, take several inputs, or
// begin at the embedding of words: a batch gives what its samples give, in any chunk, mode and thread.
#include <salience/model/any_model.hpp>
#include <salience/model/script_model.hpp>

#include <c10/core/InferenceMode.h>
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../contract/attributors.hpp"
#include "../contract/network.hpp"
#include "../support.hpp"

using namespace salience;
using contract::all_of;
using contract::equal;
using contract::Listed;
using support::distance;
using support::normal;
using torch::jit::Module;

namespace {

Module conv(std::int64_t out, std::int64_t in, int salt, bool line = false) {
  Module made("Conv");
  made.register_parameter(
      "w",
      normal(line ? std::vector<std::int64_t>{out, in, 3} : std::vector<std::int64_t>{out, in, 3, 3},
             at::kDouble, salt) *
          0.4,
      false);
  made.define(
      line ? "def forward(self, x):\n  return torch.relu(torch.conv1d(x, self.w, None, [1], [1]))\n"
           : "def forward(self, x):\n  return torch.relu(torch.conv2d(x, self.w, None, [1, 1], [1, 1]))\n");
  return made;
}

/// Some samples, and the model that goes with them.
struct Asked {
  AnyModel model;
  at::Tensor input;
};
struct Subject {
  std::string name;
  std::function<Asked(std::int64_t first, std::int64_t count)> asked;  ///< of three samples
};

std::vector<Subject> subjects() {
  std::vector<Subject> all;
  Module network("Net");
  network.register_module("first", conv(4, 3, 1));
  network.register_module("features", conv(4, 4, 2));
  network.register_parameter("head", normal({4, 5}, at::kDouble, 3), false);
  network.define(
      "def forward(self, x):\n"
      "  f = self.first.forward(x)\n"
      "  y = self.features.forward(f + x.mean([1]).unsqueeze(1)) * f\n"
      "  return torch.matmul(y.mean([2, 3]) + y.square().mean([2, 3]), self.head)\n");
  const at::Tensor x = contract::batch();
  all.push_back({"cut", [=](std::int64_t first, std::int64_t count) {
                   const ScriptModel model(network);
                   const at::Tensor rows = x.narrow(0, first, count);
                   return Asked{AnyModel(model.from("first", rows)), model.until("first")(rows)};
                 }});
  all.push_back({"until a neuron's layer", [=](std::int64_t first, std::int64_t count) {
                   Module padded("Net");
                   padded.register_module("network", network);
                   padded.register_module("features", conv(4, 3, 1));
                   padded.register_module("mean", [] {
                     Module mean("Mean");
                     mean.define("def forward(self, x):\n  return torch.mean(x + x * x, [2, 3])\n");
                     return mean;
                   }());
                   padded.define(
                       "def forward(self, x):\n  return self.network.forward(x) + "
                       "self.mean.forward(self.features.forward(x)).sum()\n");
                   return Asked{AnyModel(ScriptModel(padded).until("mean")), x.narrow(0, first, count)};
                 }});
  Module bound("Net");
  bound.register_module("features", conv(4, 3, 4));
  bound.register_parameter("head", normal({4, 5}, at::kDouble, 5), false);
  bound.define(
      "def forward(self, x, mask, scale: float):\n"
      "  y = self.features.forward(x * mask) * scale\n"
      "  return torch.matmul(y.mean([2, 3]) + y.square().mean([2, 3]), self.head)\n");
  const at::Tensor mask = normal({3, 1, 9, 8}, at::kDouble, 6);
  all.push_back(
      {"bound", [=](std::int64_t first, std::int64_t count) {
         return Asked{
             AnyModel(ScriptModel(bound, {.bind = {{"mask", mask.narrow(0, first, count)}, {"scale", 1.5}}})),
             x.narrow(0, first, count)};
       }});
  Module two("Net");
  two.register_module("features", conv(4, 3, 7));
  two.register_parameter("head", normal({4, 5}, at::kDouble, 8), false);
  two.define(
      "def forward(self, x, record):\n"
      "  y = self.features.forward(x).mean([2, 3]) + record\n"
      "  return torch.matmul(y + y.square(), self.head)\n");
  all.push_back({"two inputs", [=](std::int64_t first, std::int64_t count) {
                   const ScriptModel model(two, {.explain = {{"x", {3, 9, 8}}, {"record", {4}}}});
                   return Asked{
                       AnyModel(model),
                       model.parts()->pack({x.narrow(0, first, count),
                                            normal({3, 4}, at::kDouble, 9).narrow(0, first, count)})};
                 }});
  // A vision transformer: 2 x 2 patches and a class token.
  Module tokens("Net");
  tokens.register_module("first", conv(4, 3, 17));
  tokens.register_module("features", conv(6, 4, 13));
  tokens.register_parameter("token", normal({1, 1, 6}, at::kDouble, 14), false);
  tokens.register_parameter("qkv", normal({18, 6}, at::kDouble, 15), false);
  tokens.register_parameter("head", normal({6, 5}, at::kDouble, 16), false);
  tokens.define(
      "def forward(self, x):\n"
      "  t = torch.avg_pool2d(self.features.forward(self.first.forward(x)), [4, 4]).flatten(2).transpose(1, "
      "2)\n"
      "  t = torch.cat([self.token.expand([x.size(0), 1, 6]), t], 1)\n"
      "  q, k, v = torch.linear(t, self.qkv).view([x.size(0), -1, 3, 2, 3]).permute([2, 0, 3, 1, "
      "4]).unbind(0)\n"
      "  t = t + torch.matmul(torch.softmax(torch.matmul(q, k.transpose(2, 3)), -1), v).transpose(1, "
      "2).flatten(2)\n"
      "  return torch.matmul(t[:, 0] + t[:, 0].square(), self.head)\n");
  all.push_back({"a transformer", [=](std::int64_t first, std::int64_t count) {
                   return Asked{AnyModel(ScriptModel(tokens)), x.narrow(0, first, count)};
                 }});
  Module words("Net");
  Module embedding("Embedding");
  embedding.register_parameter("w", normal({20, 6}, at::kDouble, 10), false);
  embedding.define("def forward(self, x):\n  return torch.embedding(self.w, x)\n");
  words.register_module("embedding", embedding);
  words.register_module("features", conv(4, 6, 11, true));
  words.register_parameter("head", normal({4, 5}, at::kDouble, 12), false);
  words.define(
      "def forward(self, x):\n"
      "  mask = (x != 0).unsqueeze(1)\n"
      "  y = self.features.forward(self.embedding.forward(x).transpose(1, 2)) * mask\n"
      "  y = y.sum([2]) / mask.sum([2])\n"
      "  return torch.matmul(y + y.square(), self.head)\n");
  const at::Tensor ids =
      support::tensor({3, 7, 1, 19, 5, 8, 11, 4, 0, 0, 2, 6, 9, 0, 0}, {3, 5}).to(at::kLong);
  all.push_back({"words", [=](std::int64_t first, std::int64_t count) {
                   const ScriptModel model(words);
                   const at::Tensor rows = ids.narrow(0, first, count);
                   return Asked{AnyModel(model.from("embedding", rows)), model.until("embedding")(rows)};
                 }});
  return all;
}

void check_close(const Attribution& a, const Attribution& b) {
  const std::vector<at::Tensor> left = all_of(a), right = all_of(b);
  REQUIRE(left.size() == right.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    REQUIRE(left[i].sizes() == right[i].sizes());
    CHECK(distance(left[i].to(at::kDouble).nan_to_num(-7.0), right[i].to(at::kDouble).nan_to_num(-7.0)) <
          1e-10);
  }
}

}  // namespace

TEST_CASE("every attributor on cut models, bound models, models of several inputs and of words") {
  for (const Subject& subject : subjects()) {
    CAPTURE(subject.name);
    const Asked all = subject.asked(0, 3);
    const contract::Snapshot snapshot(all.input);
    int explained = 0;
    contract::for_each_attributor(
        [&](const Listed& listed) {
          Attribution whole;
          try {
            whole = listed.make(all.model, 0)(all.input);
          } catch (const ArgumentError&) {  // it is for pictures alone
            CHECK((subject.name == "two inputs" || subject.name == "words"));
            return;
          } catch (const ModelError& error) {
            CHECK((listed.name == "attention_rollout" || listed.name == "chefer"));
            CHECK(std::string(error.what()).find("the model has no attention") == 0);
            CHECK(subject.name != "a transformer");
            return;
          }
          ++explained;
          for (std::int64_t n = 0; n < 3; ++n) {
            const Asked one = subject.asked(n, 1);
            check_close(whole.sample(n), listed.make(one.model, 0)(one.input));
          }
          for (const std::int64_t chunk : {1, 2, 5})
            check_close(whole, listed.make(all.model, chunk)(all.input));
          const AnyAttributor method = listed.make(all.model, 2);
          const Attribution expected = method(all.input);
          {
            const c10::InferenceMode inference;
            CHECK(equal(method(all.input), expected));
          }
          std::atomic<int> right = 0;
          {
            std::vector<std::jthread> threads;
            for (int t = 0; t < 2; ++t)
              threads.emplace_back([&] { right += equal(method(all.input), expected) ? 1 : 0; });
          }
          CHECK(right == 2);
          CHECK(snapshot.untouched());
        },
        /*with_graph=*/true);
    MESSAGE(subject.name << ": " << explained << " attributors");
    CHECK(explained >= 30);
  }
}
