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

TEST_CASE("three dimensions: tokens, a line, or an error that names both") {
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

  // Of a signal (N, C, L) nothing says that 16 are not channels.
  const at::Tensor line = normal({2, 16, 50}), signal = normal({2, 3, 100});
  const auto of_signal = [&](ChannelAxis channels) {
    return salience::detail::reshape_for(line, signal, "l", channels)(line);
  };
  CHECK(contains(message<ArgumentError>([&] { (void)of_signal(unknown); }), "ChannelsFirst"));
  CHECK(same(of_signal(first), line.unsqueeze(2)));
  CHECK(same(of_signal(last), Tokens{4, 4, 0}(line)));
  CHECK(same(grid(line, first, 1, 100), line.unsqueeze(2)));
  CHECK(contains(message<ArgumentError>([&] { (void)grid(line, first, 100, 100); }),
                 "channels and a line of 50 places, for a picture of 100x100; give the option reshape"));
}

TEST_CASE("ChannelsFirst: as it is, a line, a grid that was flattened, or an error") {
  const at::Tensor four = normal({2, 3, 4, 5});
  CHECK(same(ChannelsFirst{}(four), four));
  CHECK(same(ChannelsFirst{4, 5}(at::Tensor(four.flatten(2))), four));
  CHECK(same(ChannelsFirst{4}(at::Tensor(four.flatten(2))), four));
  CHECK(same(ChannelsFirst{}(at::Tensor(four.flatten(2))), four.reshape({2, 3, 1, 20})));
  CHECK(contains(message<ArgumentError>([&] {
                   ChannelsFirst{3, 5}(at::Tensor(four.flatten(2)));
                 }),
                 "of shape (N, C, h, w) or (N, C, 3 * 5), got (2, 3, 20)"));
  CHECK_THROWS_AS(ChannelsFirst{3}(at::Tensor(four.flatten(2))), ArgumentError);
  CHECK_THROWS_AS(ChannelsFirst{}(at::Tensor(four.flatten(1))), ArgumentError);
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
