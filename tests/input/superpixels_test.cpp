// superpixels: segments of what the network sees, as numbers of its elements.
#include <ATen/ATen.h>
#include <salience/input/preprocessor.hpp>
#include <salience/input/superpixels.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/picture/slic.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::same;

namespace {

/// Four squares of another colour each, and some texture.
Image picture(int shift) {
  Image image(40, 60, 3);
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 60; ++x) {
      image(y, x, 0) = static_cast<std::uint8_t>(y < 20 ? 220 - shift : 30);
      image(y, x, 1) = static_cast<std::uint8_t>(x < 30 ? 200 : 40 + shift);
      image(y, x, 2) = static_cast<std::uint8_t>((7 * x + 11 * y + shift) % 50);
    }
  }
  return image;
}

}  // namespace

TEST_CASE("superpixels are the segments of the picture that the network sees, of each sample its own") {
  const auto preprocess = imagenet_preprocessor(40, 60);
  const auto cut = [](const Image& seen) { return slic(seen, {.segments = 12}); };
  const FeatureMask mask{FeatureMask::Function(superpixels(preprocess, cut))};
  const at::Tensor one = preprocess(picture(0)), other = preprocess(picture(25));
  const at::Tensor numbers = mask(at::cat({one, other}));
  CHECK(numbers.sizes() == at::IntArrayRef({2, 1, 40, 60}));
  CHECK((numbers.scalar_type() == at::kLong));
  CHECK(same(numbers.narrow(0, 0, 1), segment_numbers(cut(picture(0)))));
  CHECK(same(numbers.narrow(0, 1, 1), segment_numbers(cut(picture(25)))));
  CHECK_FALSE(same(numbers[0], numbers[1]));
  // Rounding is lost in the 8 bits of the picture.
  CHECK(same(mask(one.to(at::kDouble)), numbers.narrow(0, 0, 1)));
  const Segments segments = cut(picture(0));
  for (int y = 0; y < 40; y += 7) {
    for (int x = 0; x < 60; x += 11) CHECK(numbers[0][0][y][x].item<std::int64_t>() == segments(y, x));
  }
  CHECK(contains(message<ArgumentError>([&] { mask(at::zeros({1, 3, 60})); }), "pictures (N, C, H, W)"));
}
