#include <salience/metric/completeness.hpp>

#include <salience/method/gradient_attributor.hpp>
#include <salience/method/input_x_gradient.hpp>
#include <salience/method/integrated_gradients.hpp>

#include <doctest/doctest.h>

#include <cmath>

#include "pictures.hpp"

using namespace salience;
using pictures::map;
using pictures::plain;
using support::contains;
using support::distance;
using support::message;
using support::normal;

namespace {

const at::Tensor input = normal({3, 2, 3, 4}, at::kDouble, 2);
const auto square = [](const at::Tensor& x) { return x.square().flatten(1).sum(1, true); };

}  // namespace

TEST_CASE("Integrated Gradients add up; Input x Gradient of a square is twice too much") {
  const Completeness completeness(square);
  CHECK(completeness(input, IntegratedGradients(square)(input, plain), plain).relative.max().item<double>() <
        1e-12);
  const CompletenessError missing = completeness(input, InputXGradient(square)(input, plain), plain);
  CHECK(distance(missing.absolute, square(input).select(1, 0)) < 1e-12);
  CHECK(distance(missing.relative, missing.relative.mul(0.0).add(1.0)) < 1e-12);
}

TEST_CASE("it is signed, of the logit of the attribution's class, and begins at the baseline") {
  const pictures::Linear two{normal({2, 2, 3, 4}, at::kDouble, 5)};
  const Baseline ones = Baseline::constant(1.0);
  const Attribution own = InputXGradient(two)(input, PerSample{{1, 0, 1}});
  CHECK(Completeness(two)(input, own).absolute.abs().max().item<double>() < 1e-12);
  const at::Tensor start = two.weight.flatten(1).sum(1).index_select(0, own.target);
  CHECK(distance(Completeness(two, {.baseline = ones})(input, own).absolute, start) < 1e-12);
}

TEST_CASE("nothing of nothing is complete; something of nothing is infinitely far off") {
  const auto flat = [](const at::Tensor& x) { return x.flatten(1).sum(1, true).mul(0.0); };
  const Completeness completeness(flat);
  CHECK(completeness(input, map(input.mul(0.0)), plain).relative.eq(0.0).all().item<bool>());
  CHECK(std::isinf(completeness(input, map(input), plain).relative[0].item<double>()));
}

TEST_CASE("several baselines and values of another batch are refused") {
  const Baseline two = Baseline::each(normal({2, 1, 1, 1}));
  CHECK(contains(
      message<ArgumentError>([&] { Completeness(square, {.baseline = two})(input, map(input), plain); }),
      "the baselines of a metric must be 1, got 2"));
  CHECK(
      contains(message<ArgumentError>([&] { Completeness{square}(input, map(input.slice(0, 0, 2)), plain); }),
               "are no attribution of an input of shape (3, 2, 3, 4)"));
}
