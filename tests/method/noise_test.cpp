#include <salience/method/noise.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "../support.hpp"

using namespace salience;
using support::normal;
using support::same;

TEST_CASE("the noise is normal: moments, tails, and no correlation between elements, draws and seeds") {
  constexpr std::int64_t count = 1 << 20;
  const double root = std::sqrt(static_cast<double>(count));
  const auto draw = [](std::uint64_t seed, std::int64_t number) {
    return SharedNoise(salience::detail::empty({count}, at::kFloat), seed).normal(number).to(at::kDouble);
  };
  const at::Tensor a = draw(1, 0);
  CHECK(std::abs(a.mean().item<double>()) < 5 / root);
  CHECK(std::abs(a.pow(2).mean().item<double>() - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(a.pow(3).mean().item<double>()) < 5 * std::sqrt(15.0) / root);
  CHECK(std::abs(a.pow(4).mean().item<double>() - 3) < 5 * std::sqrt(96.0) / root);
  CHECK(std::abs(a.abs().gt(1.959964).to(at::kDouble).mean().item<double>() - 0.05) <
        5 * std::sqrt(0.0475) / root);
  CHECK(a.abs().max().item<double>() > 4.0);
  CHECK(a.abs().max().item<double>() < 6.0);
  const auto uncorrelated = [&](const at::Tensor& b) {
    const std::int64_t n = std::min(a.numel(), b.numel());
    const double c = a.slice(0, 0, n).mul(b.slice(0, 0, n)).mean().item<double>();
    return std::abs(c) < 5 / std::sqrt(static_cast<double>(n));
  };
  for (const std::int64_t lag :
       {std::int64_t{1}, std::int64_t{2}, std::int64_t{3}, std::int64_t{224}, count / 2})
    CHECK(uncorrelated(a.slice(0, lag)));
  CHECK(uncorrelated(draw(1, 1)));
  CHECK(uncorrelated(draw(2, 0)));
  CHECK(uncorrelated(draw(0, 1)));
  CHECK(same(a, draw(1, 0)));
}

TEST_CASE("uniform values: moments, and never as large as 1") {
  constexpr std::int64_t count = 1 << 20;
  const double root = std::sqrt(static_cast<double>(count));
  const at::Tensor u =
      SharedNoise(salience::detail::empty({count}, at::kFloat), 3).uniform(4).to(at::kDouble);
  CHECK(std::abs(u.mean().item<double>()) < 5 * std::sqrt(1.0 / 3) / root);
  CHECK(std::abs(u.pow(2).mean().item<double>() - 1.0 / 3) < 5 * std::sqrt(4.0 / 45) / root);
  CHECK(std::abs(u.abs().lt(0.1).to(at::kDouble).mean().item<double>() - 0.1) < 5 * 0.3 / root);
  CHECK(u.abs().max().item<double>() <= 1.0);
  CHECK(u.abs().max().item<double>() > 0.9999);
}

TEST_CASE("noise has the sample's shape and dtype, and does not know what was drawn before") {
  const at::Tensor sample = normal({3, 5, 7}, at::kDouble);
  SharedNoise noise(sample, 9);
  const at::Tensor third = noise.normal(3).clone(), uniform = noise.uniform(3).clone();
  CHECK(third.sizes() == sample.sizes());
  CHECK((third.scalar_type() == at::kDouble));
  CHECK_FALSE(same(third, uniform));
  CHECK_FALSE(same(third, noise.normal(2)));
  CHECK(same(third, noise.normal(3)));
  CHECK(same(third, noise.normal(3)));
  CHECK(same(third, SharedNoise(sample, 9).normal(3)));
  CHECK_FALSE(same(third, SharedNoise(sample, 10).normal(3)));
  CHECK(same(uniform, noise.uniform(3)));
  // made in float32, whatever the dtype, and by the number of the element, whatever the shape
  CHECK(same(third, SharedNoise(sample.to(at::kFloat), 9).normal(3).to(at::kDouble)));
  CHECK(same(third.flatten(), SharedNoise(sample.flatten(), 9).normal(3)));
  CHECK(same(third.to(at::kBFloat16), SharedNoise(sample.to(at::kBFloat16), 9).normal(3)));
}

TEST_CASE("a draw that is asked for again is the same tensor") {
  SharedNoise noise(normal({4}, at::kFloat), 1);
  CHECK(noise.normal(0).data_ptr() == noise.normal(0).data_ptr());
  SharedNoise converted(normal({4}, at::kDouble), 1);
  const void* first = converted.normal(0).data_ptr();
  CHECK(converted.normal(0).data_ptr() == first);
}
