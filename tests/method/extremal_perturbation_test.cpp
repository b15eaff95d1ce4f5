// ExtremalPerturbation against the same ascent in one autograd graph, and what its masks must be.
#include <ATen/ATen.h>
#include <salience/method/extremal_perturbation.hpp>
#include <salience/target/class_score.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor weights = normal({2, 13, 10}, at::kDouble, 3);
const at::Tensor input = normal({2, 2, 13, 10}, at::kDouble, 4);

at::Tensor network(const at::Tensor& x) {
  const at::Tensor y = (x * weights).sum({1, 2, 3});
  return at::stack({y, 3.0 * y.tanh() + x.square().sum({1, 2, 3}).sqrt()}, 1);
}

/// The masks of parameters (1, 1, rows, columns), pixel by pixel: with the margin, and the picture's part.
std::pair<at::Tensor, at::Tensor> masks(const at::Tensor& parameters, std::int64_t cell, double sigma) {
  const std::int64_t reach = 1 + static_cast<std::int64_t>(std::ceil(sigma / static_cast<double>(cell)));
  const std::int64_t padding =
      1 + static_cast<std::int64_t>(std::ceil(2 * sigma / static_cast<double>(cell)));
  const auto extent = [&](std::int64_t cells) { return cell * (cells + 2 * padding - 2 * reach) - cell + 1; };
  const std::int64_t tall = extent(parameters.size(2)), wide = extent(parameters.size(3));
  std::vector<at::Tensor> pixels;
  for (std::int64_t y = 0; y < tall; ++y) {
    for (std::int64_t x = 0; x < wide; ++x) {
      std::vector<at::Tensor> values;
      for (std::int64_t i = y / cell - padding; i <= y / cell - padding + 2 * reach; ++i) {
        for (std::int64_t j = x / cell - padding; j <= x / cell - padding + 2 * reach; ++j) {
          const bool inside = i >= 0 && j >= 0 && i < parameters.size(2) && j < parameters.size(3);
          const double dy = static_cast<double>(y) - sigma - static_cast<double>(cell * i);
          const double dx = static_cast<double>(x) - sigma - static_cast<double>(cell * j);
          const double kernel =
              std::exp(-2 * std::pow(std::max(std::sqrt(dy * dy + dx * dx) / sigma - 0.5, 0.0), 2));
          values.push_back(inside ? parameters[0][0][i][j] * kernel : at::zeros({}, at::kDouble));
        }
      }
      const at::Tensor all = at::stack(values);
      pixels.push_back((all * (20.0 * all).softmax(0)).sum().clamp(0.0, 1.0));
    }
  }
  const at::Tensor whole = at::stack(pixels).view({tall, wide});
  const auto margin = static_cast<std::int64_t>(std::llround(sigma));
  return {whole, whole.slice(0, margin, margin + 13).slice(1, margin, margin + 10)};
}

at::Tensor seen_under(const at::Tensor& mask, const std::vector<at::Tensor>& levels) {
  const auto last = static_cast<double>(levels.size() - 1);
  at::Tensor seen = at::zeros_like(levels[0]);
  for (std::size_t l = 0; l < levels.size(); ++l) {
    const at::Tensor tent = (1.0 - (mask * last - static_cast<double>(l)).abs()).clamp_min(0.0);
    seen = seen + tent * levels[l];
  }
  return seen;
}

at::Tensor by_hand(const at::Tensor& x, const std::vector<at::Tensor>& levels, double area, int steps,
                   bool remove, bool mirror) {
  at::Tensor p = at::ones({1, 1, 4, 3}, at::kDouble), velocity;
  double weight = 300.0;
  for (int step = 0; step < steps; ++step, weight *= 1.0035) {
    at::Tensor leaf = p.clone().requires_grad_(true);
    const auto [whole, mask] = masks(leaf, 4, 3.0);
    at::Tensor seen = seen_under(remove ? 1.0 - mask : mask, levels);
    if (mirror && step % 2 == 0) seen = seen.flip({3});
    const at::Tensor score = network(seen)[0][1];
    const at::Tensor sorted = std::get<0>(whole.flatten().sort());
    const at::Tensor wanted = at::zeros_like(sorted);
    wanted.slice(0, static_cast<std::int64_t>(static_cast<double>(sorted.numel()) * (1.0 - area))).fill_(1.0);
    const at::Tensor energy = (remove ? -score : score) - weight * (sorted - wanted.detach()).square().mean();
    (-energy).backward();
    velocity = step == 0 ? leaf.grad() : velocity * 0.9 + leaf.grad() * (1.0 - 0.9);
    p = (p - 0.01 * velocity).clamp(0.0, 1.0).detach();
  }
  static_cast<void>(x);
  return masks(p, 4, 3.0).second.detach();
}

}  // namespace

TEST_CASE("extremal perturbations are the ascent of the paper, in one graph") {
  const at::Tensor x = input.narrow(0, 0, 1), zero = at::zeros_like(x);
  for (const bool remove : {false, true}) {
    for (const bool mirror : {false, true}) {
      CAPTURE(remove);
      CAPTURE(mirror);
      const ExtremalPerturbation method{
          network,
          {.areas = {0.3},
           .steps = 6,
           .variant = remove ? ExtremalVariant::remove : ExtremalVariant::preserve,
           .cell = 4,
           .sigma = 3.0,
           .baseline = Baseline::constant(0.2),
           .mirror = mirror}};
      const Attribution a = method(x, ClassIndex{1});
      CHECK((a.values_of == ValuesOf::regions));
      CHECK(a.values.sizes() == at::IntArrayRef({1, 1, 13, 10}));
      const at::Tensor right = by_hand(x, {zero + 0.2, x}, 0.3, 6, remove, mirror);
      CHECK(right.min().item<double>() < 0.99);
      CHECK(distance(a.values[0][0], right) < 1e-6);  // the kernel's weights are float32
    }
  }
  // Under blurs of growing width.
  std::vector<at::Tensor> levels;
  for (int i = 0; i < 7; ++i)
    levels.push_back(salience::detail::blur(x, 20.0 * (1 - i / 7.0), salience::detail::Border::nearest));
  levels.push_back(x);
  const ExtremalPerturbation method{network,
                                    {.areas = {0.3}, .steps = 6, .cell = 4, .sigma = 3.0, .mirror = false}};
  CHECK(distance(method(x, ClassIndex{1}).values[0][0], by_hand(x, levels, 0.3, 6, false, false)) < 1e-6);
}

TEST_CASE("the mask covers the area that was asked for, where the score comes from") {
  // Ten times what stands in a quarter of the picture.
  const auto corner = [](const at::Tensor& x) {
    const at::Tensor y = 10.0 * x.slice(2, 0, 16).slice(3, 16, 32).mean({1, 2, 3});
    return at::stack({y, -y}, 1);
  };
  const at::Tensor x = at::ones({1, 3, 32, 32}, at::kFloat);
  const ExtremalPerturbation method{
      corner, {.areas = {0.25}, .steps = 300, .cell = 4, .sigma = 5.0, .baseline = Baseline::zero()}};
  const auto mirrored_free = ExtremalPerturbationOptions{
      .areas = {0.25}, .steps = 300, .cell = 4, .sigma = 5.0, .baseline = Baseline::zero(), .mirror = false};
  const at::Tensor mask = ExtremalPerturbation{corner, mirrored_free}(x, ClassIndex{0}).values[0][0];
  CHECK(mask.min().item<float>() >= 0.0F);
  CHECK(mask.max().item<float>() <= 1.0F);
  const double inside = mask.slice(0, 0, 16).slice(1, 16, 32).mean().item<double>();
  const double outside = (mask.sum().item<double>() - inside * 256) / 768;
  CHECK(inside > 0.8);
  CHECK(outside < 0.2);
  CHECK(method(x, ClassIndex{0}).values.sizes() == at::IntArrayRef({1, 1, 32, 32}));
}

TEST_CASE("extremal perturbations do not depend on chunk and batch; several areas are averaged") {
  const auto make = [](std::vector<double> areas, std::int64_t chunk) {
    return ExtremalPerturbation{
        network, {.areas = std::move(areas), .steps = 8, .cell = 4, .sigma = 3.0, .chunk = chunk}};
  };
  const Attribution a = make({0.2, 0.4}, 0)(input);
  for (const std::int64_t chunk : {1, 3})
    CHECK(distance(make({0.2, 0.4}, chunk)(input).values, a.values) < 1e-12);
  for (std::int64_t n = 0; n < 2; ++n)
    CHECK(distance(make({0.2, 0.4}, 0)(input.narrow(0, n, 1)).values, a.values.narrow(0, n, 1)) < 1e-12);
  const at::Tensor one = make({0.2}, 0)(input).values, two = make({0.4}, 0)(input).values;
  CHECK(distance((one + two) / 2.0, a.values) < 1e-12);
  CHECK(distance(one, two) > 1e-4);
  CHECK((make({0.2}, 0)(input.to(at::kFloat)).values.scalar_type() == at::kFloat));
  // A cell is a thirty-second of the shorter side, sigma three cells.
  const at::Tensor large = normal({1, 2, 70, 96}, at::kFloat, 2);
  const auto bare = [](const at::Tensor& v) { return v.mean({2, 3}); };
  CHECK(same(ExtremalPerturbation{bare, {.steps = 3}}(large).values,
             ExtremalPerturbation{bare, {.steps = 3, .cell = 2, .sigma = 6.0}}(large).values));
  int told = 0;
  const Attribution stopped = ExtremalPerturbation{
      network, {.areas = {0.2}, .cell = 4, .sigma = 3.0, .progress = [&](const Progress& p) {
                  ++told;
                  CHECK(p.total == 800);
                  return p.done < 8;
                }}}(input);
  CHECK(told == 8);
  CHECK(stopped.stopped);
  CHECK(same(stopped.values, one));
}

TEST_CASE("extremal perturbations: what is wrong is told") {
  const auto said = [](const ExtremalPerturbationOptions& options) {
    return message<ArgumentError>([&] { ExtremalPerturbation{network, options}(input); });
  };
  // Cells and reaches of any proportion.
  for (const auto& [cell, sigma] : {std::pair{8, 2.0}, {4, 6.0}, {4, 0.5}, {1, 9.0}, {13, 1.0}, {20, 3.0}}) {
    const ExtremalPerturbation method{network, {.steps = 2, .cell = cell, .sigma = sigma}};
    CHECK(method(input).values.isfinite().all().item<bool>());
  }
  CHECK(contains(said({.areas = {}}), "no areas"));
  CHECK(contains(said({.areas = {1.0}}), "the area of a mask must be above 0 and below 1"));
  CHECK(contains(said({.steps = 0}), "steps"));
  CHECK(contains(said({.cell = -1}), "cell"));
  CHECK(contains(said({.sigma = -1.0}), "sigma"));
  CHECK(contains(said({.chunk = -1}), "chunk"));
  CHECK(contains(said({.baseline = Baseline::each(at::zeros({2, 2, 13, 10}, at::kDouble))}), "must be 1"));
  CHECK(contains(message<ArgumentError>([] {
                   ExtremalPerturbation{network}(normal({1, 3, 9}, at::kDouble, 1));
                 }),
                 "pictures (N, C, H, W)"));
}
