// The shipped text model on fresh sentences, whose answer and opinion words are known, and what is made of
// its whole numbers.
#include <salience/method/class_activation_map.hpp>
#include <salience/method/explanation.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/gradient_shap.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/method/idgi.hpp>
#include <salience/method/input_x_gradient.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/internal_influence.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/layer_conductance.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/metric/completeness.hpp>
#include <salience/metric/sensitivity.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/script_model.hpp>
#include <salience/target/neuron.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <sentence.hpp>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using torch::jit::Module;

namespace {

const std::string data = SALIENCE_EXAMPLE_DATA_DIR;
const std::vector<std::string> vocabulary = tokens::vocabulary();

ScriptModel shipped() { return ScriptModel::load(data + "/tokens.pt"); }

/// (N, T) of these sentences, filled up with 0.
at::Tensor batch_of(const std::vector<std::vector<std::string>>& sentences) {
  std::size_t longest = 0;
  for (const auto& words : sentences) longest = std::max(longest, words.size());
  std::vector<std::int64_t> numbers;
  for (const auto& words : sentences) {
    std::vector<std::int64_t> row = tokens::numbered(words, vocabulary);
    row.resize(longest);
    numbers.insert(numbers.end(), row.begin(), row.end());
  }
  return salience::detail::vector_tensor<std::int64_t>(numbers).reshape(
      {static_cast<std::int64_t>(sentences.size()), static_cast<std::int64_t>(longest)});
}

at::Tensor row_of(const std::vector<std::string>& words) { return batch_of({words}); }

std::vector<std::vector<std::string>> fresh(std::uint64_t first, std::uint64_t count) {
  std::vector<std::vector<std::string>> sentences;
  for (std::uint64_t i = 0; i < count; ++i) sentences.push_back(tokens::sentence(first + i).words);
  return sentences;
}

/// (T): how much each word adds to the score of the sentence's predicted class.
at::Tensor of_words(const ScriptModel& model, const at::Tensor& x) {
  const IntegratedGradients method{model.from("embedding", x), {.steps = 20}};
  return method(model.until("embedding")(x)).values.sum(-1)[0].to(at::kDouble);
}

/// A text model that is given a mask: the mean of the words' embeddings after a layer.
Module masked() {
  Module embedding(std::string("Embedding"));
  embedding.register_parameter("weight", normal({20, 6}, at::kDouble, 1), false);
  embedding.define("def forward(self, x):\n  return torch.embedding(self.weight, x)\n");
  Module net("Net");
  net.register_module("embed", embedding);
  net.register_parameter("weight", normal({3, 6}, at::kDouble, 2), false);
  net.define(
      "def forward(self, words, mask):\n"
      "  x = self.embed.forward(words).tanh() * mask.unsqueeze(2)\n"
      "  x = x.sum([1]) / mask.sum([1]).unsqueeze(1)\n"
      "  return torch.linear(x.sin(), self.weight)\n");
  return net;
}

}  // namespace

TEST_CASE("the shipped vocabulary is that of the sentences") {
  std::ifstream file(data + "/tokens.txt");
  std::vector<std::string> words;
  for (std::string line; std::getline(file, line);) words.push_back(line);
  CHECK(words == vocabulary);
}

TEST_CASE("the network is right on fresh sentences, and on those with a negation") {
  const ScriptModel model = shipped();
  int right = 0, negated = 0, right_negated = 0;
  constexpr int count = 1000;
  for (std::uint64_t seed = 10'000; seed < 10'000 + count; ++seed) {
    const tokens::Sentence sentence = tokens::sentence(seed);
    const bool good = model(row_of(sentence.words)).argmax(1).item<std::int64_t>() == sentence.label;
    right += good;
    negated += sentence.negated;
    right_negated += sentence.negated && good;
  }
  MESSAGE(right, " of ", count, " fresh sentences are answered rightly, ", right_negated, " of ", negated,
          " with a negation");
  CHECK(right >= count * 97 / 100);
  CHECK(right_negated >= negated * 97 / 100);
}

TEST_CASE("a negation turns the answer round, by a word that the attribution names") {
  const ScriptModel model = shipped();
  const at::Tensor plain = row_of({"the", "soup", "was", "very", "good"});
  const at::Tensor turned = row_of({"the", "soup", "was", "not", "good"});
  CHECK(model(plain).argmax(1).item<std::int64_t>() == 1);
  CHECK(model(turned).argmax(1).item<std::int64_t>() == 0);
  CHECK(of_words(model, turned)[3].item<double>() > 0.0);  // for "negative"
}

TEST_CASE("the attributions fall on the words that say the opinion") {
  const ScriptModel model = shipped();
  constexpr int count = 200;
  int hits = 0;
  double share = 0.0, words = 0.0;
  for (std::uint64_t seed = 20'000; seed < 20'000 + count; ++seed) {
    const tokens::Sentence sentence = tokens::sentence(seed);
    const at::Tensor values = of_words(model, row_of(sentence.words)).abs();
    double told = 0.0, meant = 0.0;
    for (std::size_t i = 0; i < sentence.roles.size(); ++i) {
      if (sentence.roles[i] == tokens::Role::neutral) continue;
      told += values[static_cast<std::int64_t>(i)].item<double>();
      ++meant;
    }
    share += told / values.sum().item<double>() / count;
    words += meant / static_cast<double>(sentence.words.size()) / count;
    hits += sentence.roles[static_cast<std::size_t>(values.argmax().item<std::int64_t>())] !=
                    tokens::Role::neutral
                ? 1
                : 0;
  }
  MESSAGE("opinions and negations are ", words, " of the words and have ", share,
          " of the attribution; the largest value is theirs in ", hits, " of ", count);
  CHECK(share > 0.85);
  CHECK(hits >= count * 95 / 100);
}

TEST_CASE("methods at the embedding: a padded batch gives what its sentences give one by one") {
  const ScriptModel model = shipped();
  const auto sentences = fresh(30'000, 6);
  const at::Tensor x = batch_of(sentences);
  REQUIRE(x.eq(0).any().item<bool>());
  const auto check = [&](const std::function<Attribution(const at::Tensor&)>& method, double tolerance) {
    const Attribution whole = method(x);
    for (std::size_t n = 0; n < sentences.size(); ++n) {
      const auto length = static_cast<std::int64_t>(sentences[n].size());
      const auto row = static_cast<std::int64_t>(n);
      const at::Tensor alone = method(row_of(sentences[n])).values[0];
      CHECK(distance(whole.values[row].narrow(0, 0, length), alone) < tolerance);
      CHECK(whole.values[row].slice(0, length).abs().sum().item<double>() == 0.0);  // nothing on the padding
    }
  };
  for (const std::int64_t chunk : {0, 1, 4}) {
    check(
        [&](const at::Tensor& words) {
          const IntegratedGradients method{model.from("embedding", words), {.steps = 12, .chunk = chunk}};
          const Attribution a = method(model.until("embedding")(words));
          CHECK(a.completeness_error.abs().max().item<double>() < 0.2);
          return a;
        },
        1e-5);
    check(
        [&](const at::Tensor& words) {  // without noise: its draws are of the padded shape
          const SmoothGrad method{InputXGradient{model.from("embedding", words)},
                                  {.samples = 3, .noise_level = 0.0, .chunk = chunk}};
          return method(model.until("embedding")(words));
        },
        1e-5);
    check(
        [&](const at::Tensor& words) {
          const GraphModel rest = model.from("embedding", words);
          const at::Tensor a = model.until("embedding")(words);
          Attribution at_words =
              LayerConductance{rest, {.layer = "embedding", .steps = 8, .chunk = chunk}}(a);
          const Attribution at_conv =
              LayerConductance{rest, {.layer = "conv:input", .steps = 8, .chunk = chunk}}(a);
          CHECK(distance(at_words.values, at_conv.values.transpose(1, 2)) < 1e-5);
          return at_words;
        },
        1e-5);
  }
}

TEST_CASE("sentences of several lengths with a bound mask") {
  const at::Tensor words = support::tensor({1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 0}, {3, 4}).to(at::kLong);
  const at::Tensor mask = words.ne(0).to(at::kDouble);
  const ScriptModel model(masked(), {.bind = {{"mask", mask}}});
  const auto values = [](const ScriptModel& m, const at::Tensor& x, std::int64_t chunk) {
    return IntegratedGradients{m.from("embed", x), {.steps = 7, .chunk = chunk}}(m.until("embed")(x),
                                                                                 ClassIndex{1});
  };
  const Attribution whole = values(model, words, 0);
  for (const std::int64_t chunk : {1, 2, 5}) {
    CHECK(distance(values(model, words, chunk).values, whole.values) < 1e-14);
  }
  for (std::int64_t n = 0; n < 3; ++n) {
    const auto length = mask[n].sum().to(at::kLong).item<std::int64_t>();
    const ScriptModel one(masked(), {.bind = {{"mask", at::ones({1, length}, at::kDouble)}}});
    const at::Tensor alone = values(one, words.narrow(0, n, 1).narrow(1, 0, length), 0).values;
    CHECK(distance(whole.values[n].narrow(0, 0, length), alone[0]) < 1e-14);
    CHECK(whole.values[n].slice(0, length).abs().sum().item<double>() == 0.0);
  }
}

TEST_CASE("an input of integers is refused where a gradient is asked for, in the words of its model") {
  const ScriptModel model = shipped();
  const at::Tensor x = row_of({"the", "film", "was", "good"});
  const std::string expected =
      "input must be of a floating type, got Long: explain the model at its embedding, "
      "model.from(\"embedding\", x)";
  const std::vector<std::function<void()>> calls{
      [&] { gradient_at_input(model, x); },
      [&] { GradientAttributor{model}(x); },
      [&] { GuidedBackprop{model}(x); },
      [&] { InputXGradient{model}(x); },
      [&] { SmoothGrad{InputXGradient{model}}(x); },
      [&] { SmoothGrad{IntegratedGradients{model}}(x); },
      [&] { IntegratedGradients{model}(x); },
      [&] { Idgi{model}(x); },
      [&] { GradientShap{model}(x); },
      [&] {
        LayerGradientShap{model, {.layer = "conv"}}(x);
      },
      [&] {
        InternalInfluence{model, {.layer = "conv"}}(x);
      },
      [&] {
        LayerConductance{model, {.layer = "conv"}}(x);
      },
      [&] { Explanation(model, x); },
      [&] { Explanation(model, x, ClassIndex{0}, {.layer = "conv"}); },
      [&] {
        GuidedGradCam{model, {.layer = "conv"}}(x);
      },
      [&] { Deconvnet{model}(x); },
      [&] { MaxSensitivity{GradientAttributor{model}}(x); },
      [&] {
        const std::vector<std::string> both{"conv", "relu"};
        record(model, x, ClassIndex{0}, both);
      },
      [&] { record(model, x, ClassIndex{0}); },
      [&] { GradientAttributor{AnyModel{model}}(x); },
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    CHECK(message<ArgumentError>(calls[i]) == expected);
  }
  Module both = masked();
  both.register_module("other", both.attr("embed").toModule());
  both.define(
      "def run(self, words):\n  return self.embed.forward(words).sum([1]) + "
      "self.other.forward(words).sum([1])\n");
  Module several("Several");
  several.register_module("text", both);
  several.define("def forward(self, words):\n  return self.text.run(words)\n");
  CHECK(contains(message<ArgumentError>([&] { GradientAttributor{ScriptModel{several}}(x); }),
                 "model.from(\"text.embed\", x); its embeddings are 'text.embed', 'text.other'"));
  const GraphModel rest = model.until("conv").from("embedding", x);  // whose first layer is the convolution
  const at::Tensor embedded = at::ones({1, 4, 16}, at::kLong);
  CHECK(contains(message<ArgumentError>([&] { GradientAttributor{rest}(embedded); }), "got Long"));
  Module plain("Plain");
  plain.define("def forward(self, words):\n  return words.sin()\n");
  Module holder("Holder");
  holder.register_module("sin", plain);
  holder.define("def forward(self, words):\n  return self.sin.forward(words)\n");
  CHECK(contains(message<ArgumentError>([&] { GradientAttributor{ScriptModel{holder}}(x); }),
                 "got Long: explain the model at a layer behind them, model.from(LAYER, x)"));
  const auto sine = [](const at::Tensor& t) { return t.sin(); };
  CHECK(message<ArgumentError>([&] { GradientAttributor{AnyModel{sine}}(x); }) ==
        "input must be of a floating type, got Long");
  CHECK(message<ArgumentError>([&] { GradientAttributor{[](const at::Tensor& t) { return t.sin(); }}(x); }) ==
        "input must be of a floating type, got Long");
  CHECK(contains(message<ArgumentError>([&] { GradientAttributor{model}(x.to(at::kComplexFloat)); }),
                 "floating type, got ComplexFloat"));
  CHECK(contains(message<ArgumentError>([&] { Completeness{model}(x, Attribution{}); }), "got Long"));
}

TEST_CASE("integers are taken where no gradient is taken with respect to them") {
  const ScriptModel model = shipped();
  const at::Tensor x = batch_of(fresh(40'000, 3));
  const Explained explained = GradientAttributor{model}.predict(x);
  CHECK(same(explained.logits, model(x)));
  CHECK(same(IntegratedGradients{model}.predict(x).logits, model(x)));
  CHECK(AnyModel{model}.layers().size() == 4);
  CHECK(AnyModel{[](const at::Tensor& t) { return t.sin(); }}.layers().empty());
  CHECK(same(LayerActivation{model, {.layer = "embedding"}}(x).values, model.until("embedding")(x)));

  // A gradient at a layer is the gradient with respect to the input of what is behind it.
  for (const char* layer : {"embedding", "conv", "relu"}) {
    CAPTURE(layer);
    const at::Tensor a = model.until(layer)(x);
    const Attribution expected = gradient_at_input(model.from(layer, x), a);
    const Attribution ours = LayerGradient{model, {.layer = layer}}(x);
    CHECK(same(ours.values, expected.values));
    CHECK(same(ours.logits, model(x)));
    CHECK(same(ours.target, expected.target));
    CHECK(same(LayerGradXActivation{model, {.layer = layer}}(x).values, expected.values * a));
    CHECK(same(LayerGradient{AnyModel{model}, {.layer = layer}}(x).values, expected.values));
  }
  const Attribution cam = GradCam{model, {.layer = "conv", .upsample = false}}(x);
  CHECK(cam.values.sizes() == at::IntArrayRef({3, 1, x.size(1)}));
  CHECK(cam.values.is_floating_point());
  const at::Tensor a = model.until("conv")(x);
  const at::Tensor weights = LayerGradient{model, {.layer = "conv"}}(x).values.mean(2, true);
  CHECK(distance(cam.values.flatten(1), (a * weights).sum(1).relu()) < 1e-6);
  CHECK(contains(message<Error>([&] { LayerGradient{model}(x); }), "write the layer's name"));
}
