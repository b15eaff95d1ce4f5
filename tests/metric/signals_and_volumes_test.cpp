// Metrics of signals (N, C, L) and volumes (N, C, D, H, W): what their places say in any arrangement, or that
// they need a picture.
#include <salience/metric/completeness.hpp>
#include <salience/metric/complexity.hpp>
#include <salience/metric/confidence.hpp>
#include <salience/metric/deletion_insertion.hpp>
#include <salience/metric/infidelity.hpp>
#include <salience/metric/localisation.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/metric/randomization.hpp>
#include <salience/metric/road.hpp>
#include <salience/metric/sensitivity.hpp>
#include <salience/metric/similarity.hpp>

#include <salience/method/gradient_attributor.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "../support.hpp"
#include "pictures.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

using Sizes = std::vector<std::int64_t>;

// The same places as a picture, a signal and a volume. A model that flattens them does not see the
// difference.
const Sizes as_picture{2, 3, 4, 6}, as_signal{2, 3, 24}, as_volume{2, 3, 2, 2, 6};
const pictures::Linear model{normal({4, 3, 24}, at::kDouble, 81).mul(0.2)};
const at::Tensor input = normal(as_signal, at::kDouble, 82), values = normal(as_signal, at::kDouble, 83);

/// The sizes without channels, or with one.
Sizes without(Sizes sizes) {
  sizes.erase(sizes.begin() + 1);
  return sizes;
}
Sizes one(Sizes sizes) {
  sizes[1] = 1;
  return sizes;
}

/// Checks that a metric, from an input and the values of its attribution, does not depend on the arrangement.
template <class Metric>
void check_arrangements(const Metric& metric) {
  const at::Tensor expected = metric(input.view(as_picture), pictures::map(values.view(as_picture)));
  CHECK(expected.isfinite().all().item<bool>());
  CHECK(same(metric(input, pictures::map(values)), expected));
  CHECK(same(metric(input.view(as_volume), pictures::map(values.view(as_volume))), expected));
}

}  // namespace

TEST_CASE("a pixel is a place with all its channels, of a signal and of a volume") {
  const at::Tensor sums = values.sum({1});
  const PixelMapOptions signal{.signal = true};
  CHECK(pixel_map(values, signal).sizes() == at::IntArrayRef({2, 1, 24}));
  CHECK(distance(pixel_map(values, signal), sums.unsqueeze(1)) < 1e-15);
  CHECK(same(pixel_map(values.view(as_volume)), pixel_map(values, signal).view(one(as_volume))));
  CHECK(same(pixel_map(values.view(as_picture)), pixel_map(values, signal).view(one(as_picture))));
  const PixelMapOptions sizes{
      .activation = Activation::abs, .channels = ChannelReduction::max, .signal = true};
  CHECK(distance(pixel_map(values, sizes), values.abs().amax({1}, true)) < 1e-15);
  CHECK(same(pixel_map(values), values.unsqueeze(1)));  // three dimensions alone are maps (N, H, W)
  // With an input its rank decides: maps with channels, with one channel, without channels.
  for (const Sizes& sizes_of : {as_signal, as_picture, as_volume}) {
    const at::Tensor x = input.view(sizes_of), of = values.view(sizes_of);
    const at::Tensor expected = sums.view(without(sizes_of));
    CHECK(distance(salience::detail::pixel_map_of(x, of, {}), expected) < 1e-15);
    CHECK(same(salience::detail::pixel_map_of(x, sums.view(one(sizes_of)), {}), expected));
    CHECK(same(salience::detail::pixel_map_of(x, expected, {}), expected));
    CHECK(contains(message<ArgumentError>([&] { salience::detail::pixel_map_of(x, of.slice(-1, 1), {}); }),
                   "does not cover"));
  }
}

TEST_CASE("deletion, insertion and confidence change whole places") {
  check_arrangements([](const at::Tensor& x, const Attribution& a) {
    return Deletion(model, {.steps = 7})(x, a, ClassIndex{1}).score;
  });
  check_arrangements([](const at::Tensor& x, const Attribution& a) {
    return Insertion(model, {.baseline = Baseline::zero(), .steps = 7})(x, a, ClassIndex{1}).area;
  });
  check_arrangements(
      [](const at::Tensor& x, const Attribution& a) { return Confidence(model)(x, a, ClassIndex{1}).drop; });
  // One place of three channels, of the largest sum, goes first: the second point of a curve of one place a
  // step.
  const auto plain = [](const at::Tensor& output) { return output.select(1, 0); };
  const PerturbationCurve curve = Deletion(model, {.steps = 24})(input, pictures::map(values), plain);
  const at::Tensor first = values.sum({1}).argmax(1).view({2, 1, 1}).expand({2, 3, 1});
  const at::Tensor removed = input.scatter(2, first, 0.0);
  CHECK(distance(curve.score.select(1, 1), plain(model(removed))) < 1e-12);
  // A class activation map, (N, 1, L), is of the places too.
  CHECK(same(Deletion(model, {.steps = 7})(input, pictures::map(values.sum({1}, true)), ClassIndex{1}).score,
             Deletion(model, {.steps = 7})(input, pictures::map(values), ClassIndex{1}).score));
}

TEST_CASE("infidelity, completeness and sensitivity") {
  check_arrangements([](const at::Tensor& x, const Attribution& a) {
    return Infidelity(model, {.samples = 5})(x, a, ClassIndex{1});
  });
  check_arrangements([](const at::Tensor& x, const Attribution& a) {
    return Completeness(model)(x, a, ClassIndex{1}).absolute;
  });
  const auto cubic = [](const at::Tensor& x) { return model(x.mul(x).mul(x)); };
  check_arrangements([&](const at::Tensor& x, const Attribution&) {
    return MaxSensitivity(GradientAttributor(cubic))(x, ClassIndex{1}).maximum;
  });
}

TEST_CASE("a blur goes along every dimension of places, and not along channels") {
  const auto blurred = [](const at::Tensor& x) { return Baseline::blurred(1.5)(x); };
  // A signal is a picture of one row.
  const at::Tensor signal = normal({2, 3, 20}, at::kDouble, 84);
  CHECK(distance(blurred(signal), blurred(signal.unsqueeze(2)).squeeze(2)) < 1e-14);
  // A product of three signals is blurred one by one.
  const auto line = [](std::int64_t size, int salt) { return normal({1, 1, size}, at::kDouble, salt); };
  const at::Tensor a = line(6, 1), b = line(7, 2), c = line(8, 3);
  const auto product = [](const at::Tensor& z, const at::Tensor& y, const at::Tensor& x) {
    return z.view({1, 1, -1, 1, 1}).mul(y.view({1, 1, 1, -1, 1})).mul(x.view({1, 1, 1, 1, -1}));
  };
  CHECK(distance(blurred(product(a, b, c)), product(blurred(a), blurred(b), blurred(c))) < 1e-13);
  CHECK(contains(message<ArgumentError>([&] { (void)blurred(normal({2, 3})); }), "signals (N, C, L)"));
  // So the insertion begins at one.
  const PerturbationCurve curve =
      Insertion(model, {.steps = 2})(input, pictures::map(values), pictures::plain);
  CHECK(distance(curve.score.select(1, 0), pictures::plain(model(Baseline::blurred(5.0)(input)))) < 1e-12);
}

TEST_CASE("energy, overlap, sparseness and likeness do not depend on the arrangement") {
  const PixelMapOptions signal{.signal = true};
  const at::Tensor mask = normal({24}, at::kDouble, 85).gt(0.3), each = normal({2, 24}).gt(0.0);
  const auto check = [&](const auto& metric) {
    const at::Tensor flat = values.view(as_picture), cube = values.view(as_volume);
    for (const at::Tensor& inside : {mask, each}) {
      const bool all = inside.dim() == 1;
      const auto as = [&](const Sizes& sizes) {
        const Sizes places(sizes.begin() + 2, sizes.end());
        return Region(inside.view(all ? places : without(sizes)));
      };
      const at::Tensor expected = metric(flat, as(as_picture), PixelMapOptions{});
      CHECK(expected.isfinite().all().item<bool>());
      CHECK(same(metric(values, as(as_signal), signal), expected));
      CHECK(same(metric(cube, as(as_volume), PixelMapOptions{}), expected));
      CHECK(same(metric(pixel_map(cube), as(as_volume), PixelMapOptions{}), expected));
      CHECK(same(metric(pixel_map(values, signal), as(as_signal), signal), expected));
    }
  };
  check([](const at::Tensor& map, const Region& region, const PixelMapOptions& options) {
    return energy(map, region, options);
  });
  check([](const at::Tensor& map, const Region& region, const PixelMapOptions& options) {
    return iou(map, region, {.map = options});
  });
  check([](const at::Tensor& map, const Region& region, const PixelMapOptions& options) {
    return pointing_game(map, region, {.tolerance = 0, .map = options});
  });
  CHECK(same(gini(values, signal), gini(values.view(as_picture))));
  CHECK(same(gini(values.view(as_volume)), gini(values.view(as_picture))));
  CHECK(same(entropy(values, signal), entropy(values.view(as_volume))));
  CHECK(same(pearson(values, input), pearson(values.view(as_volume), input.view(as_volume))));
  CHECK(Region(mask).mask_of(pixel_map(values, signal)).sizes() == at::IntArrayRef({2, 24}));
  // A volume of one slice keeps it.
  const at::Tensor slice = values.view({2, 3, 1, 4, 6});
  CHECK(same(energy(slice, mask.view({1, 4, 6})), energy(values.view(as_picture), mask.view({4, 6}))));
  CHECK(same(energy(slice, each.view({2, 1, 4, 6})), energy(values.view(as_picture), each.view({2, 4, 6}))));
}

TEST_CASE("the pointing game's tolerance is a distance in all dimensions") {
  at::Tensor map = normal({1, 1, 5, 6, 7}).mul(0.0), mask = map[0][0].clone();
  map[0][0][1][2][3].fill_(1.0);
  mask[3][4][4].fill_(1.0);  // 2, 2 and 1 away: 3
  CHECK(pointing_game(map, mask, {.tolerance = 3.0}).item<double>() == 1.0);
  CHECK(pointing_game(map, mask, {.tolerance = 2.9}).item<double>() == 0.0);
  const at::Tensor line = map.sum({2, 3}), inside = mask.sum(at::IntArrayRef({0, 1}));
  CHECK(pointing_game(line, inside, {.tolerance = 1.0, .map = {.signal = true}}).item<double>() == 1.0);
  CHECK(pointing_game(line, inside, {.tolerance = 0.9, .map = {.signal = true}}).item<double>() == 0.0);
}

TEST_CASE("the randomisation test ranks places; SSIM is of pictures alone") {
  const GradientAttributor trained(model);
  const auto random = [](std::int64_t) {
    return GradientAttributor(pictures::Linear{normal({4, 3, 24}, at::kDouble, 86)});
  };
  const auto check = [&](const Sizes& sizes) {
    return RandomizationCheck(trained, random)(input.view(sizes), 1, ClassIndex{1});
  };
  const RandomizationSimilarity picture = check(as_picture);
  for (const Sizes& sizes : {as_signal, as_volume}) {
    const RandomizationSimilarity alike = check(sizes);
    CHECK(same(alike.spearman, picture.spearman));
    CHECK_FALSE(alike.ssim.defined());
  }
  // Of a signal of many channels and places too, which looks like a map (N, H, W).
  const pictures::Linear wide{normal({4, 8, 9}, at::kDouble, 87)};
  const GradientAttributor of_wide(wide);
  const RandomizationCheck same_twice(of_wide, [&](std::int64_t) { return of_wide; });
  CHECK_FALSE(same_twice(normal({2, 8, 9}), 1).ssim.defined());
}

TEST_CASE("what is defined for pictures alone says so") {
  for (const Sizes& sizes : {as_signal, as_volume}) {
    const at::Tensor x = input.view(sizes);
    CHECK(contains(message<ArgumentError>([&] { (void)Road(model)(x, pictures::map(x)); }),
                   "the input of ROAD must be pictures (N, C, H, W), got (2, 3, 2"));
  }
  const at::Tensor cube = normal({1, 2, 8, 8, 8}), line = normal({1, 8, 40});
  CHECK(contains(message<ArgumentError>([&] { (void)ssim(cube, cube); }),
                 "a map of SSIM must be a picture, at least 7 pixels high and wide"));
  CHECK(contains(message<ArgumentError>([&] { (void)ssim(line, line, {.signal = true}); }), "a picture"));
  const Box box{.top = 0, .left = 0, .height = 2, .width = 2};
  CHECK(contains(message<ArgumentError>([&] { (void)energy(cube, box); }),
                 "a map for a box must be a picture (N, H, W); a mask is for all others, got (1, 8, 8, 8)"));
  CHECK(contains(message<ArgumentError>([&] { (void)energy(line, box, {.signal = true}); }), "a picture"));
  CHECK(contains(message<ArgumentError>([&] { (void)energy(cube, normal({8, 8})); }), "does not fit maps"));
}
