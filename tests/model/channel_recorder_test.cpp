#include <salience/model/detail/channel_recorder.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>

#include <string>
#include <thread>
#include <vector>

#include <ATen/ops/conv1d_ops.h>
#include <ATen/ops/conv2d_ops.h>
#include <ATen/ops/layer_norm_ops.h>
#include <ATen/ops/linear_ops.h>
#include <ATen/ops/max_pool2d_ops.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <doctest/doctest.h>

#include "../support.hpp"
#include "../warnings.hpp"

using namespace salience;
using support::contains;
using support::normal;

namespace {

constexpr ChannelAxis first = ChannelAxis::first, last = ChannelAxis::last, unknown = ChannelAxis::unknown;
const at::Tensor picture = normal({2, 3, 8, 8}, at::kDouble, 9);

at::Tensor conv(const at::Tensor& x) {
  return at::_ops::conv2d::call(x, normal({6, 3, 3, 3}), {}, {1, 1}, {1, 1}, {1, 1}, 1);
}
at::Tensor linear(const at::Tensor& x) { return at::_ops::linear::call(x, normal({6, 6}), {}); }
at::Tensor tokens(const at::Tensor& x) { return conv(x).flatten(2).transpose(1, 2); }

/// Where the channels are of what these features give.
template <class Features>
ChannelAxis seen(const Features& features, const at::Tensor& input = picture) {
  const FeaturesHead model(features, [](const at::Tensor& x) { return x.flatten(1).sum({1}, true); });
  const std::vector<std::string> names{"", "features"};
  const Tapped tapped = model.tapped(input.clone().requires_grad_(true), names);
  REQUIRE(tapped.channels.size() == 2);
  CHECK(tapped.channels[0] == tapped.channels[1]);
  return tapped.channels[0];
}

}  // namespace

namespace doctest {
template <>
struct StringMaker<ChannelAxis> {
  static String convert(ChannelAxis axis) {
    return axis == first ? "first" : axis == last ? "last" : "unknown";
  }
};
}  // namespace doctest

TEST_CASE("FeaturesHead sees where the channels of its features are") {
  CHECK(seen([](const at::Tensor& x) { return conv(x); }) == first);
  CHECK(seen([](const at::Tensor& x) { return x; }) == first);
  CHECK(seen([](const at::Tensor& x) { return conv(x).relu_().mul(2.0); }) == first);
  CHECK(seen([](const at::Tensor& x) {
          return at::_ops::max_pool2d::call(conv(x), {2, 2}, {}, {0, 0}, {1, 1}, false);
        }) == first);
  CHECK(seen([](const at::Tensor& x) { return conv(x).permute({0, 2, 3, 1}); }) == last);
  CHECK(seen([](const at::Tensor& x) { return conv(x).movedim(1, -1); }) == last);  // as it is made of others
  CHECK(seen([](const at::Tensor& x) { return tokens(x); }) == last);
  CHECK(seen([](const at::Tensor& x) { return linear(tokens(x)); }) == last);
  CHECK(seen([](const at::Tensor& x) { return tokens(x).matmul(normal({6, 5})); }) == last);
  CHECK(seen([](const at::Tensor& x) { return normal({5, 8}).matmul(conv(x)); }) == first);
  CHECK(seen([](const at::Tensor& x) { return normal({5, 8}).matmul(x).matmul(normal({8, 5})); }) == first);
  CHECK(seen([](const at::Tensor& x) { return normal({9, 64}).matmul(tokens(x)); }) == last);
  CHECK(seen([](const at::Tensor& x) {
          return at::_ops::layer_norm::call(tokens(x).unflatten(1, {8, 8}), {6}, {}, {}, 1e-5, true);
        }) == last);
  CHECK(seen([](const at::Tensor& x) { return tokens(x).transpose(1, 2).view({2, -1, 8, 8}); }) == first);
  CHECK(seen([](const at::Tensor& x) { return tokens(x).reshape({2, 4, -1, 6}); }) == last);
  CHECK(seen(
            [](const at::Tensor& x) {
              return at::_ops::conv1d::call(x, normal({6, 3, 3}), {}, {1}, {0}, {1}, 1);
            },
            normal({2, 3, 18})) == first);
}

TEST_CASE("what it has not seen it does not know") {
  CHECK(seen([](const at::Tensor& x) { return x.mul(2.0); }, normal({2, 3, 18})) == unknown);
  CHECK(seen([](const at::Tensor& x) { return normal({3, 3}).matmul(x); }, normal({2, 3, 18})) == unknown);
  CHECK(seen([](const at::Tensor& x) { return conv(x).permute({1, 0, 2, 3}); }) == unknown);
  CHECK(seen([](const at::Tensor& x) { return conv(x).reshape({2, 8, 8, 6}); }) == unknown);
  CHECK(seen([](const at::Tensor& x) { return conv(x).transpose_(1, 3).mul(1.0); }) == last);
  CHECK(seen([](const at::Tensor& x) {
          return conv(x).as_strided_({2, 8, 8, 6}, {384, 48, 6, 1});
        }) == unknown);
  CHECK(seen([](const at::Tensor& x) { return conv(x.select(0, 0)); }) == unknown);  // without a batch
  CHECK(seen([](const at::Tensor& x) { return conv(x).cumprod(1); }) == unknown);    // not in its lists
  CHECK(seen([](const at::Tensor& x) {
          const at::Tensor t = tokens(x);
          return t.matmul(t.transpose(1, 2));
        }) == unknown);
  CHECK(seen([](const at::Tensor& x) {
          const at::Tensor cube = conv(x).slice(2, 0, 6).slice(3, 0, 6);
          return cube.add(cube.transpose(1, 3));
        }) == unknown);
}

TEST_CASE("recorders in recorders, after an exception, on several threads, in inference mode") {
  const FeaturesHead inner([](const at::Tensor& x) { return conv(x); },
                           [](const at::Tensor& x) {
                             return x.permute({0, 2, 3, 1});
                           });
  const std::vector<std::string> names{"features"};
  CHECK(seen([&](const at::Tensor& x) {
          const Tapped tapped = inner.tapped(x, names);
          CHECK(tapped.channels[0] == first);
          return tapped.output;
        }) == last);
  const FeaturesHead throwing([](const at::Tensor& x) { return conv(x.flatten(1)); }, &tokens);
  CHECK_THROWS(throwing.tapped(picture, names));
  CHECK(seen([](const at::Tensor& x) { return conv(x); }) == first);
  int right = 0;
  std::thread([&] { right += inner.tapped(picture, names).channels[0] == first ? 1 : 0; }).join();
  CHECK(right == 1);
  const c10::InferenceMode mode;
  CHECK(inner.tapped(picture, names).channels[0] == first);
}

TEST_CASE("LastConvolution: channels first, and a word where the only convolution comes before attention") {
  const auto attention = [](const at::Tensor& x) {
    const at::Tensor t = tokens(x);
    return t.matmul(t.transpose(1, 2)).softmax(-1).matmul(t).mean({1});
  };
  const std::vector<std::string> none{""}, named{"convolution.0"};
  const support::CatchWarnings warnings;
  const LastConvolution model(attention);
  CHECK((model.tapped(picture, none).channels == std::vector<ChannelAxis>{first}));
  REQUIRE(warnings.messages().size() == 1);
  CHECK(contains(warnings.messages()[0], "the last convolution is also the first one"));
  (void)model.tapped(picture, named);
  (void)LastConvolution([](const at::Tensor& x) { return conv(x).mean({2, 3}); }).tapped(picture, none);
  CHECK(warnings.messages().size() == 1);
}
