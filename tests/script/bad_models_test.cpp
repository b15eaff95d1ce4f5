// Every way in which an uploaded model or an input may be wrong, and what then happens.
#include <salience/model/script_model.hpp>  // before doctest: LibTorch has a CHECK of its own

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <salience/method/explanation.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/view/attribution_processor.hpp>

#include "../support.hpp"
#include "module_state.hpp"

using namespace salience;
using support::contains;
using support::normal;
using support::same;
using support::state;
using torch::jit::Module;

namespace {

/// A convolution and a ReLU, so that every method finds what it looks for, and then `body`, which sees their
/// result as `y`, (N, 4, H, W). It writes into its input and into a buffer.
Module network(const std::string& body, const std::string& arguments = "self, x") {
  Module module("M");
  module.register_parameter("w", normal({4, 3, 3, 3}, at::kFloat, 8).requires_grad_(true), false);
  module.register_buffer("calls", torch::zeros({1}));
  module.register_attribute("training", c10::BoolType::get(), true);
  module.define("def forward(" + arguments +
                "):\n    x.mul_(0.5)\n    self.calls.add_(1.0)\n"
                "    y = torch.relu(torch.conv2d(x, self.w, None, [1, 1], [1, 1]))\n    " +
                body + "\n");
  return module;
}

const at::Tensor input = normal({2, 3, 6, 6}, at::kFloat, 9);

struct Method {
  std::string name;
  std::function<Attribution(const ScriptModel&, const at::Tensor&)> run;
};

/// Every method on the predicted class.
const std::vector<Method> methods{
    {"vanilla", [](const ScriptModel& model, const at::Tensor& x) { return GradientAttributor(model)(x); }},
    {"SmoothGrad",
     [](const ScriptModel& model, const at::Tensor& x) {
       return SmoothGrad(GradientAttributor(model), {.samples = 3})(x);
     }},
    {"Integrated Gradients", [](const ScriptModel& model,
                                const at::Tensor& x) { return IntegratedGradients(model, {.steps = 3})(x); }},
    {"Integrated Gradients to a tolerance",
     [](const ScriptModel& model, const at::Tensor& x) {
       return IntegratedGradients(model, {.tolerance = 0.5, .max_evaluations = 9})(x);
     }},
    {"guided backpropagation",
     [](const ScriptModel& model, const at::Tensor& x) { return GuidedBackprop(model)(x); }},
    {"Grad-CAM", [](const ScriptModel& model, const at::Tensor& x) { return GradCam(model)(x); }},
    {"Explanation",
     [](const ScriptModel& model, const at::Tensor& x) {
       return Explanation(model, x, TargetSelector{}, CamOptions{}).guided_grad_cam();
     }},
};

/// The kind of what is thrown and its words.
std::string outcome(const std::function<void()>& call) {
  try {
    call();
  } catch (const ArgumentError& error) {
    return std::string("ArgumentError: ") + error.what();
  } catch (const TargetError& error) {
    return std::string("TargetError: ") + error.what();
  } catch (const ModelError& error) {
    return std::string("ModelError: ") + error.what();
  } catch (const std::exception& error) {
    return std::string("not of this library: ") + error.what();
  }
  return "nothing thrown";
}

std::vector<char> bytes(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.layout() != at::kStrided || tensor.is_meta()) return {};
  const at::Tensor dense = tensor.contiguous();
  const auto* begin = static_cast<const char*>(dense.data_ptr());
  return {begin, begin + dense.nbytes()};
}

struct Bad {
  std::string name;
  Module model;
  std::string kind;                // of the error
  std::vector<std::string> words;  // what it says
  at::Tensor x = input;
  ModelOptions options{};
};

const Module good = network("return y.mean([2, 3])");

std::vector<Bad> bad_models() {
  std::vector<Bad> cases{
      {"a scalar", network("return y.sum()"), "TargetError", {"(N, K) or (N), got ()", "give a callable"}},
      {"(K), without the batch",
       network("return y.sum([0, 2, 3])"),
       "TargetError",
       {"one score per sample, (2), got (4)", "the first dimension of both must be the batch"}},
      {"(N, 0)", network("return y.sum([2, 3])[:, 0:0]"), "TargetError", {"got (2, 0)"}},
      {"(N, K, H, W)", network("return y"), "TargetError", {"got (2, 4, 6, 6)", "give a callable"}},
      {"integers", network("return y.sum([2, 3]).long()"), "ModelError", {"no gradient", "from integers"}},
      {"booleans", network("return y.sum([2, 3]) > 0.0"), "ModelError", {"no gradient"}},
      {"complex numbers",
       network("return torch.complex(y, y).sum([2, 3])"),
       "TargetError",
       {"a real output", "of ComplexFloat", "give a callable"}},
      {"a tuple",
       network("return y.sum([2, 3]), y"),
       "ModelError",
       {"'0' (2, ", "'1' (2, ", "ModelOptions::output (--entry)"}},
      {"a dict",
       network("return {'out': y.sum([2, 3]), 'aux': y}"),
       "ModelError",
       {"'out' (2, ", "'aux' (2, ", "ModelOptions::output (--entry)"}},
      {"a list",
       network("return [y, y.sum([2, 3])]"),
       "ModelError",
       {"'0' (2, ", "'1' (2, ", "ModelOptions::output (--entry)"}},
      {"a dict of tuples",
       network("return {'out': (y, y)}"),
       "ModelError",
       {"'out.0' (2, ", "'out.1' (2, ", "ModelOptions::output (--entry)"}},
      {"a text",
       network("assert y.dim() == 4\n    return 'crane'"),
       "ModelError",
       {"returns a String", "returns one"}},
      {"nothing",
       network("assert y.dim() == 4\n    return None"),
       "ModelError",
       {"returns a None", "returns one"}},
      {"a number",
       network("assert y.dim() == 4\n    return 0.5"),
       "ModelError",
       {"returns a Double", "returns one"}},
      {"detached", network("return y.detach().sum([2, 3])"), "ModelError", {"no gradient", "detached"}},
      {"a constant",
       network("assert y.dim() == 4\n    return torch.ones([x.size(0), 4])"),
       "ModelError",
       {"does not depend on the input"}},
      {"NaN",
       network("return y.sum([2, 3]) * float('nan')"),
       "TargetError",
       {"no class is the largest", "NaN in 2 of 2 samples", "or give the class"}},
      {"it raises",
       network("assert y.sum() == 0.5, 'my own words'\n    return y"),
       "ModelError",
       {"fails on an input of shape (2, 3, 6, 6) and type Float: ", "my own words"}},
      {"it raises without a word",
       network("assert y.sum() == 0.5\n    return y"),
       "ModelError",
       {"and type Float: an exception without a message"}},
      {"an index out of range", network("return [y][3]"), "ModelError", {"list index out of range"}},
      {"it cannot take this size",
       network("return y.reshape([7, -1])"),
       "ModelError",
       {"'[7, -1]' is invalid for input of size 288"}},
      {"two inputs",
       network("return y * mask", "self, x, mask"),
       "ModelError",
       {"takes 2 inputs (x, mask)", "bind the others"}},

      {"a channel too few", good, "ModelError", {"3 channels, but got 2 channels"}, input.slice(1, 0, 2)},
      {"no batch dimension", good, "ModelError", {"x.unsqueeze(0)"}, input[0]},
      {"float64 for a float32 model",
       good,
       "ModelError",
       {"the model is of type Float: convert the input"},
       input.to(at::kDouble)},
      {"float16 for a float32 model",
       good,
       "ModelError",
       {"the model is of type Float: convert the input"},
       input.to(at::kHalf)},
      {"no samples", good, "ArgumentError", {"at least one sample", "(0, 3, 6, 6)"}, input.slice(0, 0, 0)},
      {"no pixels", good, "ArgumentError", {"not empty, got (2, 3, 0, 6)"}, input.slice(2, 0, 0)},
      {"no channels", good, "ArgumentError", {"not empty, got (2, 0, 6, 6)"}, input.slice(1, 0, 0)},
      {"a number as input", good, "ArgumentError", {"a batch (N, ...)", "got ()"}, torch::ones({})},
      {"no input tensor", good, "ArgumentError", {"got (undefined)"}, at::Tensor()},
      {"integers as input", good, "ArgumentError", {"floating type, got Long"}, input.to(at::kLong)},
      {"complex numbers as input",
       good,
       "ArgumentError",
       {"floating type, got ComplexFloat"},
       input.to(at::kComplexFloat)},
      {"a sparse input", good, "ArgumentError", {"must be a dense tensor", "Sparse"}, input.to_sparse()},
      {"an input without values", good, "ArgumentError", {"holds its values", "meta"}, input.to(at::kMeta)},
      {"a NaN in the input",
       good,
       "TargetError",
       {"NaN in 2 of 2 samples", "look for NaN or infinity in the input"},
       input.mul(std::nanf(""))},
  };
  if (!at::hasCUDA()) {
    cases.push_back({"a device that is not there",
                     good,
                     "ModelError",
                     {"cannot be moved as the options say"},
                     input,
                     {.device = at::Device(at::kCUDA)}});
  }
  return cases;
}

}  // namespace

TEST_CASE("a bad model or input is one kind of error, in one line, for every method, and nothing changes") {
  for (Prepare prepare : {Prepare::none, Prepare::fast}) {
    for (Bad& bad : bad_models()) {
      bad.options.prepare = prepare;
      const std::string before = state(bad.model);
      const std::vector<char> values = bytes(bad.x);
      for (const Method& method : methods) {
        CAPTURE(bad.name);
        CAPTURE(method.name);
        const std::string text = outcome([&] { method.run(ScriptModel(bad.model, bad.options), bad.x); });
        CAPTURE(text);
        if (bad.name == "integers as input" && method.name == "Grad-CAM") {
          // Its gradient is with respect to a layer, so that a model which takes integers is explained.
          CHECK(text.starts_with("ModelError: "));
          CHECK(contains(text, "the model is of type Float: convert the input"));
        } else {
          CHECK(text.starts_with(bad.kind + ": "));
          for (const std::string& word : bad.words) CHECK(contains(text, word));
        }
        CHECK_FALSE(contains(text, "\n"));
        CHECK(text.size() < 400);
        CHECK(bytes(bad.x) == values);
      }
      CHECK(state(bad.model) == before);
    }
  }
}

TEST_CASE("a batch size that was fixed when the model was traced is named by the methods that need others") {
  const ScriptModel fixed(network("return torch.stack([y[0], y[1]]).mean([2, 3])"));
  for (const Method& method : methods) {
    CAPTURE(method.name);
    const std::string text = outcome([&] { method.run(fixed, input); });
    const bool needs_others = contains(method.name, "SmoothGrad") || contains(method.name, "Integrated");
    if (needs_others) {
      CHECK(text.starts_with("TargetError: the target fails on an output of shape (2, 4): "));
      CHECK(contains(text, "the model gave 2 rows for "));
      CHECK_FALSE(contains(text, "\n"));
    } else {
      CHECK(text == "nothing thrown");
    }
  }
}

TEST_CASE("a model that is unusual, or in training mode, is explained rightly") {
  const at::Tensor slope = GradientAttributor(ScriptModel{good})(input, ClassIndex{1}).values;
  const auto explained = [](const std::string& body, const auto& target, const at::Tensor& x) {
    return GradientAttributor(ScriptModel{network(body)})(x, target).values;
  };
  CHECK(same(explained("return y.mean([2, 3])[:, 1]", ArgMax{}, input), slope));    // (N)
  CHECK(same(explained("return y.mean([2, 3])[:, 1:2]", ArgMax{}, input), slope));  // (N, 1)
  CHECK(same(explained("return {'out': y.mean([2, 3])}", ClassIndex{1}, input), slope));
  CHECK(same(explained("return [y.mean([2, 3])]", ClassIndex{1}, input), slope));
  const auto mean_of_second = [](const at::Tensor& maps) { return maps.select(1, 1).mean({1, 2}); };
  CHECK(support::distance(explained("return y", mean_of_second, input), slope) < 1e-7);  // (N, K, H, W)
  const at::Tensor one = input.slice(0, 0, 1);
  const auto as_it_is = [](const at::Tensor& score) { return score; };
  CHECK(support::distance(explained("return y[:, 1].mean()", as_it_is, one), slope.slice(0, 0, 1)) < 1e-7);
  const auto real_part = [](const at::Tensor& z) { return at::real(z).select(1, 1); };
  CHECK(support::distance(explained("return torch.complex(y, y).mean([2, 3])", real_part, input), slope) <
        1e-7);
  const auto complex_score = [](const at::Tensor& z) { return z.select(1, 1); };
  CHECK(contains(
      outcome([&] { (void)explained("return torch.complex(y, y).mean([2, 3])", complex_score, input); }),
      "TargetError: the target must give real scores, got ComplexFloat; give a callable"));
  CHECK(same(explained("return torch.dropout(y.mean([2, 3]), 0.5, self.training)", ClassIndex{1}, input),
             slope));

  // Traced in training mode, dropout is part of the file. It is run as the file says: noise from LibTorch's
  // generator, of which a seed makes the same bits.
  const Module noisy = network("return torch.dropout(y, 0.5, True).mean([2, 3])");
  const auto draw = [&](std::uint64_t seed) {
    torch::manual_seed(seed);
    return GradientAttributor(ScriptModel{noisy})(input, ClassIndex{1}).values;
  };
  CHECK(same(draw(1), draw(1)));
  CHECK_FALSE(same(draw(1), draw(2)));
}

TEST_CASE("layouts: every method gives what it gives for a contiguous input") {
  const at::Tensor wide = normal({2, 6, 6, 12}, at::kFloat, 11);
  const at::Tensor x = normal({2, 3, 6, 6}, at::kFloat, 12);
  const std::vector<std::pair<std::string, at::Tensor>> layouts{
      {"transposed", x.transpose(2, 3)},
      {"every second", wide.slice(1, 0, 6, 2).slice(3, 1, 12, 2)},
      {"behind an offset", wide.slice(1, 3, 6).slice(3, 5, 11)},
      {"channels-last", x.contiguous(at::MemoryFormat::ChannelsLast)},
      {"one sample expanded", x.slice(0, 0, 1).expand({2, 3, 6, 6})},
      {"one channel expanded", x.slice(1, 0, 1).expand({2, 3, 6, 6})},
      {"one pixel expanded", x.slice(2, 0, 1).slice(3, 0, 1).expand({2, 3, 6, 6})},
      {"flipped", x.flip({2, 3})},
      {"lazily negated", at::_neg_view(x)},
  };
  // A negative stride is not to be had: LibTorch refuses it, and a flipped tensor is a copy.
  CHECK_THROWS_AS((void)x.as_strided({2, 2}, {-1, -2}, 10), c10::Error);
  CHECK(x.flip({2, 3}).is_contiguous());
  for (const Prepare prepare : {Prepare::none, Prepare::fast}) {
    const ScriptModel model(good, {.dtype = at::kDouble, .prepare = prepare});
    for (const auto& entry : layouts) {  // clang 14 captures no structured binding
      const std::string& layout = entry.first;
      const at::Tensor& laid = entry.second;
      const at::Tensor contiguous = laid.clone(at::MemoryFormat::Contiguous);
      const std::vector<char> before = bytes(contiguous);
      for (const Method& method : methods) {
        CAPTURE(layout);
        CAPTURE(method.name);
        const Attribution a = method.run(model, laid), b = method.run(model, contiguous);
        CHECK(same(a.target, b.target));
        CHECK(a.values.sizes() == b.values.sizes());
        CHECK(support::distance(a.values, b.values) <= 1e-6 * b.values.abs().max().item<double>());
        CHECK(bytes(laid.clone(at::MemoryFormat::Contiguous)) == before);
      }
    }
  }
}

TEST_CASE("NaN and infinity in a map are counted, refused by a view, or shown as zero") {
  // sqrt has an infinite slope at 0, and infinity times 0 is NaN
  const Module steep = network("return torch.sqrt(y * 0.0).sum([2, 3]) + y.sum([2, 3])");
  const Module endless = network("return y.sum([2, 3]) * float('inf')");
  for (const Module& module : {steep, endless}) {
    for (const Method& method : methods) {
      CAPTURE(method.name);
      const Attribution a = method.run(ScriptModel{module}, input);
      const std::int64_t bad = count_non_finite(a.values);
      CHECK(bad > 0);
      const std::string text = outcome([&] { (void)AttributionProcessor{}.images(a.values); });
      CHECK(contains(text, "ArgumentError: the attribution holds "));
      CHECK(contains(text, "NonFinite::zero"));
      const AttributionProcessor lenient{{.non_finite = NonFinite::zero, .colormap = "hot"}};
      CHECK(lenient.images(a.values).size() == 2);
      CHECK(count_non_finite(lenient.values(a.values)) == 0);
    }
  }
}
