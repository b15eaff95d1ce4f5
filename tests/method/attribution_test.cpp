#include <salience/method/attribution.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/model/features_head.hpp>

#include <ATen/ops/conv2d.h>
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;

namespace {

// A tensor more or less in Attribution than values, their errors and the list of figures is seen here; the
// two flags between them take as much as two.
static_assert(sizeof(Attribution) ==
              sizeof(Explained) + sizeof(at::Tensor) * (4 + salience::detail::figure_members.size()));

const at::Tensor kernel = normal({4, 3, 3, 3}), weight = normal({4, 5}, at::kDouble, 1);
const at::Tensor input = normal({3, 3, 8, 8}, at::kDouble, 2);
const FeaturesHead model{[](const at::Tensor& x) { return at::conv2d(x, kernel, {}, 1, 1).relu(); },
                         [](const at::Tensor& a) {
                           return a.mean({2, 3}).matmul(weight);
                         }};

/// Every field of an attribution has something in it that differs between samples.
Attribution full() {
  Attribution a = IntegratedGradients(model, {.steps = 3})(input);
  std::int64_t i = 0;
  for (const auto& [name, member] : salience::detail::figure_members) {
    if (!(a.*member).defined()) a.*member = normal({3}, at::kDouble, static_cast<int>(10 + i++));
  }
  a.values_error = normal({3, 3, 8, 8}, at::kDouble, 5);
  a.stopped = true;
  return a;
}

}  // namespace

TEST_CASE("figures: those that a method has, under the names of the members") {
  const auto names = [](const Attribution& a) {
    std::vector<std::string> all;
    for (const Figure& figure : figures(a)) all.emplace_back(figure.name);
    return all;
  };
  using Names = std::vector<std::string>;
  CHECK(figures(Attribution{}).empty());
  CHECK(names(GradientAttributor(model)(input)).empty());
  CHECK((names(GradCam(model)(input)) == Names{"nothing_positive"}));
  CHECK((names(GuidedGradCam(model)(input)) == Names{"nothing_positive"}));
  CHECK((names(SmoothGrad(GradientAttributor(model), {.samples = 2})(input)) ==
         Names{"copies", "standard_error"}));
  CHECK((names(IntegratedGradients(model, {.steps = 2})(input)) ==
         Names{"evaluations", "completeness_error", "relative_completeness_error"}));
  const Attribution exact = IntegratedGradients(model, {.tolerance = 0.1})(input);
  CHECK((names(exact) == Names{"evaluations", "completeness_error", "relative_completeness_error",
                               "map_error", "converged"}));
  CHECK(figures(exact)[3].values.is_same(exact.map_error));
  CHECK(figures(exact)[4].values.is_same(exact.converged));
}

TEST_CASE("figures: all of them, each once") {
  const Attribution a = full();
  std::set<std::string> names;
  for (const Figure& figure : figures(a)) names.emplace(figure.name);
  CHECK(names.size() == 11);
  CHECK(figures(a)[0].values.is_same(a.nothing_positive));
  CHECK(figures(a)[1].values.is_same(a.copies));
  CHECK(figures(a)[2].values.is_same(a.standard_error));
  CHECK(figures(a)[3].values.is_same(a.evaluations));
  CHECK(figures(a)[4].values.is_same(a.completeness_error));
  CHECK(figures(a)[5].values.is_same(a.relative_completeness_error));
}

TEST_CASE("sample n of a result: everything of it, with a batch of one") {
  Attribution a = full();
  a.values_of = ValuesOf::layer;
  a.output_type = OutputType::logits;
  for (const std::int64_t n : {0, 1, 2}) {
    const Attribution one = a.sample(n);
    const auto row = [n](const at::Tensor& t) { return t.slice(0, n, n + 1); };
    CHECK(same(one.values, row(a.values)));
    CHECK(same(one.values_error, row(a.values_error)));
    CHECK(same(one.target, row(a.target)));
    CHECK(same(one.score, row(a.score)));
    CHECK(same(one.logits, row(a.logits)));
    for (std::size_t i = 0; i < figures(a).size(); ++i) {
      CHECK((figures(one)[i].name == figures(a)[i].name));
      CHECK(same(figures(one)[i].values, row(figures(a)[i].values)));
    }
    CHECK(one.stopped);
    CHECK((one.values_of == ValuesOf::layer));
    CHECK((one.output_type == OutputType::logits));

    const Explained told = GradientAttributor(model).predict(input).sample(n);
    CHECK(same(told.target, row(a.target)));
    CHECK(same(told.score, row(a.score)));
    CHECK(same(told.logits, row(a.logits)));
  }
}

TEST_CASE("sample n: of what is not there and of what has no batch") {
  const Attribution a = GradientAttributor(model)(input);
  CHECK(
      contains(message<ArgumentError>([&] { (void)a.sample(3); }), "sample must be at least 0 and below 3"));
  CHECK(contains(message<ArgumentError>([&] { (void)a.sample(-1); }), "sample must be"));
  CHECK_THROWS_AS((void)Attribution{}.sample(0), ArgumentError);
  CHECK_THROWS_AS((void)GradientAttributor(model).predict(input).sample(3), ArgumentError);

  // A map from elsewhere has values alone; a score function chooses no class.
  CHECK(same(Attribution{{}, input}.sample(1).values, input.slice(0, 1, 2)));
  const auto first = [](const at::Tensor& logits) { return logits.select(1, 0); };
  CHECK_FALSE(GradientAttributor(model)(input, first).sample(1).target.defined());

  // Whose first dimension is not the batch stays whole.
  const auto turned = [](const at::Tensor& x) { return model(x).t(); };
  const auto of_rows = [](const at::Tensor& output) { return output.select(0, 2); };
  const Attribution t = GradientAttributor(turned)(input, of_rows);
  CHECK((t.sample(2).logits.sizes() == at::IntArrayRef({5, 3})));
  CHECK(same(t.sample(2).score, t.score.slice(0, 2, 3)));
}

TEST_CASE("values_of: elements of the input, regions of it, or a layer's") {
  CHECK((GradientAttributor(model)(input).values_of == ValuesOf::elements));
  CHECK((IntegratedGradients(model, {.steps = 2})(input).values_of == ValuesOf::elements));
  CHECK((GradCam(model)(input).values_of == ValuesOf::regions));
  CHECK((EigenCam(model, {.upsample = false})(input).values_of == ValuesOf::regions));
  CHECK((GuidedGradCam(model)(input).values_of == ValuesOf::elements));
  CHECK((LayerActivation(model)(input).values_of == ValuesOf::layer));
  CHECK((LayerGradXActivation(model)(input).values_of == ValuesOf::layer));
  // SmoothGrad gives what it wraps.
  const SmoothGradOptions few{.samples = 2};
  CHECK((SmoothGrad(GradientAttributor(model), few)(input).values_of == ValuesOf::elements));
  CHECK((SmoothGrad(GradCam(model), few)(input).values_of == ValuesOf::regions));
  CHECK((SmoothGrad(SmoothGrad(LayerGradient(model), few), few)(input).values_of == ValuesOf::layer));
}
