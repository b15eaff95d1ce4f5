// Rise against its formula mask by mask, the expectation of linear models, and its own standard errors.
#include <ATen/ATen.h>
#include <salience/method/detail/grid_masks.hpp>
#include <salience/method/rise.hpp>
#include <salience/target/class_score.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor weights = normal({2, 9, 12}, at::kDouble, 3);

/// Two channels of 9 x 12; the second class is not linear.
at::Tensor network(const at::Tensor& x) {
  const at::Tensor y = (x * weights).sum({1, 2, 3});
  return at::stack({y, (x * x * weights).sum({1, 2, 3}) + y.tanh(), -y}, 1);
}
const at::Tensor input = normal({3, 2, 9, 12}, at::kDouble, 4);

/// A mask by its definition: value and place of each cell, as a place of the upsampled grid is read.
double read(const at::Tensor& cells, std::int64_t dimension, std::int64_t up, double place,
            const auto& rest) {
  const std::int64_t size = cells.size(dimension);
  const double at = std::clamp((place + 0.5) * static_cast<double>(size) / static_cast<double>(up) - 0.5, 0.0,
                               static_cast<double>(size - 1));
  const auto low = static_cast<std::int64_t>(at);
  const std::int64_t high = std::min(low + 1, size - 1);
  const double share = at - static_cast<double>(low);
  return (1.0 - share) * rest(low) + share * rest(high);
}

}  // namespace

TEST_CASE("Rise: a mask is kept cells, upsampled to one cell more, shifted by less than a cell") {
  const salience::detail::PlaceGrid grid{{3, 5}, {9, 12}};  // cells of 3 x 3 places, upsampled to 12 x 18
  const salience::detail::RiseMasks masks(grid, 0.4, 11, at::kDouble);
  std::vector<int> shifts(9, 0);
  double kept = 0.0;
  const int draws = 900;
  for (int k = 0; k < draws; ++k) {
    const salience::detail::HashedDraw draw(11, k);
    at::Tensor cells = at::empty({3, 5}, at::kDouble);
    for (std::int64_t i = 0; i < 15; ++i)
      cells.view(-1)[i] = draw.uniform(static_cast<std::size_t>(i)) < 0.4 ? 1.0 : 0.0;
    kept += cells.sum().item<double>();
    const auto down = static_cast<std::int64_t>(draw.uniform(15) * 3.0),
               right = static_cast<std::int64_t>(draw.uniform(16) * 3.0);
    ++shifts[static_cast<std::size_t>(down * 3 + right)];
    if (k >= 5) continue;
    const at::Tensor mask = masks(k);
    CHECK((mask.sizes() == at::IntArrayRef{1, 9, 12}));
    for (std::int64_t i = 0; i < 9; ++i) {
      for (std::int64_t j = 0; j < 12; ++j) {
        const double truth = read(cells, 0, 12, static_cast<double>(i + down), [&](std::int64_t row) {
          return read(cells, 1, 18, static_cast<double>(j + right),
                      [&](std::int64_t column) { return cells[row][column].item<double>(); });
        });
        CHECK(mask[0][i][j].item<double>() == doctest::Approx(truth).epsilon(1e-12));
      }
    }
  }
  // Cells are kept with the probability that was asked for, and all shifts are as likely.
  CHECK(std::abs(kept / (15.0 * draws) - 0.4) < 4.0 * std::sqrt(0.24 / (15.0 * draws)));
  for (const int count : shifts) CHECK(std::abs(count - 100) < 40);
}

TEST_CASE("Rise by its formula, mask by mask, each with a shift of its own, for any batch and chunk") {
  const salience::detail::RiseMasks masks({{3, 4}, {9, 12}}, 0.3, 7, at::kDouble);
  const at::Tensor b = at::full_like(input, 0.2);
  at::Tensor sum = at::zeros({3, 1, 9, 12}, at::kDouble), squares = at::zeros_like(sum);
  for (std::int64_t k = 0; k < 40; ++k) {
    const at::Tensor m = masks(k);
    const at::Tensor f = network(input * m + b * (1 - m)).select(1, 1);
    const at::Tensor v = f.view({3, 1, 1, 1}) * m / 0.3;
    sum += v;
    squares += v * v;
  }
  const at::Tensor mean = sum / 40, error = ((squares / 40 - mean * mean) / 39).sqrt();
  RiseOptions options{
      .samples = 40, .grid = {3, 4}, .probability = 0.3, .baseline = Baseline::constant(0.2), .seed = 7};
  const Attribution whole = Rise{network, options}(input, ClassIndex{1});
  CHECK(distance(whole.values, mean) < 1e-12);
  CHECK(distance(whole.values_error, error) < 1e-12);
  CHECK(whole.values_of == ValuesOf::regions);
  CHECK(same(whole.score, network(input).select(1, 1)));
  CHECK(same(whole.copies, at::full({3}, 40, at::kLong)));
  CHECK(distance(whole.standard_error, error.flatten(1).norm(2, 1) / mean.flatten(1).norm(2, 1)) < 1e-12);
  CHECK(!whole.converged.defined());
  for (const std::int64_t chunk : {1, 2, 5, 7, 1000}) {
    options.chunk = chunk;
    const Rise method{network, options};
    CHECK(distance(method(input, ClassIndex{1}).values, whole.values) < 1e-13);
    for (std::int64_t n = 0; n < 3; ++n) {
      const Attribution one = method(input.narrow(0, n, 1), ClassIndex{1});
      CHECK(distance(one.values, whole.values.narrow(0, n, 1)) < 1e-13);
      CHECK(distance(one.values_error, whole.values_error.narrow(0, n, 1)) < 1e-13);
    }
  }
  // A model whose rows do not depend on the batch shows that the draws are the same bit for bit.
  const auto rows = [](const at::Tensor& x) {
    return (x.select(1, 0).select(1, 4).select(1, 3) * 3.0 + x.select(1, 1).select(1, 8).select(1, 11))
               .view({-1, 1}) *
           at::tensor({1.0, -2.0}, at::kDouble);
  };
  options.chunk = 1;
  const at::Tensor singly = Rise{rows, options}(input).values;
  options.chunk = 50;
  CHECK(same(Rise{rows, options}(input).values, singly));
  CHECK(support::same_from_threads(
            [method = Rise{rows, options}](const at::Tensor& x) { return method(x, ClassIndex{0}); }, input,
            5) == 20);
  options.seed = 8;
  CHECK(distance(Rise{rows, options}(input).values, singly) > 1e-3);
}

TEST_CASE("Rise of a linear model: the expectation, within the stated standard error over 200 seeds") {
  // Signals: E[(c + sum_j w_j x_j m_j) m_i] / p = c + sum_j w_j x_j (p + C_ij / p), C the masks' covariance.
  const at::Tensor x = normal({1, 1, 12}, at::kDouble, 5), w = normal({12}, at::kDouble, 6);
  const auto linear = [&](const at::Tensor& of) { return (of.select(1, 0).matmul(w) + 2.0).view({-1, 1}); };
  const double p = 0.4;
  at::Tensor second = at::zeros({12, 12}, at::kDouble);  // E[m_i m_j], by all masks there are
  for (std::int64_t kept = 0; kept < 8; ++kept) {
    const at::Tensor cells = at::tensor({kept & 1, kept >> 1 & 1, kept >> 2 & 1}, at::kDouble);
    const double probability =
        std::pow(p, cells.sum().item<double>()) * std::pow(1.0 - p, 3.0 - cells.sum().item<double>());
    const at::Tensor up = at::upsample_linear1d(cells.view({1, 1, 3}), {16}, false)[0][0];
    for (std::int64_t shift = 0; shift < 4; ++shift) {
      const at::Tensor m = up.narrow(0, shift, 12);
      second += at::outer(m, m) * (probability / 4.0);
    }
  }
  const at::Tensor truth = 2.0 + second.matmul(w * x[0][0]) / p;
  at::Tensor inside = at::zeros({12}, at::kDouble), mean = at::zeros({12}, at::kDouble);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Attribution a = Rise{linear, {.samples = 100, .grid = {3}, .probability = p, .seed = seed}}(x);
    const at::Tensor off = a.values[0][0] - truth;
    inside += (off.abs() < 1.984 * a.values_error[0][0]).to(at::kDouble);  // Student's t, 99 degrees
    mean += off / 200;
  }
  CHECK(mean.abs().max().item<double>() < 0.1);
  INFO("coverage of 95%: ", (inside.mean() / 200).item<double>(), ", least ",
       (inside.min() / 200).item<double>());
  CHECK((inside.mean() / 200).item<double>() == doctest::Approx(0.95).epsilon(0.02));
  CHECK(inside.min().item<double>() >= 0.89 * 200);
  CHECK(inside.max().item<double>() <= 199);
}

TEST_CASE("Rise: to a tolerance each sample stops on its own, whatever the batch and the chunk") {
  const auto scaled = [](const at::Tensor& x) {  // the first sample needs few masks
    return (x * weights).sum({1, 2, 3}, false).view({-1, 1}) * 0.05 + 1.0;
  };
  at::Tensor quiet = input.clone();
  quiet[0] *= 0.02;
  RiseOptions options{.samples = 400, .grid = {3}, .tolerance = 0.09};
  const Attribution a = Rise{scaled, options}(quiet);
  CHECK(a.copies[0].item<std::int64_t>() < a.copies[1].item<std::int64_t>());
  CHECK(a.copies.min().item<std::int64_t>() >= 10);
  for (std::int64_t n = 0; n < 3; ++n) {
    const bool met = a.standard_error[n].item<double>() <= options.tolerance;
    CHECK(a.converged[n].item<bool>() == met);
    if (a.copies[n].item<std::int64_t>() < 400) CHECK(met);
  }
  for (const std::int64_t chunk : {1, 4, 64}) {
    options.chunk = chunk;
    const Attribution other = Rise{scaled, options}(quiet);
    CHECK(same(other.copies, a.copies));
    CHECK(distance(other.values, a.values) < 1e-13);
    CHECK(same(Rise{scaled, options}(quiet.narrow(0, 1, 1)).copies, a.copies.narrow(0, 1, 1)));
  }
  options.tolerance = 10.0;  // ten masks at least
  CHECK(same(Rise{scaled, options}(quiet).copies, at::full({3}, 10, at::kLong)));
  options.tolerance = 1e-9;
  options.samples = 20;
  const Attribution never = Rise{scaled, options}(quiet);
  CHECK(!never.converged.any().item<bool>());
  CHECK(same(never.copies, at::full({3}, 20, at::kLong)));
}

TEST_CASE("Rise: signals, volumes, dtypes, several baselines, a target without a gradient, and stopping") {
  const auto sums = [](const at::Tensor& x) { return x.flatten(1).to(at::kDouble).sum(1, true); };
  const Attribution signal = Rise{sums, {.samples = 8, .grid = {4}}}(normal({2, 3, 10}, at::kDouble, 1));
  CHECK((signal.values.sizes() == at::IntArrayRef{2, 1, 10}));
  const Attribution volume =
      Rise{sums, {.samples = 8, .grid = {2, 3, 2}}}(normal({2, 3, 4, 6, 5}, at::kDouble, 1));
  CHECK((volume.values.sizes() == at::IntArrayRef{2, 1, 4, 6, 5}));
  CHECK(volume.values.std().item<double>() > 0.0);

  const auto wide = [](const at::Tensor& x) { return network(x.to(at::kDouble)); };
  const RiseOptions options{.samples = 60, .grid = {3}};
  const Attribution exact = Rise{wide, options}(input, ClassIndex{1});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Attribution a = Rise{wide, options}(input.to(dtype), ClassIndex{1});
    CHECK((a.values.scalar_type() == dtype));
    CHECK((a.values_error.scalar_type() == at::kDouble));
    CHECK(support::relative(a.values, exact.values) < (dtype == at::kFloat ? 1e-6 : 2e-2));
  }

  // Each mask draws one of several baselines.
  RiseOptions several = options;
  several.samples = 4000;
  const auto two = [](double a, double b) {
    return Baseline::mean_of({Baseline::constant(a), Baseline::constant(b)});
  };
  several.baseline = two(1.0, 1.0);
  RiseOptions one = several;
  one.baseline = Baseline::constant(1.0);
  CHECK(same(Rise{network, several}(input).values, Rise{network, one}(input).values));
  several.baseline = two(-0.5, 1.5);
  one.baseline = Baseline::constant(0.5);  // a linear class has their mean
  const Attribution mixed = Rise{network, several}(input, ClassIndex{0}),
                    middle = Rise{network, one}(input, ClassIndex{0});
  CHECK((mixed.values - middle.values).div(mixed.values_error).abs().max().item<double>() < 4.5);
  CHECK(mixed.values_error.sum().item<double>() > middle.values_error.sum().item<double>());

  const auto signs = [](const at::Tensor& output) { return output.select(1, 0).sign(); };
  CHECK(Rise{network, options}(input, signs).values.abs().max().item<double>() > 0.1);

  // Stopped after 7 evaluations: three masks of the first sample, two of the others.
  for (const std::int64_t chunk : {1, 2, 50}) {
    RiseOptions stopped = options;
    stopped.chunk = chunk;
    std::int64_t told = 0;
    stopped.progress = [&told](const Progress& progress) {
      CHECK(progress.done == ++told);
      CHECK(progress.total == 180);
      CHECK(progress.error == -1.0);
      return progress.done < 7;
    };
    const Attribution part = Rise{network, stopped}(input);
    CHECK(part.stopped);
    CHECK(told == 7);
    CHECK(same(part.copies, at::tensor({3, 2, 2}, at::kLong)));
    RiseOptions three = options;
    three.samples = 3;
    CHECK(distance(part.values[0], Rise{network, three}(input).values[0]) < 1e-13);
    stopped.progress = [](const Progress&) { return false; };
    const Attribution first = Rise{network, stopped}(input);
    CHECK(first.values[1].abs().max().item<double>() == 0.0);
    CHECK(first.values_error.isnan().all().item<bool>());
  }
  CHECK(!exact.stopped);
  CHECK(!Rise{network, options}(at::Tensor(input).clone().requires_grad_()).values.requires_grad());
}

TEST_CASE("Rise: memory does not grow with the number of masks") {
  const auto sums = [](const at::Tensor& x) { return x.sum({1, 2, 3}).view({-1, 1}); };
  const at::Tensor x = normal({1, 1, 128, 128}, at::kFloat, 2);
  const auto peak = [&](std::int64_t samples) {
    return support::peak_memory([&] { Rise{sums, {.samples = samples, .chunk = 4}}(x); });
  };
  peak(20);
  CHECK(peak(400) < peak(20) + 2000.0);  // a mask is 64 KiB
}

TEST_CASE("Rise: what is wrong is told") {
  const auto told = [](RiseOptions options, const at::Tensor& x) {
    return message<ArgumentError>([&] { Rise{network, std::move(options)}(x); });
  };
  CHECK(contains(told({.samples = 0}, input), "samples must be at least 1, got 0"));
  CHECK(contains(told({.probability = 0.0}, input), "probability must be above 0 and below 1, got 0"));
  CHECK(contains(told({.probability = 1.0}, input), "got 1"));
  CHECK(contains(told({.tolerance = -1.0}, input), "tolerance"));
  CHECK(contains(told({.chunk = -1}, input), "chunk"));
  CHECK(contains(told({.grid = {}}, input), "the grid of Rise has no sizes"));
  CHECK(contains(told({.grid = {3, 0}}, input), "a size of the grid of Rise must be at least 1, got 0"));
  CHECK(contains(told({.grid = {3, 3, 3}}, input), "has 3 sizes"));
  CHECK(contains(told({}, normal({3, 20}, at::kDouble, 1)), "signals (N, C, L)"));
  CHECK(contains(told({.grid = {3}, .baseline = Baseline::tensor(at::zeros({4, 4}))}, input), "baseline"));
}
