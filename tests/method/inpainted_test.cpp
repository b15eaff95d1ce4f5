// What is removed is filled from what stays around it: against the filling by hand, a dense linear system.
#include <ATen/ATen.h>
#include <salience/method/feature_ablation.hpp>
#include <salience/method/hsic.hpp>
#include <salience/method/kernel_shap.hpp>
#include <salience/method/lime.hpp>
#include <salience/method/occlusion.hpp>
#include <salience/method/rise.hpp>
#include <salience/method/shapley_exact.hpp>
#include <salience/method/shapley_sampling.hpp>
#include <salience/method/sobol.hpp>
#include <salience/metric/completeness.hpp>
#include <salience/target/class_score.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

constexpr int height = 5, width = 6;
const at::Tensor weights = normal({2, height, width}, at::kDouble, 3);
const at::Tensor input = normal({3, 2, height, width}, at::kDouble, 4).add(1.0);
/// Four features in the picture's corners, both channels together.
const FeatureMask corners = FeatureMask::grid({2, 2});
const std::vector<at::Tensor> cells = [] {
  std::vector<at::Tensor> made;
  const at::Tensor numbers = corners(input).view({height, width});
  for (int i = 0; i < 4; ++i) made.push_back(numbers.eq(i));
  return made;
}();

at::Tensor network(const at::Tensor& x) {
  const at::Tensor y = (x * weights).sum({1, 2, 3});
  return at::stack({y, (x * x * weights).sum({1, 2, 3}) + y.tanh()}, 1);
}

/// x (1, C, H, W) without the pixels (H, W) that are missing, by its definition.
at::Tensor by_hand(const at::Tensor& x, const at::Tensor& missing) {
  if (missing.all().item<bool>()) return x.mean({2, 3}, true).expand_as(x);
  const std::int64_t pixels = height * width;
  at::Tensor matrix = at::zeros({pixels, pixels}, at::kDouble);
  const at::Tensor gone = missing.reshape({-1});
  for (int i = 0; i < pixels; ++i) {
    for (int j = 0; gone[i].item<bool>() && j < pixels; ++j) {
      const int dy = std::abs(i / width - j / width), dx = std::abs(i % width - j % width);
      if (i != j && dy <= 1 && dx <= 1) matrix[i][j] = dy + dx == 1 ? -1.0 / 6 : -1.0 / 12;
    }
    matrix[i][i] = gone[i].item<bool>() ? -matrix[i].sum() : at::ones({}, at::kDouble);
  }
  const at::Tensor known = x[0].view({2, pixels}).masked_fill(gone, 0.0).t();
  return at::linalg_solve(matrix, known).t().reshape(x.sizes());
}

double score(const at::Tensor& x) { return network(x)[0][1].item<double>(); }

/// The pixels that are missing of a coalition of corners, a bit each.
at::Tensor without(int coalition) {
  at::Tensor missing = at::zeros({height, width}, at::kBool);
  for (std::size_t i = 0; i < 4; ++i) {
    if ((coalition >> i & 1) == 0) missing = missing.logical_or(cells[i]);
  }
  return missing;
}

std::vector<double> game(const at::Tensor& x) {
  std::vector<double> v;
  for (int s = 0; s < 16; ++s) v.push_back(score(by_hand(x, without(s))));
  return v;
}

at::Tensor spread(const std::vector<double>& values) {
  at::Tensor map = at::zeros({1, 2, height, width}, at::kDouble);
  for (std::size_t i = 0; i < 4; ++i) map = map.masked_fill(cells[i], values[i]);
  return map;
}

at::Tensor shapley(const at::Tensor& x) {
  const std::vector<double> v = game(x);
  const double weight[] = {1.0 / 4, 1.0 / 12, 1.0 / 12, 1.0 / 4};  // |S|! (3 - |S|)! / 4!
  std::vector<double> values(4, 0.0);
  for (unsigned i = 0; i < 4; ++i) {
    for (unsigned s = 0; s < 16; ++s) {
      if ((s >> i & 1) == 0) values[i] += weight[std::popcount(s)] * (v[s | 1U << i] - v[s]);
    }
  }
  return spread(values);
}

}  // namespace

TEST_CASE("Occlusion fills a window from what is around it, a window over all with the mean colour") {
  for (const std::vector<std::int64_t>& window :
       {std::vector<std::int64_t>{2, 3}, {1, 1}, {2, 4, 5}, {height, width}}) {
    const OcclusionOptions options{.window = window, .baseline = Baseline::inpainted()};
    const Attribution a = Occlusion{network, options}(input, ClassIndex{1});
    const std::int64_t h = window[window.size() - 2], w = window.back();
    for (std::int64_t n = 0; n < 3; ++n) {
      const at::Tensor x = input.narrow(0, n, 1);
      at::Tensor sum = at::zeros({height, width}, at::kDouble), count = sum.clone();
      for (std::int64_t i = 0; i + h <= height; ++i) {
        for (std::int64_t j = 0; j + w <= width; ++j) {
          const at::Tensor missing = at::zeros({height, width}, at::kBool);
          missing.slice(0, i, i + h).slice(1, j, j + w).fill_(true);
          sum.add_(missing, score(x) - score(by_hand(x, missing)));
          count.add_(missing);
        }
      }
      CHECK(distance(a.values[n], (sum / count).expand({2, height, width})) < 1e-12);
    }
  }
}

TEST_CASE("methods of coalitions fill what is absent from what is there") {
  const ShapleyExact exact{network, {.mask = corners, .baseline = Baseline::inpainted()}};
  const FeatureAblation ablation{network, {.mask = corners, .baseline = Baseline::inpainted()}};
  // Of all coalitions, and of all orders but for chance, these are exact, too.
  const KernelShap kernel{network, {.mask = corners, .samples = 14, .baseline = Baseline::inpainted()}};
  const ShapleySampling sampling{network,
                                 {.mask = corners, .samples = 4000, .baseline = Baseline::inpainted()}};
  const Attribution a = exact(input, ClassIndex{1}), b = ablation(input, ClassIndex{1}),
                    c = kernel(input, ClassIndex{1}), d = sampling(input, ClassIndex{1});
  for (std::int64_t n = 0; n < 3; ++n) {
    const at::Tensor x = input.narrow(0, n, 1), truth = shapley(x);
    CHECK(distance(a.values[n], truth[0]) < 1e-12);
    CHECK(distance(c.values[n], truth[0]) < 1e-10);
    CHECK(distance(d.values[n], truth[0]) < 5.0 * d.values_error[n].max().item<double>());
    std::vector<double> changes;
    for (int i = 0; i < 4; ++i) changes.push_back(score(x) - score(by_hand(x, without(15 - (1 << i)))));
    CHECK(distance(b.values[n], spread(changes)[0]) < 1e-12);
  }
  CHECK(a.completeness_error.abs().max().item<double>() < 1e-12);
  // Beside another baseline, the mean of both games.
  const Baseline two = Baseline::mean_of({Baseline::constant(0.3), Baseline::inpainted()});
  const at::Tensor other =
      ShapleyExact{network, {.mask = corners, .baseline = Baseline::constant(0.3)}}(input, ClassIndex{1})
          .values;
  CHECK(distance(ShapleyExact{network, {.mask = corners, .baseline = two}}(input, ClassIndex{1}).values,
                 (a.values + other) / 2) < 1e-12);
  const at::Tensor windows =
      Occlusion{network, {.window = {2, 3}, .baseline = Baseline::constant(0.3)}}(input).values +
      Occlusion{network, {.window = {2, 3}, .baseline = Baseline::inpainted()}}(input).values;
  CHECK(distance(Occlusion{network, {.window = {2, 3}, .baseline = two}}(input).values, windows / 2) < 1e-12);
}

TEST_CASE("LIME weighs a perturbation by its distance as it was filled in") {
  const at::Tensor whole = input[0], part = by_hand(input.narrow(0, 0, 1), without(5))[0];
  const salience::detail::Lengths lengths = salience::detail::Lengths::between(whole, part);
  CHECK(std::abs(lengths.product - (whole * part).sum().item<double>()) < 1e-12);
  CHECK(std::abs(lengths.square - part.pow(2).sum().item<double>()) < 1e-12);
  CHECK(std::abs(lengths.distance - (whole - part).pow(2).sum().item<double>()) < 1e-12);
  CHECK(std::abs(lengths.whole - whole.pow(2).sum().item<double>()) < 1e-12);
  for (const LimeDistance measure : {LimeDistance::euclidean, LimeDistance::cosine}) {
    const double kernel = measure == LimeDistance::euclidean ? 4.0 : 0.3;
    const Lime lime{network,
                    {.mask = corners,
                     .samples = 20000,
                     .fit = LimeFit::ridge,
                     .alpha = 0.0,
                     .distance = measure,
                     .kernel_width = kernel,
                     .baseline = Baseline::inpainted()}};
    const at::Tensor x = input.narrow(0, 1, 1);
    // All 16 coalitions are as likely, so the weighted least squares over them are the limit of the draws.
    at::Tensor design = at::ones({16, 5}, at::kDouble), scores = at::zeros({16, 1}, at::kDouble),
               root = at::zeros({16, 1}, at::kDouble);
    for (int s = 0; s < 16; ++s) {
      const at::Tensor z = by_hand(x, without(s));
      for (int i = 0; i < 4; ++i) design[s][i] = s >> i & 1;
      scores[s][0] = score(z);
      const double d = measure == LimeDistance::euclidean
                           ? (x - z).norm().item<double>()
                           : 1.0 - ((x * z).sum() / (x.norm() * z.norm())).item<double>();
      root[s][0] = std::exp(-d * d / (4.0 * kernel * kernel));
    }
    const at::Tensor a = design * root, beta = at::linalg_solve(a.t().matmul(a), a.t().matmul(scores * root));
    std::vector<double> values;
    for (int i = 0; i < 4; ++i) values.push_back(beta[i][0].item<double>());
    const Attribution result = lime(x, ClassIndex{1});
    const at::Tensor off = (result.values - spread(values)).abs();
    CHECK(off.le(5.0 * result.values_error).all().item<bool>());
    CHECK(off.max().item<double>() < 0.02 * result.values.abs().max().item<double>());
  }
}

TEST_CASE("what is filled in does not depend on chunk, batch and layout, and keeps the dtype") {
  const auto check = [](const auto& method_of) {
    const at::Tensor whole = method_of(0)(input, ClassIndex{1}).values;
    CHECK(same(method_of(0)(input, ClassIndex{1}).values, whole));
    CHECK(distance(method_of(0)(input.transpose(2, 3).contiguous().transpose(2, 3), ClassIndex{1}).values,
                   whole) < 1e-13);
    for (const std::int64_t chunk : {1, 2, 5})
      CHECK(distance(method_of(chunk)(input, ClassIndex{1}).values, whole) < 1e-13);
    for (std::int64_t n = 0; n < 3; ++n)
      CHECK(distance(method_of(0)(input.narrow(0, n, 1), ClassIndex{1}).values, whole.narrow(0, n, 1)) <
            1e-13);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const at::Tensor values = method_of(0)(input.to(dtype), ClassIndex{1}).values;
      CHECK((values.scalar_type() == dtype));
      CHECK(distance(values.to(at::kDouble), whole) <
            (dtype == at::kFloat ? 1e-5 : 0.05) * whole.abs().max().item<double>());
    }
  };
  const auto widened = [](const at::Tensor& x) { return network(x.to(at::kDouble)); };
  check([&](std::int64_t chunk) {
    return Occlusion{widened, {.window = {2, 3}, .baseline = Baseline::inpainted(), .chunk = chunk}};
  });
  check([&](std::int64_t chunk) {
    return ShapleyExact{widened, {.mask = corners, .baseline = Baseline::inpainted(), .chunk = chunk}};
  });
  check([&](std::int64_t chunk) {
    return Lime{widened,
                {.mask = corners,
                 .samples = 60,
                 .fit = LimeFit::ridge,
                 .baseline = Baseline::inpainted(),
                 .chunk = chunk}};
  });
}

TEST_CASE("parts of pixels, inputs without pixels and methods that remove none are told") {
  const Baseline baseline = Baseline::inpainted();
  const auto told = [&](auto call) { return message<ArgumentError>(call); };
  const char* part = "a part covers only some channels of a pixel";
  CHECK(contains(told([&] {
                   Occlusion{network, {.window = {1, 2, 3}, .baseline = baseline}}(input);
                 }),
                 part));
  CHECK(contains(told([&] { FeatureAblation{network, {.baseline = baseline}}(input); }), part));
  const at::Tensor channels = at::arange(2, at::kLong).view({1, 2, 1, 1});
  CHECK(contains(told([&] {
                   ShapleyExact{network, {.mask = channels, .baseline = baseline}}(input);
                 }),
                 part));
  const auto sums = [](const at::Tensor& x) { return x.flatten(1).sum(1, true); };
  const at::Tensor signal = normal({2, 3, 8});
  const char* picture = "the input of an in-painted baseline must be pictures (N, C, H, W), got (2, 3, 8)";
  CHECK(contains(told([&] { Occlusion{sums, {.window = {2}, .baseline = baseline}}(signal); }), picture));
  CHECK(contains(told([&] { FeatureAblation{sums, {.baseline = baseline}}(signal); }), picture));
  const char* method = "needs a method that removes whole pixels: Occlusion, FeatureAblation";
  CHECK(contains(told([&] { Rise{network, {.baseline = baseline}}(input); }), method));
  CHECK(contains(told([&] { Sobol{network, {.baseline = baseline}}(input); }), method));
  CHECK(contains(told([&] { Hsic{network, {.baseline = baseline}}(input); }), method));
  const Attribution a = Occlusion{network, {.window = {2, 3}}}(input);
  CHECK(contains(told([&] { Completeness{network, {.baseline = baseline}}(input, a); }), method));
}
