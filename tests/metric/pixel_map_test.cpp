#include <salience/metric/complexity.hpp>
#include <salience/metric/localisation.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/metric/similarity.hpp>
#include <salience/view/attribution_processor.hpp>

#include <doctest/doctest.h>

#include <limits>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::same;
using support::tensor;

TEST_CASE("a pixel is the signed sum of its channels, or what the options say") {
  const at::Tensor values = tensor({1, -2, 3, -4, 5, 6}, {1, 3, 1, 2}).to(at::kFloat);
  CHECK(same(pixel_map(values), tensor({9, 0}, {1, 1, 1, 2})));
  CHECK(same(pixel_map(values, {.activation = Activation::abs}), tensor({9, 12}, {1, 1, 1, 2})));
  CHECK(same(pixel_map(values, {.activation = Activation::relu}), tensor({9, 6}, {1, 1, 1, 2})));
  CHECK(same(pixel_map(values, {.activation = Activation::negative}), tensor({0, 6}, {1, 1, 1, 2})));
  CHECK(same(pixel_map(values, {.channels = ChannelReduction::mean}), tensor({3, 0}, {1, 1, 1, 2})));
  CHECK(same(pixel_map(values, {.channels = ChannelReduction::max}), tensor({5, 6}, {1, 1, 1, 2})));
  CHECK(support::distance(pixel_map(values, {.channels = ChannelReduction::l2}).square(),
                          tensor({35, 56}, {1, 1, 1, 2})) < 1e-12);
}

TEST_CASE("maps without channels and features keep their values") {
  const at::Tensor maps = support::normal({2, 3, 4});
  CHECK(same(pixel_map(maps), maps.unsqueeze(1)));
  CHECK(same(pixel_map(pixel_map(maps)), maps.unsqueeze(1)));
  CHECK(same(pixel_map(maps[0]), maps[0]));
}

TEST_CASE("a batch of maps is drawn as so many pictures, each by its own range") {
  const AttributionProcessor view{{.colormap = "viridis"}};
  const at::Tensor values = support::normal({2, 3, 4, 5}), maps = pixel_map(values);
  const std::vector<Image> pictures = view.images(maps);
  REQUIRE(pictures.size() == 2);
  for (std::int64_t n = 0; n < 2; ++n) {
    CHECK(pictures[static_cast<std::size_t>(n)] == view(values[n].sum(0)));
  }
}

TEST_CASE("every metric says of maps of pixels what it says of the values") {
  const at::Tensor values = support::normal({2, 3, 9, 8}),
                   others = support::normal({2, 3, 9, 8}, at::kDouble, 1);
  const at::Tensor maps = pixel_map(values);
  const Region region(Box{.top = 2, .left = 1, .height = 4, .width = 5});
  CHECK(same(region.mask_of(maps), region.mask_of(maps.squeeze(1))));
  CHECK(same(energy(maps, region), energy(values, region)));
  CHECK(same(iou(maps, region), iou(values, region)));
  CHECK(same(pointing_game(maps, region, {.tolerance = 0}), pointing_game(values, region, {.tolerance = 0})));
  CHECK(same(gini(maps), gini(values)));
  CHECK(same(entropy(maps), entropy(values)));
  CHECK(same(ssim(maps, pixel_map(others)), ssim(values, others)));
}

TEST_CASE("ranks count from the largest value; equal ones in the order of rows") {
  CHECK(same(salience::detail::ranks(tensor({2, 5, 2, 7, 1, 1, 1, 1}, {2, 2, 2})).to(at::kDouble),
             tensor({2, 1, 3, 0, 0, 1, 2, 3}, {2, 2, 2})));
}

TEST_CASE("what is no map, not finite, or does not cover the input is refused") {
  CHECK(
      contains(message<ArgumentError>([] { pixel_map({}); }), "the map of a metric must be a batch of maps"));
  CHECK(contains(message<ArgumentError>([] { pixel_map(tensor({1}, {1})); }), "got (1)"));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(contains(message<ArgumentError>([&] { pixel_map(tensor({1, nan}, {1, 2})); }), "not finite"));
  const at::Tensor input = support::normal({2, 3, 4, 5});
  CHECK(salience::detail::pixel_map_of(input, input, {}).sizes() == at::IntArrayRef({2, 4, 5}));
  CHECK(salience::detail::pixel_map_of(input, input.select(1, 0), {}).sizes() == at::IntArrayRef({2, 4, 5}));
  CHECK(salience::detail::pixel_map_of(input, input.slice(1, 0, 1), {}).sizes() ==
        at::IntArrayRef({2, 4, 5}));
  for (const at::Tensor& wrong : {input.slice(0, 0, 1), input.slice(2, 0, 2), input.slice(3, 0, 2)}) {
    CHECK(contains(message<ArgumentError>([&] { salience::detail::pixel_map_of(input, wrong, {}); }),
                   "does not cover"));
  }
}
