#include <salience/metric/similarity.hpp>

#include <doctest/doctest.h>

#include <cmath>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

const at::Tensor maps = normal({3, 9, 11}, at::kDouble, 1), others = normal({3, 9, 11}, at::kDouble, 2);
const at::Tensor ones = tensor({1, 1, 1}, {3});

}  // namespace

TEST_CASE(
    "Pearson: 1 up to scale and offset, -1 when turned round, the cosine of what differs from the mean") {
  CHECK(distance(pearson(maps, maps.mul(3.0).add(7.0)), ones) < 1e-14);
  CHECK(distance(pearson(maps, maps.mul(-0.1)), ones.neg()) < 1e-14);
  CHECK(distance(pearson(maps.mul(1e-90), maps.mul(1e-90)), ones) < 1e-14);
  CHECK(distance(pearson(tensor({1, 2, 3, 4}, {1, 4}), tensor({2, 1, 4, 3}, {1, 4})), tensor({0.6}, {1})) <
        1e-14);
}

TEST_CASE("Spearman: of the order alone; equal values share their mean rank") {
  CHECK(distance(spearman(maps, maps.exp()), ones) < 1e-14);
  CHECK(distance(spearman(maps, maps.neg().exp()), ones.neg()) < 1e-14);
  CHECK(same(salience::detail::average_ranks(tensor({5, 1, 5, 5, 0}, {1, 5})),
             tensor({4, 2, 4, 4, 1}, {1, 5})));
  // Ranks 1 2.5 2.5 4 and 1 2 3 4: 4.5 / sqrt(4.5 * 5).
  CHECK(spearman(tensor({1, 2, 2, 9}, {1, 4}), tensor({1, 2, 3, 4}, {1, 4})).item<double>() ==
        doctest::Approx(4.5 / std::sqrt(4.5 * 5)));
}

TEST_CASE("a constant map is like none but another constant one") {
  const at::Tensor flat = maps.mul(0.0).add(0.1);
  for (const auto& alike : {pearson, spearman}) {
    CHECK(same(alike(flat, maps), ones.mul(0.0)));
    CHECK(same(alike(maps, flat), ones.mul(0.0)));
    CHECK(same(alike(flat, flat.mul(3.0)), ones));
  }
  CHECK(same(ssim(flat, flat), ones));
  CHECK(std::abs(ssim(flat, maps).max().item<double>()) < 0.1);
}

TEST_CASE(
    "SSIM: 1 for equal maps, below for shifted ones, -1 at most for turned ones; independent of the scale") {
  CHECK(distance(ssim(maps, maps), ones) < 1e-12);
  const at::Tensor offset = ssim(maps, maps.add(1.0)), noise = ssim(maps, others);
  CHECK(offset.max().item<double>() < 0.9);
  CHECK(noise.abs().max().item<double>() < 0.4);
  CHECK(ssim(maps.add(9.0), maps.neg().add(9.0)).max().item<double>() < -0.9);  // the same mean, turned round
  CHECK(distance(ssim(maps.mul(50.0), others.mul(50.0)), noise) < 1e-12);
  CHECK(distance(ssim(maps, others), ssim(others, maps)) < 1e-14);
}

TEST_CASE("SSIM of a single window is the formula") {
  const at::Tensor a = normal({1, 7, 7}, at::kDouble, 3), b = normal({1, 7, 7}, at::kDouble, 4);
  const auto value = [](const at::Tensor& t) { return t.item<double>(); };
  const double ma = value(a.mean()), mb = value(b.mean());
  const double va = value(a.sub(ma).square().sum()) / 48, vb = value(b.sub(mb).square().sum()) / 48;
  const double vab = value(a.sub(ma).mul(b.sub(mb)).sum()) / 48;
  const double range = std::max(value(a.max()), value(b.max())) - std::min(value(a.min()), value(b.min()));
  const double c1 = std::pow(0.01 * range, 2), c2 = std::pow(0.03 * range, 2);
  CHECK(value(ssim(a, b)) ==
        doctest::Approx((2 * ma * mb + c1) * (2 * vab + c2) / (ma * ma + mb * mb + c1) / (va + vb + c2)));
}

TEST_CASE("the overlap counts the places that the k largest values share") {
  const at::Tensor a = tensor({9, 8, 7, 1, 2, 3, 5, 5, 5, 5, 5, 5}, {2, 6});
  const at::Tensor b = tensor({9, 1, 7, 2, 8, 0, 0, 0, 5, 5, 5, 5}, {2, 6});
  CHECK(distance(top_k_overlap(a, b, 1), tensor({1, 0}, {2})) < 1e-15);
  CHECK(distance(top_k_overlap(a, b, 3), tensor({2.0 / 3, 1.0 / 3}, {2})) < 1e-15);
  CHECK(distance(top_k_overlap(a, b, 6), tensor({1, 1}, {2})) < 1e-15);
}

TEST_CASE("a batch gives what its maps give one by one; float32 is compared in float64") {
  for (std::int64_t n = 0; n < 3; ++n) {
    const at::Tensor a = maps.slice(0, n, n + 1), b = others.slice(0, n, n + 1);
    CHECK(distance(pearson(a, b), pearson(maps, others)[n]) < 1e-14);
    CHECK(distance(spearman(a, b), spearman(maps, others)[n]) < 1e-14);
    CHECK(distance(ssim(a, b), ssim(maps, others)[n]) < 1e-14);
    CHECK(distance(top_k_overlap(a, b, 10), top_k_overlap(maps, others, 10)[n]) < 1e-14);
  }
  CHECK((pearson(maps.to(at::kFloat), others.to(at::kFloat)).scalar_type() == at::kDouble));
}

TEST_CASE("maps that cannot be compared are refused") {
  CHECK(contains(message<ArgumentError>([] { pearson(maps, maps.slice(2, 1)); }),
                 "got (3, 9, 11) and (3, 9, 10)"));
  CHECK(contains(message<ArgumentError>([] { spearman({}, maps); }), "got (undefined)"));
  for (const double bad : {std::nan(""), HUGE_VAL}) {
    at::Tensor holds = maps.clone();
    holds[1][2][3].fill_(bad);
    CHECK(contains(message<ArgumentError>([&] { spearman(maps, holds); }), "must not hold NaN or infinity"));
    CHECK(contains(message<ArgumentError>([&] { pearson(holds, maps); }), "must not hold NaN or infinity"));
  }
  CHECK(contains(message<ArgumentError>([] { top_k_overlap(maps, maps, 0); }), "k must be from 1 to 99"));
  CHECK(contains(message<ArgumentError>([] { top_k_overlap(maps, maps, 100); }), "got 100"));
  CHECK(contains(message<ArgumentError>([] { ssim(maps.slice(1, 3), maps.slice(1, 3)); }),
                 "at least 7 pixels"));
}
