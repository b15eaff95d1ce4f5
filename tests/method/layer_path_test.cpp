// InternalInfluence, LayerConductance, GradientShap and LayerGradientShap against closed forms.
#include <salience/method/gradient_shap.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/internal_influence.hpp>
#include <salience/method/layer_conductance.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/features_head.hpp>
#include <salience/target/neuron.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::relative;
using support::same;

namespace {

const at::Tensor weight = normal({4, 6}, at::kDouble, 1), other = normal({6, 3}, at::kDouble, 2).mul(0.4);
const at::Tensor input = normal({3, 4}, at::kDouble, 3);

/// tanh of a linear layer, and a smooth head.
const FeaturesHead smooth{[](const at::Tensor& x) { return x.matmul(weight).tanh(); },
                          [](const at::Tensor& a) { return a.square().add(a).matmul(other); }};
/// A linear layer, and one ReLU.
const FeaturesHead bent{[](const at::Tensor& x) { return x.matmul(weight); },
                        [](const at::Tensor& a) { return a.relu().matmul(other); }};

}  // namespace

TEST_CASE("internal influence is the mean gradient at the layer, along the inputs") {
  const Attribution a = InternalInfluence(smooth, {.layer = "features", .steps = 30})(input, ClassIndex{1});
  // d/da of a^2 + a, with a = tanh(t z): the mean of 2 tanh(t z) + 1 is 2 log cosh(z) / z + 1.
  const at::Tensor z = input.matmul(weight);
  const at::Tensor expected = z.cosh().log().div(z).mul(2.0).add(1.0).mul(other.select(1, 1));
  CHECK(distance(a.values, expected) < 1e-12);
  CHECK(a.values_of == ValuesOf::layer);
  const Attribution two = InternalInfluence(
      smooth, {.layer = "features", .steps = 7, .baseline = Baseline::each(normal({2, 4}, at::kDouble, 5))})(
      input, ClassIndex{1});
  at::Tensor mean = at::Tensor(expected.mul(0.0));
  for (std::int64_t i = 0; i < 2; ++i) {
    mean.add_(InternalInfluence(smooth, {.layer = "features",
                                         .steps = 7,
                                         .baseline = Baseline::tensor(normal({2, 4}, at::kDouble, 5)[i])})(
                  input, ClassIndex{1})
                  .values,
              0.5);
  }
  CHECK(distance(two.values, mean) < 1e-14);
  CHECK(two.evaluations[0].item<std::int64_t>() == 14);
}

TEST_CASE("conductance is exact behind one ReLU, whose bends lie between the steps' middles") {
  for (const std::int64_t steps : {1, 2, 50}) {
    const Attribution a = LayerConductance(bent, {.layer = "features", .steps = steps})(input, ClassIndex{2});
    const at::Tensor expected = input.matmul(weight).relu().mul(other.select(1, 2));
    CHECK(distance(a.values, expected) < 1e-14);
    CHECK(a.completeness_error.abs().max().item<double>() < 1e-13);
  }
}

TEST_CASE(
    "the error of the conductance falls with the square of the steps, and the result says how large it is") {
  const auto error = [&](std::int64_t steps) {
    const Attribution a =
        LayerConductance(smooth, {.layer = "features", .steps = steps})(input, ClassIndex{0});
    // The head is a sum over the layer's elements, so the change of each element is its conductance.
    const at::Tensor end = input.matmul(weight).tanh();
    const at::Tensor expected = end.square().add(end).mul(other.select(1, 0));
    CHECK(distance(a.values.sum(1), expected.sum(1).add(a.completeness_error)) < 1e-12);
    return distance(a.values, expected);
  };
  CHECK(error(1) < 1e-12);  // the head is quadratic, for which the middle of the chord is exact
  const FeaturesHead curved{[](const at::Tensor& x) { return x.matmul(weight); },
                            [](const at::Tensor& a) { return a.tanh().matmul(other); }};
  const auto residual = [&](std::int64_t steps) {
    return LayerConductance(curved, {.layer = "features", .steps = steps})(input, ClassIndex{0})
        .completeness_error.abs()
        .max()
        .item<double>();
  };
  CHECK(residual(40) < residual(20) / 3.9);
  CHECK(residual(40) > residual(20) / 4.1);
  CHECK(residual(2000) < 1e-6);
}

TEST_CASE("conductance and influence at a layer that is a chunk's, a batch's or a sample's are the same") {
  const auto all = [&](std::int64_t chunk, const at::Tensor& x) {
    return std::vector{
        LayerConductance(smooth, {.layer = "features", .steps = 9, .chunk = chunk})(x, ClassIndex{0}).values,
        InternalInfluence(smooth, {.layer = "features", .steps = 9, .chunk = chunk})(x, ClassIndex{0}).values,
        GradientShap(smooth, {.samples = 9, .noise = 0.2, .chunk = chunk})(x, ClassIndex{0}).values,
        LayerGradientShap(smooth, {"features"}, {.samples = 9, .noise = 0.2, .chunk = chunk})(x,
                                                                                              ClassIndex{0})
            .values};
  };
  const auto whole = all(0, input);
  for (const std::int64_t chunk : {1, 2, 5}) {
    const auto parts = all(chunk, input);
    for (std::size_t i = 0; i < whole.size(); ++i) CHECK(distance(parts[i], whole[i]) < 1e-14);
  }
  for (std::int64_t n = 0; n < 3; ++n) {
    const auto one = all(0, input.narrow(0, n, 1));
    for (std::size_t i = 0; i < whole.size(); ++i) CHECK(distance(one[i], whole[i].narrow(0, n, 1)) < 1e-14);
  }
}

TEST_CASE("gradient SHAP comes as near to expected gradients as its standard error says") {
  const at::Tensor baselines = normal({3, 4}, at::kDouble, 8);
  const at::Tensor expected =
      IntegratedGradients(smooth, {.steps = 40, .baseline = Baseline::each(baselines)})(input, ClassIndex{1})
          .values;
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const Attribution a = GradientShap(
        smooth, {.samples = 2000, .baseline = Baseline::each(baselines), .seed = seed})(input, ClassIndex{1});
    for (std::int64_t n = 0; n < 3; ++n) {
      const double error = relative(a.values[n], expected[n]), said = a.standard_error[n].item<double>();
      CHECK(error < 3 * said);
      CHECK(error > said / 30);
      CHECK(said < 0.1);
    }
  }
  const GradientShap shap(smooth, {.samples = 4, .noise = 0.1, .seed = 5});
  CHECK(same(shap(input).values, shap(input).values));
  CHECK(
      !same(shap(input).values, GradientShap(smooth, {.samples = 4, .noise = 0.1, .seed = 6})(input).values));
}

TEST_CASE("gradient SHAP at a layer is the gradient along the inputs times the layer's change") {
  const at::Tensor start = normal({4}, at::kDouble, 9);
  const at::Tensor change = input.matmul(weight).tanh().sub(start.matmul(weight).tanh());
  const at::Tensor influence =
      InternalInfluence(smooth, {.layer = "features", .steps = 40, .baseline = Baseline::tensor(start)})(
          input, ClassIndex{1})
          .values;
  const Attribution a = LayerGradientShap(
      smooth, {"features"}, {.samples = 4000, .baseline = Baseline::tensor(start)})(input, ClassIndex{1});
  for (std::int64_t n = 0; n < 3; ++n) {
    CHECK(relative(a.values[n], influence[n].mul(change[n])) < 3 * a.standard_error[n].item<double>());
  }
  CHECK(a.standard_error.max().item<double>() < 0.02);
  CHECK(a.values_of == ValuesOf::layer);
}

TEST_CASE("progress, and options out of range") {
  std::int64_t told = 0;
  const auto stop = [&](const Progress& p) { return (told = p.done) < 5; };
  CHECK(LayerConductance(smooth, {.layer = "features", .progress = stop})(input).stopped);
  CHECK(told == 5);
  CHECK(InternalInfluence(smooth, {.progress = stop})(input).stopped);
  CHECK(told == 5);
  CHECK(GradientShap(smooth, {.progress = stop})(input).stopped);
  CHECK(told == 5);
  const auto refused = [](const auto& call) { return message<Error>(call); };
  CHECK(contains(refused([] { InternalInfluence(smooth, {.steps = 0}); }), "steps"));
  CHECK(contains(refused([] { LayerConductance(smooth, {.layer = "features", .steps = 0}); }), "steps"));
  CHECK(contains(refused([] { GradientShap(smooth, {.samples = 0}); }), "samples"));
  CHECK(contains(refused([] { GradientShap(smooth, {.noise = -1}); }), "noise"));
  CHECK(contains(refused([] { LayerConductance(smooth, {.layer = "head"})(input); }), "'features'"));
  const AnyModel plain([](const at::Tensor& x) { return x.matmul(weight); });
  CHECK(contains(refused([&] { LayerConductance(plain, {.layer = "features"})(input); }), "cannot be cut"));
}
