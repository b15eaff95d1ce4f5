// Class activation maps of signals (N, C, L), volumes (N, C, D, H, W) and layers without places.
#include <salience/method/explanation.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>

#include <ATen/ops/conv1d_ops.h>
#include <ATen/ops/conv3d_ops.h>
#include <doctest/doctest.h>

#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

const CamOptions raw{.relu = false, .upsample = false};
const auto copy = [](const at::Tensor& x) { return x.mul(1.0); };

at::Tensor conv1d(const at::Tensor& x, const at::Tensor& weight, std::int64_t stride) {
  return at::_ops::conv1d::call(x, weight, {}, {stride}, {0}, {1}, 1);
}
at::Tensor conv3d(const at::Tensor& x, const at::Tensor& weight, std::int64_t stride) {
  return at::_ops::conv3d::call(x, weight, {}, {stride, stride, stride}, {0, 0, 0}, {1, 1, 1}, 1);
}

const at::Tensor w1 = normal({4, 2, 3}, at::kDouble, 51).mul(0.5);
const at::Tensor w3 = normal({4, 2, 2, 2, 2}, at::kDouble, 52).mul(0.5);
const at::Tensor out = normal({4, 3}, at::kDouble, 53);
const at::Tensor signals = normal({3, 2, 15}, at::kDouble, 54);
const at::Tensor volumes = normal({3, 2, 6, 8, 4}, at::kDouble, 55);

/// A convolution, a rectifier, the mean over all places and a linear layer: Grad-CAM is known.
const LastConvolution of_signals([](const at::Tensor& x) {
  return conv1d(x, w1.to(x.scalar_type()), 2).relu().mean({2}).matmul(out.to(x.scalar_type()));
});
const LastConvolution of_volumes([](const at::Tensor& x) {
  return conv3d(x, w3.to(x.scalar_type()), 2).relu().mean({2, 3, 4}).matmul(out.to(x.scalar_type()));
});

/// Grad-CAM of such a network: the gradient of place p is out_k / P where the rectifier is open.
at::Tensor truth(const at::Tensor& layer, std::int64_t target) {
  const at::Tensor flat = layer.flatten(2);
  const at::Tensor weight = flat.gt(0.0).to(at::kDouble).mul(out.select(1, target).view({1, 4, 1}));
  at::Tensor map = weight.mean({2}, true).div(static_cast<double>(flat.size(2))).mul(flat).sum({1}, true);
  std::vector<std::int64_t> sizes = layer.sizes().vec();
  sizes[1] = 1;
  return map.view(sizes);
}

/// align_corners=false along one dimension, as a matrix (to, from).
at::Tensor interpolation(std::int64_t from, std::int64_t to) {
  std::vector<double> w(static_cast<std::size_t>(to * from), 0.0);
  for (std::int64_t i = 0; i < to; ++i) {
    const double at = std::max(
        (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5, 0.0);
    const auto low = static_cast<std::int64_t>(at);
    const std::int64_t high = std::min(low + 1, from - 1);
    w[static_cast<std::size_t>(i * from + low)] += 1.0 - (at - static_cast<double>(low));
    w[static_cast<std::size_t>(i * from + high)] += at - static_cast<double>(low);
  }
  return tensor(w, {to, from});
}

/// The same along each dimension of places.
at::Tensor interpolated(at::Tensor map, at::IntArrayRef sizes) {
  for (std::int64_t i = 2; i < map.dim(); ++i) {
    const at::Tensor turned = map.movedim(i, -1);
    map = turned.matmul(interpolation(map.size(i), sizes[static_cast<std::size_t>(i)]).t()).movedim(-1, i);
  }
  return map;
}

/// Checks all maps: by `check(title, make)`, where make(model, options) gives the method.
template <class Check>
void for_each_cam(const Check& check) {
  check("Grad-CAM", [](auto... of) { return GradCam(of...); });
  check("Grad-CAM++", [](auto... of) { return GradCamPlusPlus(of...); });
  check("HiResCAM", [](auto... of) { return HiResCam(of...); });
  check("XGrad-CAM", [](auto... of) { return XGradCam(of...); });
  check("LayerCAM", [](auto... of) { return LayerCam(of...); });
  check("Eigen-CAM", [](auto... of) { return EigenCam(of...); });
}

/// A weighting of the user's own, written for pictures: it looks at four dimensions.
struct LargestGradient {
  static constexpr bool needs_gradient = true;
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    return g.amax({2, 3}, true).mul(a).sum({1}, true);
  }
};

/// One that tells what shape it is given, and gives the first channel.
struct Shape {
  static constexpr bool needs_gradient = true;
  std::vector<std::int64_t>* seen;
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    *seen = a.sizes().vec();
    CHECK(g.sizes() == a.sizes());
    return a.slice(1, 0, 1);
  }
};

}  // namespace

TEST_CASE("a signal has the map (N, 1, L), interpolated linearly; its layer's own is (N, 1, l)") {
  const at::Tensor layer = conv1d(signals, w1, 2);
  const at::Tensor own = GradCam(of_signals, raw)(signals, ClassIndex{1}).values;
  CHECK(own.sizes() == at::IntArrayRef({3, 1, 7}));
  CHECK(distance(own, truth(layer, 1)) < 1e-14);
  const Attribution map = GradCam(of_signals)(signals, ClassIndex{1});
  CHECK(map.values.sizes() == at::IntArrayRef({3, 1, 15}));
  CHECK(distance(map.values, interpolated(truth(layer, 1).clamp_min(0.0), signals.sizes())) < 1e-14);
  CHECK(map.values.max().item<double>() > 1e-3);
  CHECK((map.values_of == ValuesOf::regions));
  CHECK(same(map.nothing_positive, own.flatten(1).amax({1}).le(0.0)));
}

TEST_CASE(
    "a volume has the map (N, 1, D, H, W), interpolated trilinearly; its layer's own is (N, 1, d, h, w)") {
  const at::Tensor layer = conv3d(volumes, w3, 2);
  const at::Tensor own = GradCam(of_volumes, raw)(volumes, ClassIndex{2}).values;
  CHECK(own.sizes() == at::IntArrayRef({3, 1, 3, 4, 2}));
  CHECK(distance(own, truth(layer, 2)) < 1e-14);
  const at::Tensor map = GradCam(of_volumes)(volumes, ClassIndex{2}).values;
  CHECK(map.sizes() == at::IntArrayRef({3, 1, 6, 8, 4}));
  CHECK(distance(map, interpolated(truth(layer, 2).clamp_min(0.0), volumes.sizes())) < 1e-14);
  CHECK(map.max().item<double>() > 1e-3);
}

TEST_CASE("every map of a signal or volume is that of its places as a picture") {
  // The same layer, the same head, but the places in another arrangement.
  const at::Tensor u = normal({1, 3, 24}, at::kDouble, 56), places = normal({2, 3, 24}, at::kDouble, 57);
  const auto model = [&u](const at::Tensor& like) {
    return FeaturesHead(copy, [w = u.view(like[0].sizes()).unsqueeze(0)](const at::Tensor& a) {
      return at::Tensor(a.mul(a).mul(w).flatten(1).sum({1}, true));
    });
  };
  const at::Tensor picture = places.view({2, 3, 4, 6}), volume = places.view({2, 3, 2, 3, 4});
  const CamOptions as_it_is{.relu = false, .upsample = false, .reshape = ChannelsFirst{}};
  const auto check = [&](const char* title, const auto& make) {
    CAPTURE(title);
    const at::Tensor expected = make(model(picture), raw)(picture, ClassIndex{1}).values.flatten(2);
    const at::Tensor line = make(model(places), as_it_is)(places, ClassIndex{1}).values;
    const at::Tensor cube = make(model(volume), as_it_is)(volume, ClassIndex{1}).values;
    CHECK(line.sizes() == at::IntArrayRef({2, 1, 24}));
    CHECK(cube.sizes() == at::IntArrayRef({2, 1, 2, 3, 4}));
    CHECK(distance(line, expected) < 1e-12);
    CHECK(distance(cube.flatten(2), expected) < 1e-12);
    CHECK(expected.abs().max().item<double>() > 1e-3);
  };
  for_each_cam(check);
  check("of one's own", [](const auto& net, const CamOptions& options) {
    return ClassActivationMap(net, options, LargestGradient{});
  });
}

TEST_CASE("a weighting is given four dimensions, whatever the layer has") {
  const auto seen = [](const at::Tensor& x) {
    std::vector<std::int64_t> sizes;
    const FeaturesHead model(copy, [](const at::Tensor& a) { return a.mul(a).flatten(1).sum({1}, true); });
    const CamOptions first{.relu = false, .upsample = false, .reshape = ChannelsFirst{}};
    const at::Tensor map = ClassActivationMap(model, first, Shape{&sizes})(x, ClassIndex{1}).values;
    CHECK(same(map, x.slice(1, 0, 1)));  // and its map goes back to the layer's places
    return sizes;
  };
  using Sizes = std::vector<std::int64_t>;
  CHECK(seen(normal({2, 3})) == Sizes{2, 3, 1, 1});
  CHECK(seen(normal({2, 3, 8})) == Sizes{2, 3, 1, 8});
  CHECK(seen(normal({2, 3, 4, 5})) == Sizes{2, 3, 4, 5});
  CHECK(seen(normal({2, 3, 4, 5, 6})) == Sizes{2, 3, 4, 30});
}

TEST_CASE("the map of a vector is one number: (N, 1), or in all places of the input") {
  // Behind the mean over all places: weight 0.25 of each element, times the element.
  const FeaturesHead model([](const at::Tensor& x) { return x.flatten(2).mean({2}); },
                           [](const at::Tensor& v) {
                             return v.mul(tensor({1, -2, 3}, {1, 3}));
                           });
  for (const at::Tensor& x : {normal({2, 3, 5}), normal({2, 3, 4, 5}), normal({2, 3, 2, 3, 4})}) {
    const at::Tensor vector = x.flatten(2).mean({2});
    const at::Tensor number = vector.slice(1, 2, 3).mul(3.0);  // of class 2
    const at::Tensor own = GradCam(model, raw)(x, ClassIndex{2}).values;
    CHECK(own.sizes() == at::IntArrayRef({2, 1}));
    CHECK(distance(own, number) < 1e-14);
    const at::Tensor filled = GradCam(model, {.relu = false})(x, ClassIndex{2}).values;
    std::vector<std::int64_t> sizes = x.sizes().vec();
    sizes[1] = 1;
    CHECK(filled.sizes() == at::IntArrayRef(sizes));
    CHECK(distance(filled.flatten(2), number.unsqueeze(2).expand({2, 1, x[0][0].numel()})) < 1e-14);
    for_each_cam([&](const char* title, const auto& make) {
      CAPTURE(title);
      CHECK(make(model, raw)(x, ClassIndex{2}).values.sizes() == at::IntArrayRef({2, 1}));
    });
  }
  // A table has no places either.
  const at::Tensor table = normal({2, 3});
  const FeaturesHead dense(copy, [](const at::Tensor& v) { return v.mul(tensor({1, -2, 3}, {1, 3})); });
  CHECK(distance(GradCam(dense, {.relu = false})(table, ClassIndex{1}).values,
                 table.slice(1, 1, 2).mul(-2.0)) < 1e-14);
}

TEST_CASE("promise 3: a batch gives what its samples give one by one, for every map") {
  const auto check = [](const auto& method, const at::Tensor& x) {
    const Attribution batch = method(x, ClassIndex{1});
    for (std::int64_t n = 0; n < x.size(0); ++n) {
      const Attribution one = method(x.slice(0, n, n + 1), ClassIndex{1});
      CHECK(distance(batch.values.slice(0, n, n + 1), one.values) < 1e-12);
      CHECK(same(batch.nothing_positive.slice(0, n, n + 1), one.nothing_positive));
    }
  };
  for_each_cam([&](const char* title, const auto& make) {
    CAPTURE(title);
    check(make(of_signals, CamOptions{}), signals);
    check(make(of_volumes, CamOptions{}), volumes);
  });
  check(GuidedGradCam(of_signals), signals);
  check(GuidedGradCam(of_volumes), volumes);
}

TEST_CASE("promise 5: dtype in is dtype out") {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    CHECK((GradCam(of_signals)(signals.to(dtype)).values.scalar_type() == dtype));
    CHECK((GradCam(of_volumes)(volumes.to(dtype)).values.scalar_type() == dtype));
  }
}

TEST_CASE("several layers of a volume: the mean of their maps, each by its largest absolute value") {
  const LastConvolution two([](const at::Tensor& x) {
    const at::Tensor first = conv3d(x, w3, 1).relu();
    return conv3d(first, w3.repeat({1, 2, 1, 1, 1}), 2).relu().mean({2, 3, 4}).matmul(out);
  });
  const at::Tensor x = volumes.slice(0, 0, 1);
  const auto one = [&](const char* layer) {
    const at::Tensor map = GradCam(two, {.layer = layer, .relu = false, .upsample = false})(x).values;
    return interpolated(map.div(map.abs().max()), x.sizes());
  };
  const at::Tensor mean = one("convolution.0").add(one("convolution.1")).div(2.0);
  const CamOptions both{.layer = {"convolution.0", "convolution.1"}, .relu = false};
  CHECK(distance(GradCam(two, both)(x).values, mean) < 1e-13);
}

TEST_CASE("Guided Grad-CAM of signals, volumes and vectors: guided backpropagation times the map") {
  const auto check = [](const auto& model, const at::Tensor& x) {
    const Attribution a = GuidedGradCam(model)(x, ClassIndex{1});
    const at::Tensor guided = GuidedBackprop(model)(x, ClassIndex{1}).values;
    CHECK(a.values.sizes() == x.sizes());
    CHECK(same(a.values, guided.mul(GradCam(model)(x, ClassIndex{1}).values)));
    CHECK(a.values.abs().max().item<double>() > 1e-6);
    CHECK((a.values_of == ValuesOf::elements));
  };
  check(of_signals, signals);
  check(of_volumes, volumes);
  check(FeaturesHead([](const at::Tensor& x) { return conv1d(x, w1, 2).relu().mean({2}); },
                     [](const at::Tensor& v) { return v.matmul(out); }),
        signals);
}

TEST_CASE("a layer of other dimensions than the input is an error that names the options") {
  // The two channels of a signal as a picture of 2x15, as a spectrogram inside of a network is.
  const LastConvolution unfolded(
      [](const at::Tensor& x) { return conv1d(x.unsqueeze(2).flatten(2), w1, 2).mean({2}).matmul(out); });
  CHECK(GradCam(unfolded)(signals).values.defined());
  const FeaturesHead picture([](const at::Tensor& x) { return x.unsqueeze(1).mul(1.0); },
                             [](const at::Tensor& a) {
                               return a.mul(a).sum({2, 3});
                             });
  const CamOptions known{.reshape = ChannelsFirst{}};
  CHECK(
      message<ArgumentError>([&] { (void)GradCam(picture, known)(signals); }) ==
      "the last convolution gives (3, 1, 2, 15), a map of 2x15, which cannot be upsampled to an input of 15 "
      "places; give the option reshape, or upsample = false for the layer's own grid");
  CHECK(contains(message<ArgumentError>([&] { (void)GradCam(picture)(signals); }), "option reshape"));
  CHECK(GradCam(picture, {.upsample = false, .reshape = ChannelsFirst{}})(signals).values.sizes() ==
        at::IntArrayRef({3, 1, 2, 15}));
}

TEST_CASE("a sequence (N, T, C) that the model turns is no signal") {
  const LastConvolution turned([](const at::Tensor& x) {
    const at::Tensor w = normal({4, 6, 1}, at::kDouble, 58);
    return conv1d(x.transpose(1, 2), w, 1).mean({2}).matmul(out);
  });
  const at::Tensor sequence = normal({2, 9, 6});
  const std::string said = message<ArgumentError>([&] { (void)GradCam(turned)(sequence); });
  CHECK(contains(said,
                 "the last convolution gives (2, 4, 9), as many places as the input (2, 9, 6) has in its "
                 "second dimension"));
  CHECK(contains(said, "give the option reshape, ChannelsFirst{} for a signal, or upsample = false"));
  CHECK(GradCam(turned, {.upsample = false})(sequence).values.sizes() == at::IntArrayRef({2, 1, 9}));
  CHECK(GradCam(turned, {.reshape = ChannelsFirst{}})(sequence).values.sizes() == at::IntArrayRef({2, 1, 6}));
}

TEST_CASE("FeaturesHead knows the channels of volumes from the input, of signals from a convolution") {
  const FeaturesHead cubes(copy, [](const at::Tensor& a) { return a.mul(a).sum({2, 3, 4}); });
  CHECK(GradCam(cubes)(volumes).values.sizes() == at::IntArrayRef({3, 1, 6, 8, 4}));
  const FeaturesHead lines([](const at::Tensor& x) { return conv1d(x, w1, 2).relu(); },
                           [](const at::Tensor& a) { return a.mean({2}); });
  CHECK(GradCam(lines)(signals).values.sizes() == at::IntArrayRef({3, 1, 15}));
  const FeaturesHead nothing(copy, [](const at::Tensor& a) { return a.mul(a).sum({2}); });
  CHECK(contains(message<ArgumentError>([&] { (void)GradCam(nothing)(signals); }),
                 "not known where the channels are"));
}
