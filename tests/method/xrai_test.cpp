// Xrai against the greedy choice by its definition, and regions that are known.
#include <ATen/ATen.h>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/xrai.hpp>
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

/// An attribution that was made elsewhere.
struct Given {
  at::Tensor values;
  template <class T>
  Attribution operator()(const at::Tensor& input, const T&) const {
    return {{.target = at::zeros({input.size(0)}, at::kLong), .score = at::zeros({input.size(0)})}, values};
  }
};

/// The regions as masks, widened by a disk, and the greedy choice, all as they are defined.
at::Tensor by_definition(const at::Tensor& values, const std::vector<at::Tensor>& segmentations,
                         std::int64_t radius, std::int64_t fewest) {
  const std::int64_t h = values.size(0), w = values.size(1);
  std::vector<at::Tensor> masks;
  for (const at::Tensor& numbers : segmentations) {
    for (std::int64_t k = numbers.min().item<std::int64_t>(); k <= numbers.max().item<std::int64_t>(); ++k) {
      if (!numbers.eq(k).any().item<bool>()) continue;
      at::Tensor wide = at::zeros({h, w}, at::kBool);
      for (std::int64_t dy = -radius; dy <= radius; ++dy) {
        for (std::int64_t dx = -radius; dx <= radius; ++dx) {
          if (dy * dy + dx * dx > radius * radius) continue;
          const at::Tensor padded = at::constant_pad_nd(numbers.eq(k), {radius, radius, radius, radius}, 0);
          wide = wide.logical_or(
              padded.slice(0, radius + dy, radius + dy + h).slice(1, radius + dx, radius + dx + w));
        }
      }
      masks.push_back(wide);
    }
  }
  at::Tensor current = at::zeros({h, w}, at::kBool), result = at::zeros({h, w}, at::kDouble);
  for (;;) {
    double gain = -INFINITY;
    at::Tensor best;
    for (const at::Tensor& mask : masks) {
      const at::Tensor added = mask.logical_and(current.logical_not());
      if (added.sum().item<std::int64_t>() < fewest) continue;
      const double mean = values.masked_select(added).mean().item<double>();
      if (mean > gain) gain = mean, best = added;
    }
    if (!best.defined()) break;
    result = at::where(best, at::full({}, gain, at::kDouble), result);
    current = current.logical_or(best);
  }
  const at::Tensor rest = current.logical_not();
  if (!rest.any().item<bool>()) return result;
  return at::where(rest, values.masked_select(rest).mean(), result);
}

}  // namespace

TEST_CASE("XRAI takes regions by the mean in what they add") {
  const at::Tensor x = normal({2, 3, 20, 24}, at::kDouble, 1),
                   values = normal({2, 3, 20, 24}, at::kDouble, 2);
  const at::Tensor rows = at::arange(20, at::kLong).view({20, 1}), columns = at::arange(24, at::kLong);
  const at::Tensor cells = rows.div(7, "floor") * 10 - columns.div(5, "floor");
  const at::Tensor diagonal = (rows + columns).div(9, "floor");
  for (const std::int64_t radius : {0, 1, 3, 5}) {
    for (const std::int64_t fewest : {1, 30, 500}) {
      CAPTURE(radius);
      CAPTURE(fewest);
      const Xrai method{Given{values},
                        {.segmentations = {FeatureMask(cells), FeatureMask(diagonal)},
                         .dilation = radius,
                         .fewest = fewest}};
      const Attribution a = method(x);
      CHECK(a.values.sizes() == at::IntArrayRef({2, 1, 20, 24}));
      CHECK((a.values_of == ValuesOf::regions));
      for (std::int64_t n = 0; n < 2; ++n) {
        const at::Tensor right = by_definition(values[n].amax({0}), {cells, diagonal}, radius, fewest);
        CHECK(distance(a.values[n][0], right) < 1e-12);
      }
    }
  }
}

TEST_CASE("XRAI takes numbers of any size, and each sample's own segments") {
  const at::Tensor x = normal({2, 3, 20, 24}, at::kDouble, 1),
                   values = normal({2, 3, 20, 24}, at::kDouble, 2);
  const at::Tensor cells = at::arange(20, at::kLong).view({20, 1}).div(7, "floor") * 10 +
                           at::arange(24, at::kLong).div(5, "floor");
  const auto with = [&](const at::Tensor& numbers) {
    return Xrai{Given{values}, {.segmentations = {FeatureMask(numbers)}}}(x).values;
  };
  CHECK(same(with(cells * 100000000000000), with(cells)));
  const at::Tensor other = cells.flip({0}).div(2, "floor");
  const at::Tensor each = with(at::stack({cells, other}).unsqueeze(1));
  CHECK(same(each[0], with(cells)[0]));
  CHECK(same(each[1], with(other)[1]));
}

TEST_CASE("XRAI's own segments: a bright square is a region of its own") {
  at::Tensor x = at::zeros({1, 3, 64, 64}, at::kFloat);
  x.slice(2, 10, 40).slice(3, 20, 50).fill_(2.0);
  const auto network = [](const at::Tensor& v) {
    const at::Tensor y = v.slice(2, 12, 38).slice(3, 22, 48).mean({1, 2, 3});
    return at::stack({y, -y}, 1);
  };
  const Xrai method{IntegratedGradients{network, {.steps = 4, .baseline = xrai_baselines()}},
                    {.dilation = 0}};
  const Attribution a = method(x, ClassIndex{0});
  CHECK((a.values.scalar_type() == at::kFloat));
  CHECK_FALSE(a.completeness_error.defined());
  CHECK(a.evaluations.defined());
  const at::Tensor map = a.values[0][0];
  const double inside = map.slice(0, 14, 36).slice(1, 24, 46).min().item<double>();
  CHECK(inside > 0.0);
  CHECK(map.slice(0, 45).max().item<double>() < 0.1 * inside);
  // Half of the attribution is from black, half from white.
  const at::Tensor bases = xrai_baselines()(x, 1);
  CHECK(bases.eq(2.0).all().item<bool>());
  CHECK(xrai_baselines()(x, 0).eq(0.0).all().item<bool>());
  const at::Tensor two = at::cat({x, x * 3.0 + 1.0});
  CHECK(same(xrai_baselines()(two, 1)[1], at::full({3, 64, 64}, 7.0, at::kFloat)));
  CHECK(distance(method(two, ClassIndex{0}).values.narrow(0, 0, 1), a.values) < 1e-6);
}

TEST_CASE("XRAI: what is wrong is told") {
  const at::Tensor x = normal({1, 3, 8, 8}, at::kDouble, 1);
  const Given given{x};
  CHECK(contains(message<ArgumentError>([&] { Xrai{given, {.dilation = -1}}; }), "dilation"));
  CHECK(contains(message<ArgumentError>([&] { Xrai{given, {.fewest = 0}}; }), "fewest"));
  CHECK(contains(message<ArgumentError>([&] { Xrai{given}(x[0]); }), "pictures (N, C, H, W)"));
  CHECK(contains(message<ArgumentError>([&] { Xrai{Given{x.slice(2, 0, 4)}}(x); }),
                 "an attribution of each pixel"));
  CHECK(contains(message<ArgumentError>([&] {
                   Xrai{given, {.segmentations = {FeatureMask{}}}}(x);
                 }),
                 "of shape (1, 1, H, W)"));
}
