// By which class and score the metrics judge an attribution.
#include <salience/metric/completeness.hpp>
#include <salience/metric/confidence.hpp>
#include <salience/metric/deletion_insertion.hpp>
#include <salience/metric/infidelity.hpp>
#include <salience/metric/road.hpp>

#include <salience/method/gradient_attributor.hpp>
#include <salience/method/integrated_gradients.hpp>

#include <c10/core/DispatchKey.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "../warnings.hpp"
#include "pictures.hpp"

using namespace salience;
using support::CatchWarnings;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

/// A net of one hidden layer over pictures (N, 1, 4, 4), of so many logits.
struct Net {
  explicit Net(std::int64_t outputs)
      : first(normal({16, 5}, at::kDouble, 1)), second(normal({5, outputs}, at::kDouble, 2)) {}
  at::Tensor operator()(const at::Tensor& x) const {
    return x.flatten(1).matmul(first).tanh().matmul(second);
  }
  at::Tensor first, second;
};

const Net net(4);
const at::Tensor input = normal({2, 1, 4, 4}, at::kDouble, 3);
const at::Tensor values = normal({2, 1, 4, 4}, at::kDouble, 4);

Attribution of_classes(std::vector<std::int64_t> classes) {
  return {{.target = salience::detail::vector_tensor<std::int64_t>(classes)}, values};
}

/// What each metric says of an attribution, judged by what else is given.
template <class M>
std::vector<at::Tensor> shares(const M& model, const Attribution& attribution, const auto&... target) {
  const RoadCurves road = Road(model, {.fractions = {0.3, 0.6}})(input, attribution, target...);
  return {Deletion(model, {.steps = 8})(input, attribution, target...).score,
          Insertion(model, {.steps = 8})(input, attribution, target...).score, road.most_relevant_first,
          road.least_relevant_first, Confidence(model)(input, attribution, target...).drop};
}

void all_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b, double within = 0.0) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(distance(a[i], b[i]) <= within);
}

/// What each metric says of a target that does not fit.
std::vector<std::string> refusals(const Attribution& attribution, const auto& target) {
  const auto said = [&](const auto& metric) {
    return message<ArgumentError>([&] { (void)metric(input, attribution, target); });
  };
  return {said(Deletion(net)),   said(Insertion(net)),  said(Road(net)),
          said(Confidence(net)), said(Infidelity(net)), said(Completeness(net))};
}

}  // namespace

TEST_CASE("a class that is not the attribution's is refused") {
  const Attribution attribution = of_classes({3, 1});
  const std::string expected =
      "the target's class 2 is not the class 1 that the attribution explains (sample 1); leave the target "
      "out, "
      "or attribute that class";
  for (const std::string& said : refusals(attribution, PerSample{{3, 2}})) CHECK(said == expected);
  for (const std::string& said : refusals(attribution, TargetSelector{PerSample{{3, 2}}, Probability{}})) {
    CHECK(said == expected);
  }
  for (const std::string& said : refusals(attribution, ClassIndex{3})) {
    CHECK(contains(said, "class 3 is not the class 1"));
  }
  const at::Tensor held = salience::detail::vector_tensor<std::int64_t>(std::vector<std::int64_t>{0, 1});
  for (const std::string& said : refusals(attribution, FixedTarget{TargetSelector{}, held})) {
    CHECK(contains(said, "class 0 is not the class 3 that the attribution explains (sample 0)"));
  }
}

TEST_CASE("a bare class, the attribution alone and ArgMax mean the probability of its class") {
  const Attribution attribution = of_classes({2, 2});
  const auto judged = shares(net, attribution);
  const auto by_logit = [&] {
    return Deletion(net, {.steps = 8})(input, attribution, TargetSelector{ClassIndex{2}});
  };
  CHECK(distance(by_logit().score, judged[0]) > 0.1);  // a whole target has its own score
  all_same(shares(net, attribution, ClassIndex{2}), judged);
  all_same(shares(net, attribution, ArgMax{}), judged);
  all_same(shares(net, attribution, TargetSelector{ClassIndex{2}, Probability{}}), judged);
  all_same(shares(net, attribution, TargetSelector{ArgMax{}, Probability{}}), judged);
  all_same(shares(net, pictures::map(values), ClassIndex{2}), judged);
  for (const at::Tensor& scores : judged)
    CHECK(scores.ge(0.0).logical_and(scores.le(1.0)).all().item<bool>());
}

TEST_CASE("confidence takes no score below 0, of the whole input or of what is shown") {
  const auto said = [](const at::Tensor& x, const auto& model) {
    return message<ArgumentError>([&] { Confidence{model}(x, pictures::map(x.abs()), pictures::plain); });
  };
  const auto sum = [](const at::Tensor& x) { return x.flatten(1).sum(1, true); };
  const std::string expected =
      "the score of a confidence must be at least 0, as a probability is; a logit is no confidence, got ";
  CHECK(said(support::tensor({-1, -1}, {1, 1, 2}), sum) == expected + "-2");
  CHECK(said(support::tensor({1, 1}, {1, 1, 2}), sum) == "nothing thrown");
  CHECK(said(support::tensor({-1, 2}, {1, 1, 2}), [&](const at::Tensor& x) {
          return sum(x).mul(sum(x)).sub(0.5);  // 0.5 of all, (-0.5 + 2)^2 - 0.5 of what is shown
        }) == "nothing thrown");
  CHECK(said(support::tensor({-1, 2}, {1, 1, 2}), [&](const at::Tensor& x) {
          return sum(x).neg().add(1.25);  // 0.25 of all
        }) == expected + "-0.25");
}

TEST_CASE("of a single logit the curves are the sigmoid's, of either class") {
  const Net one(1);
  const auto plain = [&](const at::Tensor& out) { return out.select(1, 0); };
  for (const std::int64_t index : {0, 1}) {
    const Attribution attribution = of_classes({index, index});
    // By the logit alone, and the sigmoid by hand.
    const PerturbationCurve logits = Deletion(one, {.steps = 8})(input, attribution, plain);
    const at::Tensor by_hand = (index == 1 ? logits.score : logits.score.neg()).sigmoid();
    const PerturbationCurve curve = Deletion(one, {.steps = 8})(input, attribution);
    CHECK(distance(curve.score, by_hand) < 1e-15);
    CHECK(curve.score.amax(1).sub(curve.score.amin(1)).min().item<double>() > 0.05);  // and not constant
    const RoadCurves road = Road(one, {.fractions = {0.3, 0.6}})(input, attribution);
    const RoadCurves road_logits = Road(one, {.fractions = {0.3, 0.6}})(input, attribution, plain);
    CHECK(distance(road.most_relevant_first,
                   (index == 1 ? road_logits.most_relevant_first : road_logits.most_relevant_first.neg())
                       .sigmoid()) < 1e-15);
    const at::Tensor hits =
        Road(one, {.fractions = {0.3, 0.6}})(input, attribution, TargetSelector{ArgMax{}, Predicted{}})
            .most_relevant_first;
    const at::Tensor positive = road_logits.most_relevant_first.gt(0.0);
    CHECK(same(hits, (index == 1 ? positive : positive.logical_not()).to(at::kDouble)));
  }
  const Attribution predicted = GradientAttributor(one)(input);
  CHECK(Infidelity(one)(input, predicted).isfinite().all().item<bool>());
  const Attribution ig = IntegratedGradients(one, {.steps = 200})(input);
  CHECK(Completeness(one)(input, ig).relative.max().item<double>() < 1e-6);
}

TEST_CASE("a net that ends in a softmax or a sigmoid is judged as the net without") {
  const auto softmax = [](const at::Tensor& x) { return net(x).softmax(1); };
  const Attribution attribution = of_classes({2, 0});
  all_same(shares(softmax, attribution), shares(net, attribution), 1e-12);

  const Net one(1);
  const auto sigmoid = [&](const at::Tensor& x) { return one(x).sigmoid(); };
  // Stated once, where it is attributed.
  const TargetSelector stated(ClassIndex{0}, Probability{}, OutputType::probabilities);
  const Attribution plain = GradientAttributor(one)(input, TargetSelector{ClassIndex{0}, Probability{}});
  const Attribution ended = GradientAttributor(sigmoid)(input, stated);
  CHECK(distance(ended.values, plain.values) < 1e-12);
  const CatchWarnings warnings;
  all_same(shares(sigmoid, ended), shares(one, plain), 1e-12);
  all_same(shares(sigmoid, ended, ClassIndex{0}), shares(one, plain), 1e-12);
  all_same(shares(sigmoid, ended, TargetSelector{ClassIndex{0}, Probability{}}), shares(one, plain), 1e-12);
  CHECK(warnings.messages().empty());
}

TEST_CASE("completeness and infidelity judge by the score that was attributed") {
  const auto incomplete = [](const Attribution& attribution, const auto&... target) {
    return Completeness(net)(input, attribution, target...).relative.max().template item<double>();
  };
  const auto judge = [&](const auto& score) {
    const TargetSelector target(ClassIndex{2}, score);
    const Attribution ig = IntegratedGradients(net, {.steps = 200})(input, target);
    CHECK(incomplete(ig) < 1e-6);
    CHECK(incomplete(ig, ClassIndex{2}) < 1e-6);
    CHECK(incomplete(ig, target) < 1e-6);
    const Attribution gradient = GradientAttributor(net)(input, target);
    const Infidelity infidelity(net, {.samples = 8});
    CHECK(same(infidelity(input, gradient), infidelity(input, gradient, target)));
    return infidelity(input, gradient);
  };
  const at::Tensor by_logit = judge(Logit{}), by_probability = judge(Probability{});
  judge(LogProbability{});
  CHECK(distance(by_logit, by_probability) > 1e-6);
  const Attribution ig =
      IntegratedGradients(net, {.steps = 200})(input, TargetSelector{ClassIndex{2}, Probability{}});
  CHECK(incomplete(ig, TargetSelector{ClassIndex{2}}) > 0.01);  // a whole target is taken at its word
}

TEST_CASE("a score of one's own must be given to completeness and infidelity too") {
  const auto margin = [](const at::Tensor& out) { return out.select(1, 0).sub(out.select(1, 1)); };
  const Attribution ig = IntegratedGradients(net, {.steps = 200})(input, margin);
  CHECK(Completeness(net)(input, ig, margin).relative.max().item<double>() < 1e-6);
  for (const std::string& said : {message<ArgumentError>([&] { Completeness{net}(input, ig); }),
                                  message<ArgumentError>([&] { Infidelity{net}(input, ig); })}) {
    CHECK(
        said ==
        "the attribution explains another score than the logit or probability of this class; give the metric "
        "the target that was attributed");
  }
  // A function that is a class's logit is found by the class.
  const Attribution first = IntegratedGradients(net, {.steps = 200})(input, pictures::plain);
  CHECK(Completeness(net)(input, first, ClassIndex{0}).relative.max().item<double>() < 1e-6);
}

TEST_CASE(
    "whatever modes the caller's thread is in, the metrics are the same, also from a blurred baseline") {
  const at::Tensor single = input.to(at::kFloat);  // autocast leaves float64 alone
  const auto model = [](const at::Tensor& x) { return net(x.to(at::kDouble)); };
  const Attribution attribution = of_classes({1, 2});
  const Baseline blurred = Baseline::blurred(1.0);
  const auto all = [&] {
    const RoadCurves road = Road(model, {.fractions = {0.3, 0.6}})(single, attribution);
    return std::vector<at::Tensor>{
        Deletion(model, {.baseline = blurred, .steps = 8})(single, attribution).score,
        Insertion(model, {.baseline = blurred, .steps = 8})(single, attribution).area,
        road.most_relevant_first,
        road.gap,
        Confidence(model, {.baseline = blurred})(single, attribution).drop,
        Completeness(model, {.baseline = blurred})(single, attribution).absolute,
        Infidelity(model, {.samples = 3})(single, attribution)};
  };
  const auto check_same = [](const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      CHECK(same(a[i], b[i]));
      CHECK_FALSE(a[i].is_inference());
    }
  };
  const std::vector<at::Tensor> expected = all();
  {
    const c10::InferenceMode inference;
    check_same(all(), expected);
  }
  {
    const c10::NoGradGuard no_grad;
    check_same(all(), expected);
  }
  // As at::autocast does it, in every version.
  c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, false);
  check_same(all(), expected);
  c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, true);
}
