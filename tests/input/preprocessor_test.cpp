#include <salience/input/preprocessor.hpp>

#include <doctest/doctest.h>

#include <limits>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::same;
using support::tensor;

namespace {

Image noise(int height, int width, int channels) {
  Image image(height, width, channels);
  std::uint32_t state = 12345;
  for (std::uint8_t& value : image.pixels())
    value = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
  return image;
}

}  // namespace

TEST_CASE("ToTensor gives (C,H,W) in float32, value / 255") {
  const at::Tensor t = ToTensor{}(Image(1, 2, 3, {0, 51, 255, 1, 2, 3}));
  const at::Tensor expected = tensor({0, 1, 51, 2, 255, 3}, {3, 1, 2}).to(at::kFloat).div(255.0F);
  CHECK(same(t, expected));
}

TEST_CASE("ToTensor makes RGB or gray of any picture, or keeps it") {
  const Image rgba = noise(3, 4, 4), gray = noise(3, 4, 1);
  CHECK(same(ToTensor{}(rgba), ToTensor{}(to_rgb(rgba))));
  CHECK(same(ToTensor{}(gray)[2], ToTensor{1}(gray)[0]));
  CHECK(same(ToTensor{1}(rgba), ToTensor{1}(to_gray(rgba))));
  CHECK(ToTensor{0}(rgba).size(0) == 4);
  CHECK(contains(message<ArgumentError>([&] { ToTensor{2}(rgba); }), "0, 1 or 3, got 2"));
  CHECK(contains(message<ArgumentError>([] { ToTensor{}(Image{}); }), "empty"));
}

TEST_CASE("Normalize is (x - mean) / std, channel by channel") {
  const Normalize normalize{{1, 2}, {2, 4}};
  const at::Tensor x = tensor({3, 5, /**/ 6, 10}, {2, 1, 2}).to(at::kFloat);
  CHECK(same(normalize(x), tensor({1, 2, 1, 2}, {2, 1, 2}).to(at::kFloat)));
  CHECK(same(normalize.inverse(normalize(x)), x));
  CHECK(same(Normalize{{1}, {2}}(x), x.sub(1).div(2)));
  CHECK(contains(message<ArgumentError>([&] { Normalize{{1, 2, 3}, {1, 1, 1}}(x); }), "3 means"));
  CHECK(contains(message<ArgumentError>([&] { Normalize{{1, 2}, {1}}(x); }), "2 means and 1"));
  CHECK(contains(message<ArgumentError>([&] {
                   Normalize{{1, 2}, {1, 0}}(x);
                 }),
                 "Normalize.std must be other than 0"));
}

TEST_CASE("Resize with two sizes ignores the aspect; with one it sets the short side") {
  const auto size = [](const Image& image) { return std::pair(image.height(), image.width()); };
  CHECK(size(Resize{7, 5}(noise(20, 30, 3))) == std::pair(7, 5));
  CHECK(size(Resize{10}(noise(20, 31, 3))) == std::pair(10, 15));
  CHECK(size(Resize{10}(noise(31, 20, 3))) == std::pair(15, 10));
  CHECK(size(Resize{10}(noise(20, 20, 3))) == std::pair(10, 10));
  CHECK(contains(message<ArgumentError>([] { Resize{0, 4}(noise(2, 2, 3)); }), "0x4"));
  CHECK(contains(message<ArgumentError>([] { Resize{5, -4}(noise(2, 2, 3)); }), "5x-4"));
}

TEST_CASE("the presets: their shapes, and the batch dimension") {
  const Image image = noise(300, 400, 3);
  CHECK(salience::detail::shape(imagenet_preprocessor()(image)) == "(1, 3, 224, 224)");
  CHECK(salience::detail::shape(imagenet_crop_preprocessor()(image)) == "(1, 3, 224, 224)");
  const at::Tensor direct = imagenet_normalization()(ToTensor{}(resize(image, 224, 224))).unsqueeze(0);
  CHECK(same(imagenet_preprocessor()(image), direct));
  const Image crop = center_crop(resize(image, 256, 341), 224, 224);
  CHECK(same(imagenet_crop_preprocessor()(image), imagenet_normalization()(ToTensor{}(crop)).unsqueeze(0)));
}

TEST_CASE("several pictures become a batch of the single ones") {
  const auto preprocess = imagenet_preprocessor(8, 9);
  const std::vector<Image> images{noise(20, 30, 3), noise(9, 8, 4), noise(5, 5, 1)};
  const at::Tensor batch = preprocess(images);
  CHECK(salience::detail::shape(batch) == "(3, 3, 8, 9)");
  for (std::size_t i = 0; i < images.size(); ++i) {
    CHECK(same(batch[static_cast<std::int64_t>(i)], preprocess(images[i])[0]));
  }
  CHECK(contains(message<ArgumentError>([&] { preprocess(std::vector<Image>{}); }), "no pictures"));
  CHECK(contains(message<ArgumentError>([&] { Preprocessor(ToTensor{})(images); }),
                 "picture 1 becomes (3, 9, 8)"));
}

TEST_CASE("the inverse shows what the network saw, exactly") {
  const auto preprocess = imagenet_preprocessor(16, 12);
  const Image image = noise(40, 30, 3);
  CHECK(preprocess.picture(preprocess(image)) == resize(image, 16, 12));
  CHECK(preprocess.picture(preprocess(image)[0].to(at::kDouble)) == resize(image, 16, 12));
  CHECK(Preprocessor(ToTensor{1}).picture(Preprocessor(ToTensor{1})(noise(3, 3, 1))) == noise(3, 3, 1));
  CHECK(contains(message<ArgumentError>([&] {
                   preprocess.picture(support::normal({2, 3, 4, 4}));
                 }),
                 "(2, 3, 4, 4)"));
  const at::Tensor undefined_value = tensor({std::numeric_limits<double>::quiet_NaN()}, {1, 1, 1});
  CHECK(contains(message<ArgumentError>([&] { ToTensor{}.inverse(undefined_value); }), "NaN"));
  const Image clipped = ToTensor{}.inverse(tensor({-3, 9}, {1, 1, 2}));
  CHECK(clipped(0, 0, 0) == 0);
  CHECK(clipped(0, 1, 0) == 255);
}

TEST_CASE("a step may be any callable") {
  const Preprocessor preprocess([](const Image& image) { return center_crop(image, 2, 2); }, ToTensor{},
                                [](const at::Tensor& t) { return t.mul(2.0); });
  const Image image = noise(6, 6, 3);
  CHECK(same(preprocess(image), ToTensor{}(center_crop(image, 2, 2)).mul(2.0).unsqueeze(0)));
}
