#include <salience/metric/sensitivity.hpp>

#include <salience/method/gradient_attributor.hpp>
#include <salience/method/input_x_gradient.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "pictures.hpp"

using namespace salience;
using pictures::plain;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

const pictures::Linear model{normal({1, 2, 3, 4}, at::kDouble, 1)};
const at::Tensor input = normal({2, 2, 3, 4}, at::kDouble, 2);

/// The input itself as its attribution, and what it was asked about.
struct Identity {
  std::vector<at::Tensor>* asked;
  Attribution operator()(const at::Tensor& x, const auto&) const {
    asked->push_back(x.clone());
    return {{}, x.clone()};
  }
};

}  // namespace

TEST_CASE("a gradient that does not depend on the input does not move") {
  const Sensitivity figure = MaxSensitivity(GradientAttributor(model))(input, plain);
  CHECK(figure.maximum.max().item<double>() == 0.0);
  CHECK(figure.mean.max().item<double>() == 0.0);
}

TEST_CASE("the copies are uniform in the cube; the figure is the largest and the mean relative L2 change") {
  std::vector<at::Tensor> asked;
  const at::Tensor x = normal({1, 1000}, at::kDouble, 3);
  const MaxSensitivity sensitivity(Identity{&asked}, {.samples = 20, .radius = 0.5, .chunk = 1});
  const Sensitivity figure = sensitivity(x);
  REQUIRE(asked.size() == 21);
  double largest = 0.0, mean = 0.0, square = 0.0;
  for (std::size_t k = 1; k < asked.size(); ++k) {
    const at::Tensor change = asked[k].sub(x);
    CHECK(change.abs().max().item<double>() < 0.5);
    square += change.square().mean().item<double>() / 20;
    const double moved = change.norm().item<double>() / x.norm().item<double>();
    largest = std::max(largest, moved);
    mean += moved / 20;
  }
  CHECK(square == doctest::Approx(0.25 / 3).epsilon(0.03));  // the variance of a uniform value
  CHECK(figure.maximum.item<double>() == doctest::Approx(largest).epsilon(1e-12));
  CHECK(figure.mean.item<double>() == doctest::Approx(mean).epsilon(1e-12));
  CHECK(largest > mean);
}

TEST_CASE("of a linear model's Input x Gradient it is the change of the input, weighted") {
  std::vector<at::Tensor> asked;
  MaxSensitivity(Identity{&asked}, {.chunk = 1})(input);
  const Sensitivity figure = MaxSensitivity(InputXGradient(model))(input, plain);
  for (std::int64_t n = 0; n < 2; ++n) {
    double largest = 0.0;
    for (std::size_t k = 1 + static_cast<std::size_t>(n); k < asked.size(); k += 2) {
      largest = std::max(largest, asked[k][0].sub(input[n]).mul(model.weight[0]).norm().item<double>());
    }
    CHECK(figure.maximum[n].item<double>() ==
          doctest::Approx(largest / input[n].mul(model.weight[0]).norm().item<double>()).epsilon(1e-9));
  }
}

TEST_CASE("where the map is zero the change is not divided; the class is held") {
  const auto square = [](const at::Tensor& x) { return x.square().mul(0.5).flatten(1).sum(1, true); };
  std::vector<at::Tensor> asked;
  const at::Tensor zero = input.slice(0, 0, 1).mul(0.0);
  MaxSensitivity(Identity{&asked}, {.samples = 1})(zero);
  const Sensitivity figure = MaxSensitivity(GradientAttributor(square), {.samples = 1})(zero, plain);
  CHECK(figure.maximum.item<double>() == doctest::Approx(asked[1].norm().item<double>()));

  const auto classes = [](const at::Tensor& x) { return x; };  // two that change places with the noise
  const at::Tensor close = support::tensor({1.0, 0.999}, {1, 2});
  CHECK(MaxSensitivity(GradientAttributor(classes), {.samples = 50})(close).maximum.item<double>() == 0.0);
}

TEST_CASE("seeds, chunks and batches: the same noise, the same bits") {
  const auto bumpy = [](const at::Tensor& x) { return x.sin().mul(x).flatten(2).sum(2); };
  const auto figure = [&](std::uint64_t seed, std::int64_t chunk, std::int64_t first, std::int64_t end) {
    const MaxSensitivity sensitivity(GradientAttributor{bumpy}, {.seed = seed, .chunk = chunk});
    return sensitivity(input.slice(0, first, end), ClassIndex{1}).maximum;
  };
  const at::Tensor all = figure(1, 0, 0, 2);
  for (const std::int64_t chunk : {1, 3, 1000}) CHECK(same(figure(1, chunk, 0, 2), all));
  CHECK(same(figure(1, 0, 1, 2), all.slice(0, 1, 2)));
  CHECK_FALSE(same(figure(2, 0, 0, 2), all));
}

TEST_CASE("progress is told after each copy; a stop leaves NaN for each sample that lacks one") {
  const auto bumpy = [](const at::Tensor& x) { return x.sin().mul(x).flatten(2).sum(2); };
  const auto figures = [&](const ProgressCallback& progress) {
    return MaxSensitivity(GradientAttributor{bumpy}, {.samples = 4, .progress = progress})(input);
  };
  std::vector<Progress> told;
  const auto tell = [&told](const Progress& p) { return told.push_back(p), true; };
  const Sensitivity whole = figures(tell), part = figures(pictures::stop_after(7));
  REQUIRE(told.size() == 8);
  CHECK(told.front().done == 1);
  CHECK(told.back().done == 8);
  CHECK(told.back().total == 8);
  CHECK(same(part.maximum[0], whole.maximum[0]));
  CHECK(same(part.mean[0], whole.mean[0]));
  CHECK(std::isnan(part.maximum[1].item<double>()));
  CHECK(std::isnan(part.mean[1].item<double>()));
}

TEST_CASE("options out of range are refused") {
  const auto refused = [](MaxSensitivityOptions options) {
    return message<ArgumentError>([&] { MaxSensitivity{GradientAttributor{model}, options}; });
  };
  CHECK(contains(refused({.samples = 0}), "samples must be"));
  CHECK(contains(refused({.radius = 0.0}), "radius must be"));
  CHECK(contains(refused({.chunk = -1}), "chunk must be"));
}
