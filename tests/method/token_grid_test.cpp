#include <salience/method/grad_cam.hpp>
#include <salience/method/token_grid.hpp>
#include <salience/model/features_head.hpp>

#include <array>
#include <vector>

#include <doctest/doctest.h>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

constexpr ChannelAxis first = ChannelAxis::first, last = ChannelAxis::last, unknown = ChannelAxis::unknown;

/// What a layer becomes by default for a picture of that size.
at::Tensor grid(const at::Tensor& layer, ChannelAxis channels, std::int64_t height, std::int64_t width) {
  const at::Tensor input = normal({layer.size(0), 3, height, width});
  return salience::detail::reshape_for(layer, input, "l", channels)(layer);
}

}  // namespace

TEST_CASE("known channels are never guessed: (1,32,32,16) of a 64x64 picture is what the model says") {
  const at::Tensor layer = normal({1, 32, 32, 16});
  CHECK(same(grid(layer, first, 64, 64), layer));
  CHECK(same(grid(layer, last, 64, 64), layer.permute({0, 3, 1, 2})));
  CHECK(same(grid(layer, last, 64, 900), layer.permute({0, 3, 1, 2})));
}

TEST_CASE("unknown channels: the one reading that fits the aspect; two are an error that names the option") {
  const at::Tensor swin = normal({2, 8, 12, 96}), usual = normal({2, 96, 8, 12}), cube = normal({2, 7, 7, 7});
  CHECK(same(grid(swin, unknown, 64, 96), swin.permute({0, 3, 1, 2})));
  CHECK(same(grid(usual, unknown, 64, 96), usual));
  CHECK(same(grid(usual, unknown, 64, 640), usual));  // none fits: as convolutions have it
  const std::string text = message<ArgumentError>([&] { (void)grid(cube, unknown, 224, 224); });
  CHECK(contains(text, "the layer 'l' gives (2, 7, 7, 7)"));
  CHECK(contains(text, "option reshape, ChannelsFirst{} or ChannelsLast{}"));
  CHECK(same(grid(cube, first, 224, 224), cube));
}

TEST_CASE("three dimensions of a picture: tokens, a line, or an error that names both") {
  const at::Tensor vit = normal({2, 197, 768}), large = normal({2, 197, 1024});
  CHECK(same(grid(vit, unknown, 224, 224), Tokens{14, 14}(vit)));
  CHECK(same(grid(large, last, 224, 224), Tokens{14, 14}(large)));
  // 1024 places are a grid of 32x32 too.
  const std::string text = message<ArgumentError>([&] { (void)grid(large, unknown, 224, 224); });
  CHECK(contains(text, "(2, 197, 1024), which may be tokens (N, T, C) or (N, C, L)"));
  CHECK(contains(text, "Tokens{height, width, leading} or ChannelsFirst{height, width}"));
  CHECK(contains(message<ArgumentError>([&] {
                   (void)grid(normal({1, 18, 5}), unknown, 224, 224);
                 }),
                 "its 18 tokens make no grid"));

  // Channels that are known to be first stay a line, which is one of a picture of one row.
  const at::Tensor line = normal({2, 16, 50});
  CHECK(same(grid(line, first, 1, 100), line.unsqueeze(2)));
  CHECK(same(grid(line, first, 100, 100), line));
}

TEST_CASE("signals: the channels as they are known; tokens as places, if they can be nothing else") {
  const auto read = [](std::vector<std::int64_t> layer, ChannelAxis channels,
                       std::vector<std::int64_t> input) {
    const at::Tensor given = normal(layer);
    const at::Tensor result = salience::detail::reshape_for(given, normal(input), "l", channels)(given);
    return same(result, given) ? "first" : same(result, given.transpose(1, 2)) ? "last" : "other";
  };
  const auto fails = [&](std::vector<std::int64_t> layer, ChannelAxis channels,
                         std::vector<std::int64_t> input) {
    return message<ArgumentError>([&] { (void)read(layer, channels, input); });
  };
  CHECK(read({2, 16, 50}, first, {2, 3, 100}) == std::string("first"));
  // Nothing says that 16 are not channels, nor that they are.
  CHECK(contains(fails({2, 16, 50}, unknown, {2, 3, 100}),
                 "the layer 'l' gives (2, 16, 50), of which it is not known where the channels are; give the "
                 "option reshape, ChannelsFirst{} for (N, C, places...), ChannelsLast{}"));
  CHECK(read({2, 25, 8}, last, {2, 3, 100}) == std::string("last"));   // patches of 4
  CHECK(read({2, 100, 8}, last, {2, 3, 100}) == std::string("last"));  // as a recurrent network gives
  // 26 may be 25 patches behind a class token, 49 come from convolutions without padding or not, 5 and 4 are
  // both whole patches, and 20 vectors of 100 elements may be no signal.
  for (const std::int64_t count : {26, 49, 5, 20}) {
    const std::string said = fails({2, count, 8}, last, {2, count == 20 ? 20 : 3, 100});
    CHECK(contains(said, "ChannelsLast{} if they are, ChannelsLast{1} if a class token stands before them"));
  }
  const at::Tensor tokens = normal({2, 26, 8});
  CHECK(same(ChannelsLast{1}(tokens), tokens.slice(1, 1).transpose(1, 2)));
  CHECK(contains(message<ArgumentError>([&] { ChannelsLast{26}(tokens); }), "of shape (N, 26 + L, C)"));
}

TEST_CASE("volumes: the channels as they are known; vectors have no places") {
  const at::Tensor volume = normal({2, 1, 8, 8, 8}), features = normal({2, 4, 4, 4, 4});
  const auto read = [&](const at::Tensor& layer, ChannelAxis channels) {
    return salience::detail::reshape_for(layer, volume, "l", channels)(layer);
  };
  CHECK(same(read(features, first), features));
  CHECK(same(read(features, last), features.permute({0, 4, 1, 2, 3})));
  CHECK(contains(message<ArgumentError>([&] { (void)read(features, unknown); }), "ChannelsLast{}"));
  const at::Tensor tokens = normal({2, 25, 6}), vectors = normal({2, 6});
  CHECK(contains(message<ArgumentError>([&] { (void)read(tokens, last); }),
                 "Tokens{height, width, leading, depth} for a volume"));
  CHECK(
      same(Tokens{3, 4, 1, 2}(tokens), tokens.slice(1, 1).reshape({2, 2, 3, 4, 6}).permute({0, 4, 1, 2, 3})));
  CHECK(contains(message<ArgumentError>([&] { Tokens{3, 4, 0, 2}(tokens); }), "(N, 0 + 2 * 3 * 4, C)"));
  for (const ChannelAxis channels : {first, last, unknown}) CHECK(same(read(vectors, channels), vectors));
  CHECK(contains(message<ArgumentError>([&] { (void)read(normal({2}), first); }), "the layer 'l' gives (2)"));
}

TEST_CASE("ChannelsFirst: as it is, a line of a picture, a grid that was flattened, or an error") {
  const at::Tensor four = normal({2, 3, 4, 5});
  CHECK(same(ChannelsFirst{}(four), four));
  CHECK(same(ChannelsFirst{4, 5}(at::Tensor(four.flatten(2))), four));
  CHECK(same(ChannelsFirst{4}(at::Tensor(four.flatten(2))), four));
  CHECK(same(ChannelsFirst{}(at::Tensor(four.flatten(2))), four.flatten(2)));
  CHECK(same(ChannelsFirst{}(at::Tensor(four.flatten(1))), four.flatten(1)));
  CHECK(same(ChannelsFirst{1}(at::Tensor(four.flatten(2))), four.reshape({2, 3, 1, 20})));
  CHECK(contains(message<ArgumentError>([&] {
                   ChannelsFirst{3, 5}(at::Tensor(four.flatten(2)));
                 }),
                 "of shape (N, C, h, w) or (N, C, 3 * 5), got (2, 3, 20)"));
  CHECK_THROWS_AS(ChannelsFirst{3}(at::Tensor(four.flatten(2))), ArgumentError);
  CHECK_THROWS_AS(ChannelsFirst{1}(at::Tensor(four.flatten(1))), ArgumentError);
  CHECK(contains(message<ArgumentError>([&] { ChannelsFirst{}(at::Tensor(four.flatten(0))); }),
                 "of shape (N, C, places...), got (120)"));
}

TEST_CASE("a model of the user's own that does not say where its channels are") {
  struct Own {
    Tapped tapped(const at::Tensor& x, std::span<const std::string> layers) const {
      const at::Tensor layer = x.permute({0, 2, 3, 1}).matmul(mix);
      return {layer.mul(layer).sum({1, 2}), std::vector<at::Tensor>(layers.size(), layer)};
    }
    at::Tensor mix;
  };
  const at::Tensor x = normal({2, 2, 4, 6}, at::kDouble, 72), mix = normal({2, 16}, at::kDouble, 71);
  CHECK(same(GradCam(Own{mix})(x).values, GradCam(Own{mix}, {.reshape = ChannelsLast{}})(x).values));
  const at::Tensor square = normal({2, 2, 4, 4}, at::kDouble, 73), four = normal({2, 4}, at::kDouble, 74);
  CHECK(contains(message<ArgumentError>([&] { (void)GradCam(Own{four})(square); }), "ChannelsLast{}"));
  CHECK(GradCam(Own{four}, {.reshape = ChannelsLast{}})(square).values.defined());
}

TEST_CASE("tokens: whole patches of an input whose sides are no multiples") {
  const auto inferred = [](std::int64_t count, std::int64_t height, std::int64_t width) {
    const Tokens t =
        salience::detail::inferred_tokens(normal({1, count, 2}), normal({1, 1, height, width}), "l");
    return std::array{t.height, t.width, t.leading};
  };
  CHECK(inferred(14 * 12 + 1, 224, 200) == std::array<std::int64_t, 3>{14, 12, 1});
  CHECK(inferred(14 * 30, 225, 495) == std::array<std::int64_t, 3>{14, 30, 0});
  CHECK(inferred(197, 224, 224) == std::array<std::int64_t, 3>{14, 14, 1});
  CHECK(inferred(50, 224, 225) == std::array<std::int64_t, 3>{7, 7, 1});
  CHECK(inferred(25, 100, 900) == std::array<std::int64_t, 3>{5, 5, 0});
}
