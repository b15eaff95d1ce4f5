#include <salience/view/attribution_processor.hpp>

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <salience/picture/resize.hpp>

#include "../support.hpp"

using namespace salience;
using support::normal;
using support::same;

namespace {

std::int64_t size() { return *rc::gen::inRange<std::int64_t>(1, 12); }

/// (N, C, H, W) of any scale; constant, of one sign, with holes, or neither.
at::Tensor attribution() {
  const at::ScalarType type = *rc::gen::element(at::kFloat, at::kDouble, at::kBFloat16);
  at::Tensor x =
      normal({size() % 3 + 1, size() % 4 + 1, size(), size()}, at::kDouble, *rc::gen::inRange(0, 1000000));
  x = x.mul(std::pow(10.0, *rc::gen::inRange(-30, 16)));
  switch (*rc::gen::inRange(0, 6)) {
    case 0:
      x = x.mul(0.0).add(*rc::gen::inRange(-9, 10));
      break;
    case 1:
      x = x.abs().neg();
      break;
    case 2:
      x = x.clamp_min(0.0);
      break;
    case 3:
      x.view({-1})[*rc::gen::inRange<std::int64_t>(0, x.numel())].fill_(
          *rc::gen::element(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                            -std::numeric_limits<double>::infinity()));
  }
  return x.to(type);
}

AttributionProcessorOptions options() {
  return {.non_finite = NonFinite::zero,
          .activation =
              *rc::gen::element(Activation::none, Activation::abs, Activation::relu, Activation::negative),
          .percentile = *rc::gen::element(100.0, 99.0, 50.0, 1e-3),
          .reduce_first = *rc::gen::arbitrary<bool>(),
          .skew = *rc::gen::element(0.01, 0.5, 0.8, 1.0, 2.0, 7.0),
          .channels = *rc::gen::element(ChannelReduction::mean, ChannelReduction::max, ChannelReduction::sum,
                                        ChannelReduction::l2)};
}

}  // namespace

TEST_CASE("a view's values are within 0 and 1, whatever the attribution and the options") {
  CHECK(rc::check("values", [] {
    const at::Tensor x = attribution();
    const at::Tensor shown = AttributionProcessor{options()}.values(x);
    RC_ASSERT(shown.numel() > 0);
    RC_ASSERT(count_non_finite(shown) == 0);
    RC_ASSERT(shown.min().item<double>() >= 0.0);
    RC_ASSERT(shown.max().item<double>() <= 1.0);
  }));
}

TEST_CASE("the picture of a sample in a batch is that of the sample alone, and has its size") {
  CHECK(rc::check("images", [] {
    const at::Tensor x = attribution();
    AttributionProcessorOptions wanted = options();
    wanted.colormap = *rc::gen::element<std::string>("", "hot", "coolwarm");
    wanted.grayscale = wanted.colormap.empty() && *rc::gen::arbitrary<bool>();
    const AttributionProcessor view{wanted};
    const std::vector<Image> pictures = view.images(x);
    RC_ASSERT(static_cast<std::int64_t>(pictures.size()) == x.size(0));
    for (std::int64_t n = 0; n < x.size(0); ++n) {
      const Image& picture = pictures[static_cast<std::size_t>(n)];
      RC_ASSERT(picture.height() == x.size(2));
      RC_ASSERT(picture.width() == x.size(3));
      RC_ASSERT(picture == view(x[n]));
    }
  }));
}

TEST_CASE("a power of two as scale changes nothing that is normalised") {
  CHECK(rc::check("values", [] {
    const at::Tensor x = attribution().to(at::kDouble);
    const AttributionProcessor view{options()};
    RC_ASSERT(same(view.values(x), view.values(x.mul(std::ldexp(1.0, *rc::gen::inRange(-60, 61))))));
  }));
}

TEST_CASE("a constant picture resized is the constant, in any size") {
  CHECK(rc::check("resize", [] {
    const auto side = [] { return *rc::gen::inRange(1, 200); };
    const int channels = *rc::gen::inRange(1, 5);
    const auto level = *rc::gen::arbitrary<std::uint8_t>();
    const auto flat = [&](int height, int width) {
      return Image(height, width, channels,
                   std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * channels), level));
    };
    const int height = side(), width = side();
    const auto order = *rc::gen::element(ResizeOrder::pillow, ResizeOrder::width_first);
    RC_ASSERT(resize(flat(side(), side()), height, width, order) == flat(height, width));
  }));
}
