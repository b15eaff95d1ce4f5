#include <salience/target/class_output.hpp>

#include <salience/method/gradient_attributor.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/target/prediction.hpp>
#include <salience/target/target_selector.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "../support.hpp"
#include "../warnings.hpp"

using namespace salience;
using support::CatchWarnings;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

double sigmoid(double z) { return 1.0 / (1.0 + std::exp(-z)); }

at::Tensor classes(std::vector<std::int64_t> indices) {
  return salience::detail::vector_tensor<std::int64_t>(indices);
}

/// Two samples of a binary classifier: no, yes.
const at::Tensor single = tensor({-2.0, 3.0}, {2, 1});

/// A net of one hidden layer and so many logits.
struct Net {
  explicit Net(std::int64_t outputs)
      : first(normal({6, 5}, at::kDouble, 1)), second(normal({5, outputs}, at::kDouble, 2)) {}
  at::Tensor operator()(const at::Tensor& x) const {
    return x.matmul(first.to(x.scalar_type())).tanh().matmul(second.to(x.scalar_type()));
  }
  at::Tensor first, second;
};

const at::Tensor input = normal({4, 6}, at::kDouble, 3);

/// An own score: the log-odds of the chosen class.
const auto log_odds = [](const at::Tensor& logits, const at::Tensor& chosen) {
  return Probability{}(logits, chosen).logit();
};

}  // namespace

TEST_CASE("a single logit has two classes: z and -z, their sigmoids, and the sign as prediction") {
  const at::Tensor yes = classes({1, 1}), no = classes({0, 0});
  CHECK(same(TargetSelector{}.choose(single), classes({0, 1})));
  CHECK(same(TargetSelector{}.choose(tensor({0.0}, {1, 1})), classes({0})));  // z > 0 is class 1
  CHECK(same(TargetSelector(ClassIndex{1}).score(single, yes), tensor({-2, 3}, {2})));
  CHECK(same(TargetSelector(ClassIndex{0}).score(single, no), tensor({2, -3}, {2})));
  const TargetSelector probability(ArgMax{}, Probability{});
  CHECK(distance(probability.score(single, yes), tensor({sigmoid(-2), sigmoid(3)}, {2})) < 1e-15);
  CHECK(distance(probability.score(single, no), tensor({sigmoid(2), sigmoid(-3)}, {2})) < 1e-15);
  const TargetSelector logarithm(ArgMax{}, LogProbability{});
  CHECK(distance(logarithm.score(single, yes), tensor({std::log(sigmoid(-2)), std::log(sigmoid(3))}, {2})) <
        1e-15);
  CHECK(logarithm.score(tensor({-800.0}, {1, 1}), classes({1})).item<double>() == -800.0);
  CHECK(message<TargetError>([] { (void)TargetSelector(ClassIndex{2}).choose(single); }) ==
        "there is no class 2: the model has 2 classes (0 to 1)");
  CHECK(contains(message<TargetError>([] {
                   (void)TargetSelector{}.choose(tensor({std::nan("")}, {1, 1}));
                 }),
                 "holds NaN in 1 of 1"));
}

TEST_CASE("a single logit's gradient is that of the sign, and of a probability the sigmoid's derivative") {
  const Net net(1);
  const at::Tensor z = net(input).select(1, 0);
  const at::Tensor slope =
      GradientAttributor(net)(input, [](const at::Tensor& out) { return out.select(1, 0); }).values;
  const auto gradient = [&](const auto& target) { return GradientAttributor(net)(input, target).values; };
  CHECK(same(gradient(ClassIndex{1}), slope));
  CHECK(same(gradient(ClassIndex{0}), slope.neg()));
  CHECK(same(gradient(ArgMax{}), slope.mul(z.sign().unsqueeze(1))));
  const at::Tensor p = z.sigmoid();
  const at::Tensor expected = slope.mul(p.mul(p.neg().add(1.0)).unsqueeze(1));
  CHECK(expected.abs().max().item<double>() > 0.01);
  CHECK(distance(gradient(TargetSelector{ClassIndex{1}, Probability{}}), expected) < 1e-15);
  CHECK(distance(gradient(TargetSelector{ClassIndex{0}, Probability{}}), expected.neg()) < 1e-15);
  // A row is what it is alone.
  for (std::int64_t n = 0; n < 4; ++n) {
    const at::Tensor alone = GradientAttributor(net)(input.slice(0, n, n + 1)).values[0];
    CHECK(distance(alone, gradient(ArgMax{})[n]) < 1e-15);
  }
}

TEST_CASE("an output (N) is a bare score: class 0 alone, and no probability") {
  const at::Tensor bare = tensor({-3, 4}, {2});
  CHECK(same(TargetSelector{}.choose(bare), classes({0, 0})));
  CHECK(same(TargetSelector{}.score(bare, classes({0, 0})), bare));
  const std::string expected =
      "an output of shape (2) is a bare score, which has no probability; a model of a single logit gives (N, "
      "1)";
  CHECK(message<TargetError>([&] {
          (void)TargetSelector(ArgMax{}, Probability{}).score(bare, classes({0, 0}));
        }) == expected);
  CHECK(message<TargetError>([&] {
          (void)TargetSelector(ArgMax{}, LogProbability{}).score(bare, classes({0, 0}));
        }) == expected);
}

TEST_CASE("a net that ends in a softmax gives the probabilities of the net without, and their gradients") {
  const Net net(3);
  const auto ended = [&](const at::Tensor& x) { return net(x).softmax(1); };
  const CatchWarnings warnings;
  const auto agree = [&](const auto& score, OutputType type) {
    const TargetSelector plain(ArgMax{}, score), read(ArgMax{}, score, type);
    const Attribution truth = GradientAttributor(net)(input, plain);
    const Attribution ours = GradientAttributor(ended)(input, read);
    CHECK(same(ours.target, truth.target));
    CHECK(distance(ours.score, truth.score) < 1e-12);
    CHECK(distance(ours.values, truth.values) < 1e-12);
    CHECK((ours.output_type == OutputType::probabilities));
    CHECK((truth.output_type == OutputType::logits));
  };
  for (const OutputType type : {OutputType::automatic, OutputType::probabilities}) {
    agree(Probability{}, type);
    agree(LogProbability{}, type);
    agree(log_odds, type);
  }
  CHECK(warnings.messages().size() == 3);  // of the three that were not stated
  for (const std::string& text : warnings.messages()) {
    CHECK(contains(text, "probabilities already"));
    CHECK(contains(text, "OutputType::probabilities"));
  }
  const Attribution as_it_stands = GradientAttributor(ended)(input);
  CHECK(same(as_it_stands.score, std::get<0>(ended(input).max(1))));
}

TEST_CASE("an output is what it was on the clean input, also where another point looks like probabilities") {
  const auto logits = [](const at::Tensor& x) { return x.mul(1.0); };
  const at::Tensor x = tensor({2, 1}, {1, 2});
  const auto off = [&](OutputType type) {
    const TargetSelector target(ClassIndex{1}, Probability{}, type);
    const Baseline start = Baseline::tensor(tensor({0, 1}, {1, 2}));  // this one does
    return IntegratedGradients(logits, {.steps = 8, .baseline = start})(x, target)
        .completeness_error.item<double>();
  };
  CHECK(off(OutputType::automatic) == off(OutputType::logits));
}

TEST_CASE("it is said once for all noisy copies") {
  const auto ended = [](const at::Tensor& x) { return Net(3)(x).softmax(1); };
  const CatchWarnings warnings;
  SmoothGrad{GradientAttributor{ended}, {.samples = 5}}(input);
  CHECK(warnings.messages().size() == 1);
}

TEST_CASE("logits that are stated get their softmax, whatever they look like") {
  const at::Tensor rows = tensor({0.25, 0.75, /**/ 0.5, 0.5}, {2, 2});
  const at::Tensor chosen = classes({1, 1});
  const CatchWarnings warnings;
  const TargetSelector stated(ArgMax{}, Probability{}, OutputType::logits);
  CHECK(same(stated.choose(rows), classes({1, 0})));
  CHECK(distance(stated.score(rows, chosen), tensor({sigmoid(0.5), 0.5}, {2})) < 1e-15);
  CHECK(warnings.messages().empty());
  const TargetSelector noticed(ArgMax{}, Probability{});
  CHECK(same(noticed.score(rows, chosen), tensor({0.75, 0.5}, {2})));
}

TEST_CASE("rows are told apart one by one, and a row is read the same in any batch") {
  const at::Tensor rows =
      tensor({0.25, 0.5, 0.25, /**/ 0.25, 0.5, 0.26, /**/ -0.25, 1.0, 0.25, /**/ 2.0, -0.5, -0.5}, {4, 3});
  CHECK(same(ClassOutput(rows).holds_probabilities(), tensor({1, 0, 0, 0}, {4}).to(at::kBool)));
  const at::Tensor all = ClassOutput(rows).probabilities();
  CHECK(same(all[0], rows[0]));
  CHECK(distance(all.slice(0, 1), rows.slice(0, 1).softmax(1)) == 0.0);
  const TargetSelector logarithm(ClassIndex{1}, LogProbability{});
  CHECK(distance(logarithm.score(rows, classes({1, 1, 1, 1})), all.select(1, 1).log()) < 1e-15);
  for (std::int64_t n = 0; n < 4; ++n)
    CHECK(same(ClassOutput(rows.slice(0, n, n + 1)).probabilities()[0], all[n]));
}

TEST_CASE("ordinary logits keep their bits, and nothing is said") {
  const CatchWarnings warnings;
  for (const auto dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::Tensor rows = normal({50, 7}, dtype, 5);
    const TargetSelector probability(ArgMax{}, Probability{});
    const at::Tensor chosen = probability.choose(rows);
    CHECK(same(chosen, rows.argmax(1)));
    CHECK(same(probability.score(rows, chosen), std::get<0>(rows.softmax(1).max(1))));
    CHECK(same(ClassOutput(rows).logits(chosen), rows));
  }
  CHECK(warnings.messages().empty());
}

TEST_CASE("a softmax is recognised in each type and for many classes, and its own zeros do no harm") {
  for (const auto dtype : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const std::int64_t count : {2, 10, 1000, 21843}) {
      const at::Tensor rows = normal({20, count}, at::kDouble, 7).mul(3.0).softmax(1).to(dtype);
      CHECK(ClassOutput(rows).holds_probabilities().all().item<bool>());
      if (dtype == at::kDouble || dtype == at::kFloat) {
        const at::Tensor computed = normal({20, count}, dtype, 8).mul(3.0).softmax(1);
        CHECK(ClassOutput(computed).holds_probabilities().all().item<bool>());
      }
    }
  }
  const at::Tensor logits = tensor({0.0, 200.0, 1.0}, {1, 3}).to(at::kFloat).requires_grad_(true);
  for (const OutputType type : {OutputType::automatic, OutputType::probabilities}) {
    const TargetSelector odds(ClassIndex{1}, log_odds, type);
    const TargetSelector sum(ClassIndex{1}, LogProbability{}, type);
    const at::Tensor certain = logits.softmax(1);
    CHECK(certain[0][0].item<float>() == 0.0F);
    logits.mutable_grad().reset();
    sum.score(certain, classes({1})).sum().backward();
    CHECK(logits.grad().isfinite().all().item<bool>());
    CHECK(odds.score(certain, classes({0})).isfinite().all().item<bool>());
  }
}

TEST_CASE("a single probability must be stated, and one that may be one is said") {
  const at::Tensor p = tensor({0.2, 0.9}, {2, 1});
  {
    const CatchWarnings warnings;
    CHECK(same(TargetSelector{}.choose(p), classes({1, 1})));
    REQUIRE(warnings.messages().size() == 1);
    CHECK(contains(warnings.messages()[0], "is read as a logit"));
    CHECK(contains(warnings.messages()[0], "OutputType::probabilities"));
  }
  const CatchWarnings warnings;
  const TargetSelector stated(ArgMax{}, Logit{}, OutputType::probabilities);
  CHECK(same(stated.choose(p), classes({0, 1})));
  CHECK(same(stated.score(p, classes({1, 1})), p.select(1, 0)));
  CHECK(distance(stated.score(p, classes({0, 0})), tensor({0.8, 0.1}, {2})) < 1e-15);
  const TargetSelector probability(ArgMax{}, Probability{}, OutputType::probabilities);
  CHECK(same(probability.score(p, classes({1, 1})), p.select(1, 0)));
  const TargetSelector odds(ArgMax{}, log_odds, OutputType::probabilities);
  CHECK(distance(odds.score(p, classes({1, 0})), tensor({std::log(0.2 / 0.8), std::log(0.1 / 0.9)}, {2})) <
        1e-14);
  (void)TargetSelector(ArgMax{}, Logit{}, OutputType::logits).choose(p);
  (void)TargetSelector{}.choose(tensor({0.2, 1.9}, {2, 1}));
  CHECK(warnings.messages().empty());
}

TEST_CASE("stated probabilities outside of [0, 1] are an error; sigmoids of several labels are not") {
  const TargetSelector stated(ClassIndex{0}, Probability{}, OutputType::probabilities);
  CHECK(message<TargetError>([&] {
          (void)stated.choose(tensor({0.5, -3.25}, {1, 2}));
        }) ==
        "the output is stated to be probabilities, but -3.25 is not in [0, 1]; OutputType::logits takes it "
        "as it "
        "is");
  const at::Tensor labels = tensor({0.9, 0.8}, {1, 2});
  CHECK(same(stated.score(labels, stated.choose(labels)), tensor({0.9}, {1})));
}

TEST_CASE("a score of one's own gets logits whose softmax are the probabilities") {
  const TargetSelector odds(ArgMax{}, log_odds);
  CHECK(distance(odds.score(single, classes({1, 1})), tensor({-2, 3}, {2})) < 1e-14);
  CHECK(distance(odds.score(single, classes({0, 1})), tensor({2, 3}, {2})) < 1e-14);
  const auto own_logit = [](const auto& logits, const auto& chosen) {
    return logits.gather(1, chosen.unsqueeze(1)).squeeze(1);
  };
  CHECK(same(TargetSelector(ArgMax{}, own_logit).score(single, classes({0, 1})), tensor({2, 3}, {2})));
  struct RunnerUp {
    at::Tensor choose(const at::Tensor& rows) const { return rows.argsort(std::int64_t{1}).select(1, 0); }
  };
  CHECK(same(TargetSelector(RunnerUp{}).choose(single), classes({1, 0})));
}

TEST_CASE("one label names both classes of a single logit") {
  const auto of = [](const std::string& name, const Labels& labels) {
    return TargetSelector(ClassName{name, labels}).choose(single)[0].item<std::int64_t>();
  };
  CHECK(of("cat", {"cat"}) == 1);
  CHECK(of("not cat", {"cat"}) == 0);
  CHECK(of("Felis catus", {"cat, Felis catus"}) == 1);
  CHECK(of("dog", {"dog", "cat"}) == 0);
  CHECK(of("cat", {"dog", "cat"}) == 1);
  CHECK(contains(message<TargetError>([&] { of("dog", {"cat"}); }), "no label 'dog'; the nearest are 'cat'"));
  CHECK(TargetSelector(ClassName{"cat", {"cat"}}).choose(tensor({1, 2}, {1, 2}))[0].item<std::int64_t>() ==
        0);
}

TEST_CASE("top_k of a single logit, of probabilities, of a bare score") {
  const CatchWarnings warnings;
  const auto yes = top_k(tensor({2.0}, {1, 1}), {"cat"});
  REQUIRE(yes.size() == 2);
  CHECK(yes[0].label == "cat");
  CHECK(yes[0].index == 1);
  CHECK(yes[0].probability == doctest::Approx(sigmoid(2)).epsilon(1e-15));
  CHECK(yes[0].logit == 2.0);
  CHECK(yes[1].label == "not cat");
  CHECK(yes[1].probability == doctest::Approx(sigmoid(-2)).epsilon(1e-15));
  CHECK(yes[1].logit == -2.0);
  CHECK(top_k(tensor({-2.0}, {1, 1}), {"dog", "cat"})[0].label == "dog");
  CHECK(top_k(tensor({-2.0}, {1, 1}))[0].label == "0");
  const auto stated = top_k(tensor({0.25}, {1, 1}), {}, 1, OutputType::probabilities);
  CHECK(stated[0].index == 0);
  CHECK(stated[0].probability == 0.75);
  CHECK(top_k(tensor({0.1, 0.7, 0.2}, {3}), {}, 1, OutputType::probabilities)[0].probability == 0.7);
  CHECK(warnings.messages().empty());

  const at::Tensor narrow = normal({1, 9}, at::kDouble, 9).softmax(1).to(at::kBFloat16);
  CHECK(top_k(narrow)[0].probability == narrow.max().to(at::kDouble).item<double>());
  CHECK(warnings.messages().size() == 1);
  CHECK(contains(message<ArgumentError>([] { top_k(tensor({1}, {1})); }),
                 "a single logit is (1, 1), and a bare score has no probability, got (1)"));
}
