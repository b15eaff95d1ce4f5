#include <salience/metric/pixel_map.hpp>

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
  CHECK(same(pixel_map(values), tensor({9, 0}, {1, 1, 2})));
  CHECK(same(pixel_map(values, {.activation = Activation::abs}), tensor({9, 12}, {1, 1, 2})));
  CHECK(same(pixel_map(values, {.activation = Activation::relu}), tensor({9, 6}, {1, 1, 2})));
  CHECK(same(pixel_map(values, {.activation = Activation::negative}), tensor({0, 6}, {1, 1, 2})));
  CHECK(same(pixel_map(values, {.channels = ChannelReduction::mean}), tensor({3, 0}, {1, 1, 2})));
  CHECK(same(pixel_map(values, {.channels = ChannelReduction::max}), tensor({5, 6}, {1, 1, 2})));
  CHECK(support::distance(pixel_map(values, {.channels = ChannelReduction::l2}).square(),
                          tensor({35, 56}, {1, 1, 2})) < 1e-12);
}

TEST_CASE("maps without channels and features stay as they are") {
  const at::Tensor maps = support::normal({2, 3, 4});
  CHECK(same(pixel_map(maps), maps));
  CHECK(same(pixel_map(maps[0]), maps[0]));
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
