#include <salience/view/attribution_processor.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "../support.hpp"
#include "../warnings.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

at::Tensor values(AttributionProcessorOptions options, const at::Tensor& t) {
  return AttributionProcessor(std::move(options)).values(t);
}

std::string refused(AttributionProcessorOptions options, const at::Tensor& t = tensor({1, 2}, {1, 2})) {
  return message<ArgumentError>([&] { (void)AttributionProcessor(std::move(options)).images(t); });
}

std::vector<int> pixels(const Image& image) { return {image.pixels().begin(), image.pixels().end()}; }

}  // namespace

TEST_CASE("ranks: 4-D is samples, 3-D channels, 2-D a plane; one sample and one channel are dropped") {
  const AttributionProcessor raw{{.normalize = false}};
  const at::Tensor x = normal({2, 3, 4, 5});
  CHECK(same(raw.values(x), x.permute({0, 2, 3, 1})));
  CHECK(same(raw.values(x.slice(0, 0, 1)), x[0].permute({1, 2, 0})));
  CHECK(same(raw.values(x[0]), x[0].permute({1, 2, 0})));
  CHECK(same(raw.values(x.slice(1, 0, 1)), x.select(1, 0)));
  CHECK(same(raw.values(x[0].slice(0, 0, 1)), x[0][0]));
  CHECK(same(raw.values(x[0][0]), x[0][0]));
  CHECK(raw.values(normal({7, 2, 3})).size(2) == 7);
}

TEST_CASE("computed in float32; float64 stays; bfloat16 and integers widen") {
  const AttributionProcessor view;
  CHECK((view.values(normal({2, 2}, at::kFloat)).scalar_type() == at::kFloat));
  CHECK((view.values(normal({2, 2}, at::kDouble)).scalar_type() == at::kDouble));
  CHECK((view.values(normal({2, 2}, at::kBFloat16)).scalar_type() == at::kFloat));
  CHECK(same(view.values(tensor({0, 4}, {1, 2}).to(at::kLong)), tensor({0, 1}, {1, 2}).to(at::kFloat)));
}

TEST_CASE("layouts: strided, expanded, channels-last and lazily negated values look as contiguous ones") {
  const AttributionProcessor view{{.activation = Activation::relu, .colormap = "hot"}};
  const at::Tensor x = normal({2, 3, 4, 6});
  for (const at::Tensor& laid :
       {x.transpose(2, 3), x.slice(3, 1, 6, 2), x.slice(0, 0, 1).expand({2, 3, 4, 6}), x.flip({3}),
        x.contiguous(at::MemoryFormat::ChannelsLast), x._neg_view()}) {
    CHECK((view.images(laid) == view.images(laid.clone(at::MemoryFormat::Contiguous))));
  }
  CHECK((view.images(x._neg_view()) == view.images(x.neg())));
}

TEST_CASE("activations, and the sign modes' names for them") {
  const at::Tensor x = tensor({-2, 0, 3}, {1, 3});
  const auto activated = [&](Activation a) { return values({.activation = a, .normalize = false}, x); };
  CHECK(same(activated(Activation::none), x));
  CHECK(same(activated(Activation::abs), tensor({2, 0, 3}, {1, 3})));
  CHECK(same(activated(Activation::relu), tensor({0, 0, 3}, {1, 3})));
  CHECK(same(activated(Activation::negative), tensor({2, 0, 0}, {1, 3})));
  CHECK(Activation::all == Activation::none);
  CHECK(Activation::absolute == Activation::abs);
  CHECK(Activation::positive == Activation::relu);
}

TEST_CASE("normalise subtracts the minimum and divides by the maximum, over all channels together") {
  const at::Tensor x = tensor({1, 2, 3, /**/ 5, 7, 9}, {2, 1, 3});
  CHECK(same(values({}, x), x.sub(1.0).div(8.0).permute({1, 2, 0}).contiguous()));
}

TEST_CASE("a constant map becomes zero, not NaN; an all-negative one after relu too") {
  CHECK(same(values({}, tensor({4, 4}, {1, 2})), tensor({0, 0}, {1, 2})));
  CHECK(same(values({.activation = Activation::relu}, tensor({-4, -1}, {1, 2})), tensor({0, 0}, {1, 2})));
}

TEST_CASE("each sample of a batch is normalised alone: it looks as it does alone") {
  const at::Tensor x = normal({3, 2, 4, 4}, at::kFloat);
  const AttributionProcessor view{{.activation = Activation::abs, .skew = 0.7, .colormap = "hot"}};
  const std::vector<Image> batch = view.images(x);
  REQUIRE(batch.size() == 3);
  for (std::size_t n = 0; n < 3; ++n) CHECK(batch[n] == view(x[static_cast<std::int64_t>(n)]));
  const at::Tensor all = view.values(x);
  for (std::int64_t n = 0; n < 3; ++n) CHECK(same(all[n], view.values(x[n])));
}

TEST_CASE("skew is a power after normalising") {
  const at::Tensor x = tensor({0, 1, 2, 4}, {1, 4});
  for (const double power : {0.5, 0.8, 1.0, 2.0, 3.0}) {
    const at::Tensor expected = x.div(4.0).pow(power);
    CHECK(support::distance(values({.skew = power}, x), expected) < 1e-15);
  }
}

TEST_CASE("grayscale is the channels' mean in three equal channels, truncated") {
  // normalised: 0, .25, .5 and 1, .75, .5; means .5, .5, .5
  const AttributionProcessor view{{.grayscale = true}};
  const Image gray = view(tensor({0, 1, 2, /**/ 4, 3, 2}, {2, 1, 3}));
  CHECK(gray.channels() == 3);
  CHECK(pixels(gray) == std::vector<int>(9, 127));
  CHECK(pixels(AttributionProcessor{{.normalize = false, .grayscale = true}}(
            tensor({-1, 0.999, 7}, {1, 3}))) == std::vector<int>{0, 0, 0, 254, 254, 254, 255, 255, 255});
}

TEST_CASE("without gray and colour the channels are kept, truncated to bytes") {
  CHECK(pixels(AttributionProcessor{{.normalize = false}}(tensor({0.5, -3, 0.999, 2}, {2, 1, 2}))) ==
        std::vector<int>{127, 254, 0, 255});
  CHECK(AttributionProcessor{}(normal({3, 5, 6})).channels() == 3);
  CHECK(AttributionProcessor{}(normal({5, 6})).channels() == 1);
}

TEST_CASE("a colour map colours the channels' mean; without normalising it clips to its ends") {
  const Colormap map = colormap("viridis");
  const AttributionProcessor view{{.normalize = false, .colormap = "viridis"}};
  const Image picture = view(tensor({-1e300, 0.5, 1.0, 1e300}, {1, 4}));
  const auto pixel = [&picture](int x) {
    return Colormap::Color{picture(0, x, 0), picture(0, x, 1), picture(0, x, 2)};
  };
  CHECK(pixel(0) == map[0]);
  CHECK(pixel(1) == map[128]);
  CHECK(pixel(2) == map[255]);
  CHECK(pixel(3) == map[255]);
}

TEST_CASE("grayscale and a colour map: grayscale wins, and a warning says so") {
  const support::CatchWarnings warnings;
  const AttributionProcessor view{{.grayscale = true, .colormap = "jet"}};
  REQUIRE(warnings.messages().size() == 1);
  CHECK(contains(warnings.messages()[0], "grayscale wins"));
  CHECK(view(normal({3, 4, 4})) == AttributionProcessor{{.grayscale = true}}(normal({3, 4, 4})));
}

TEST_CASE("channel reductions, before or after normalising") {
  const at::Tensor x = tensor({3, 0, /**/ -4, 2}, {2, 1, 2});
  const auto reduced = [&](ChannelReduction how) {
    return values({.reduce_first = true, .normalize = false, .channels = how}, x);
  };
  CHECK(same(reduced(ChannelReduction::mean), tensor({-0.5, 1}, {1, 2})));
  CHECK(same(reduced(ChannelReduction::max), tensor({3, 2}, {1, 2})));
  CHECK(same(reduced(ChannelReduction::sum), tensor({-1, 2}, {1, 2})));
  CHECK(same(reduced(ChannelReduction::l2), tensor({5, 2}, {1, 2})));
  // after: normalised x is (7, 4 | 0, 6) / 7, the maxima (7, 6) / 7
  const Image after = AttributionProcessor{{.channels = ChannelReduction::max, .grayscale = true}}(x);
  CHECK(after(0, 0, 0) == 255);
  CHECK(after(0, 1, 0) == static_cast<int>(255.0 * 6 / 7));
  // before: the maxima (3, 2) are normalised to (1, 0)
  const Image before =
      AttributionProcessor{{.reduce_first = true, .channels = ChannelReduction::max, .grayscale = true}}(x);
  CHECK(before(0, 0, 0) == 255);
  CHECK(before(0, 1, 0) == 0);
}

TEST_CASE("a percentile clips by magnitude, interpolated as numpy's") {
  // magnitudes 0..4; the 90th percentile is 3.6
  const at::Tensor x = tensor({0, -1, 2, 3, -4}, {1, 5});
  CHECK(support::distance(values({.percentile = 90, .normalize = false}, x),
                          tensor({0, -1, 2, 3, -3.6}, {1, 5})) < 1e-15);
  CHECK(same(values({.percentile = 100, .normalize = false}, x), x));
  CHECK(support::distance(values({.percentile = 1e-9, .normalize = false}, x), at::Tensor(x).mul(0.0)) <
        1e-9);
}

TEST_CASE("a shared range puts several attributions on one scale") {
  const at::Tensor small = tensor({0, 1}, {1, 2}), large = tensor({2, 4}, {1, 2});
  const AttributionProcessor own;
  const ValueRange a = own.range(small), b = own.range(large);
  CHECK(a.minimum == 0);
  CHECK(b.maximum == 4);
  const AttributionProcessor shared{{.range = ValueRange{a.minimum, b.maximum}}};
  CHECK(same(shared.values(small), tensor({0, 0.25}, {1, 2})));
  CHECK(same(shared.values(large), tensor({0.5, 1}, {1, 2})));
  CHECK(same(shared.values(tensor({-1, 9}, {1, 2})), tensor({0, 1}, {1, 2})));
  CHECK(own.range(tensor({1, -7, 3, 2}, {2, 1, 1, 2})).minimum == -7);
}

TEST_CASE("over a background with the opacity") {
  const at::Tensor x = normal({3, 4, 4}, at::kFloat);
  const Image background(4, 4, 3, std::vector<std::uint8_t>(48, 200));
  const AttributionProcessor view{{.colormap = "jet", .opacity = 0.25}};
  CHECK(view(x, background) == overlay(background, view(x), 0.25));
  CHECK_FALSE(view(x, background) == background);
}

TEST_CASE("a step of the user's own comes first") {
  const AttributionProcessor negated(AttributionProcessorOptions{.normalize = false},
                                     [](const at::Tensor& t) { return t.neg(); });
  CHECK(same(negated.values(tensor({1, -2}, {1, 2})), tensor({-1, 2}, {1, 2})));
}

TEST_CASE("what the user's step returns is checked as well") {
  const AttributionProcessor wrong(AttributionProcessorOptions{},
                                   [](const at::Tensor& t) { return t.unsqueeze(0); });
  CHECK(contains(message<ArgumentError>([&] { wrong.values(normal({2, 3, 4, 5})); }), "(1, 2, 3, 4, 5)"));
  const AttributionProcessor nothing(AttributionProcessorOptions{},
                                     [](const at::Tensor&) { return at::Tensor{}; });
  CHECK(contains(message<ArgumentError>([&] { nothing.values(normal({2, 3})); }), "undefined"));
}

TEST_CASE("the attribution is not changed and may require a gradient") {
  const at::Tensor x = normal({3, 4, 4}, at::kFloat).requires_grad_(true);
  const at::Tensor before = x.detach().clone();
  (void)AttributionProcessor{{.activation = Activation::abs, .percentile = 90, .skew = 0.5}}(x);
  CHECK(same(x.detach(), before));
}

TEST_CASE("what is out of range is an error that names the option") {
  CHECK(refused({.skew = 0.0}) == "skew must be a number above 0, got 0");
  CHECK(refused({.skew = -1.0}) == "skew must be a number above 0, got -1");
  CHECK(refused({.skew = not_a_number}) == "skew must be a number above 0, got nan");
  CHECK(refused({.skew = infinity}) == "skew must be a number above 0, got inf");
  CHECK(contains(refused({.normalize = false, .skew = 0.5}), "skew needs normalize"));
  CHECK(refused({.percentile = 0}) == "percentile must be above 0 and at most 100, got 0");
  CHECK(refused({.percentile = 101}) == "percentile must be above 0 and at most 100, got 101");
  CHECK(refused({.percentile = not_a_number}) == "percentile must be above 0 and at most 100, got nan");
  CHECK(refused({.opacity = 1.5}) == "opacity must be from 0 to 1, got 1.5");
  CHECK(refused({.opacity = not_a_number}) == "opacity must be from 0 to 1, got nan");
  CHECK(refused({.range = ValueRange{1, 0}}) == "range must be finite and ascending, got from 1 to 0");
  CHECK(contains(refused({.range = ValueRange{0, infinity}}), "range must be finite"));
  CHECK(contains(refused({.normalize = false, .range = ValueRange{0, 1}}), "range needs normalize"));
  CHECK(contains(refused({.colormap = "virids"}), "'viridis'"));
  CHECK(refused({}) == "nothing thrown");
}

TEST_CASE("NaN and infinity are an error that counts them, whatever the view does") {
  const at::Tensor bad = tensor({1, not_a_number, -infinity, not_a_number}, {1, 4});
  const std::string expected =
      "the attribution holds 2 NaN and 1 infinite of 4 values; the option non_finite = NonFinite::zero shows "
      "them as 0";
  CHECK(refused({}, bad) == expected);
  CHECK(refused({}, bad.to(at::kFloat)) == expected);
  CHECK(refused({}, bad.to(at::kBFloat16)) == expected);
  CHECK(refused({.normalize = false, .colormap = "hot"}, bad) == expected);
  CHECK(refused({.activation = Activation::relu, .percentile = 50, .grayscale = true}, bad) == expected);
  CHECK(message<ArgumentError>([&] { (void)AttributionProcessor{}.values(bad); }) == expected);
  CHECK(message<ArgumentError>([&] { (void)AttributionProcessor{}.range(bad); }) == expected);
  const AttributionProcessor inverse(AttributionProcessorOptions{},
                                     [](const at::Tensor& t) { return t.pow(-1.0); });
  CHECK(contains(message<ArgumentError>([&] { inverse.values(tensor({0, 2}, {1, 2})); }), "1 infinite of 2"));
}

TEST_CASE("NonFinite::zero shows NaN and infinity as zero, and count_non_finite says how many there are") {
  const at::Tensor clean = normal({2, 3, 50, 60});
  at::Tensor holed = clean.clone(), zeroed = clean.clone();
  const std::vector<double> bad{not_a_number, infinity, -infinity};
  for (const std::int64_t at : {0, 1, 63, 2048, 2999, 9000, 17999}) {  // in both samples, at blocks' edges
    holed.view({-1})[at].fill_(bad[static_cast<std::size_t>(at) % bad.size()]);
    zeroed.view({-1})[at].fill_(0.0);
  }
  CHECK(count_non_finite(clean) == 0);
  CHECK(count_non_finite(holed) == 7);
  CHECK(count_non_finite(holed[1]) == 2);
  CHECK(count_non_finite(holed.to(at::kBFloat16)) == 7);
  CHECK(count_non_finite(tensor({3e38, 3e38, 3e38}, {3}).to(at::kFloat)) == 0);  // whose sum is infinite
  CHECK(count_non_finite(tensor({infinity, -infinity}, {2})) == 2);
  CHECK(count_non_finite(tensor({0, 1, 2}, {3}).to(at::kLong)) == 0);
  CHECK(contains(message<ArgumentError>([] { count_non_finite({}); }), "undefined"));

  const at::Tensor before = holed.clone();
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const at::Tensor given = holed.to(type), wanted = zeroed.to(type);
    for (AttributionProcessorOptions options :
         {AttributionProcessorOptions{.percentile = 99, .skew = 0.5, .colormap = "inferno"},
          AttributionProcessorOptions{.activation = Activation::abs, .reduce_first = true, .grayscale = true},
          AttributionProcessorOptions{.normalize = false}}) {
      const AttributionProcessor strict{options};
      options.non_finite = NonFinite::zero;
      const AttributionProcessor lenient{options};
      CHECK((lenient.images(given) == strict.images(wanted)));
      CHECK(same(lenient.values(given), strict.values(wanted)));
      CHECK(lenient.range(given).maximum == strict.range(wanted).maximum);
      CHECK((lenient.images(wanted) == strict.images(wanted)));
    }
  }
  CHECK(holed.nan_to_num(1e9).equal(before.nan_to_num(1e9)));  // the caller's tensor is not written into
  const AttributionProcessor lenient{{.non_finite = NonFinite::zero}};
  CHECK(same(lenient.values(tensor({not_a_number, infinity}, {1, 2})), tensor({0, 0}, {1, 2})));
  CHECK(same(lenient.values(tensor({infinity, 1, -infinity}, {1, 3})), tensor({0, 1, 0}, {1, 3})));
}

TEST_CASE("maps with nothing in them: constant, all negative, all zero, of one pixel, tiny") {
  const at::Tensor flat = normal({1, 1}).expand({4, 5});
  for (const at::Tensor& map : {flat, flat.abs().neg(), flat.mul(0.0), flat.slice(0, 0, 1).slice(1, 0, 1),
                                flat.mul(1e-300), normal({4, 5}).abs().neg()}) {
    for (const Activation activation : {Activation::none, Activation::abs, Activation::relu}) {
      const at::Tensor shown = values({.activation = activation, .percentile = 99, .skew = 0.5}, map);
      CHECK(count_non_finite(shown) == 0);
      CHECK(shown.min().item<double>() == 0.0);
      CHECK(shown.max().item<double>() <= 1.0);
    }
  }
}

TEST_CASE("values too far apart to be normalised are an error that says so") {
  const std::string text = refused({}, tensor({-3e38, 3e38}, {1, 2}).to(at::kFloat));
  CHECK(contains(text, "values from -3e+38 to 3e+38 cannot be normalised"));
  CHECK(contains(text, "too large for Float numbers"));
  CHECK(contains(refused({.range = ValueRange{0, 1e39}}, normal({1, 2}, at::kFloat)), "from 0 to 1e+39"));
  CHECK(refused({}, tensor({-3e38, 3e38}, {1, 2})) == "nothing thrown");
}

TEST_CASE("shapes that are no pictures are errors") {
  CHECK(contains(refused({}, tensor({1, 2}, {2})), "(2)"));
  CHECK(contains(refused({}, normal({1, 1, 1, 2, 2})), "(1, 1, 1, 2, 2)"));
  CHECK(contains(refused({}, normal({0, 3, 2, 2})), "(0, 3, 2, 2)"));
  CHECK(contains(refused({}, {}), "undefined"));
  CHECK(refused({}, normal({2, 2}).to_sparse()) ==
        "attribution must be dense, real and not empty, of shape (N, C, H, W), (C, H, W) or (H, W), got (2, "
        "2), "
        "Double, Sparse on cpu");
  CHECK(contains(refused({}, normal({2, 2}).to(at::kMeta)), "got (2, 2), Double, Strided on meta"));
  CHECK(contains(refused({}, normal({2, 2}).to(at::kComplexDouble)), "got (2, 2), ComplexDouble"));
  CHECK(contains(message<ArgumentError>([] {
                   AttributionProcessor{}(normal({2, 3, 2, 2}));
                 }),
                 "use images()"));
}
