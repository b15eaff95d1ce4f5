#include <salience/method/class_activation_map.hpp>
#include <salience/method/explanation.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/model/features_head.hpp>

#include <doctest/doctest.h>

#include <stdexcept>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor input = normal({2, 3, 4, 5}, at::kDouble, 3);
const at::Tensor u = normal({1, 3, 4, 5}, at::kDouble, 4);
const auto identity = [](const at::Tensor& x) { return x; };
const auto head = [](const at::Tensor& a) {
  return at::Tensor(a.mul(a).mul(u.to(a.scalar_type())).flatten(1).sum({1}, true));
};
const FeaturesHead model(identity, head);

/// A user's own: the largest gradient of a channel weighs it.
struct LargestGradient {
  static constexpr bool needs_gradient = true;
  double scale = 1.0;

  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    return g.amax({2, 3}, true).mul(a).sum({1}, true).mul(scale);
  }
};

/// One that looks at no class.
struct Mean {
  static constexpr bool needs_gradient = false;
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    if (g.defined()) throw std::logic_error("a gradient that nobody asked for");
    return a.mean({1}, true);
  }
};

struct Shapeless {
  static constexpr bool needs_gradient = false;
  at::Tensor operator()(const at::Tensor& a, const at::Tensor&) const { return a; }
};

const CamOptions raw{.relu = false, .upsample = false};

}  // namespace

static_assert(CamWeighting<LargestGradient>);
static_assert(CamWeighting<FirstComponent>);
static_assert(!CamWeighting<decltype(identity)>);
static_assert(Attributor<ClassActivationMap<decltype(FeaturesHead(identity, head)), Mean>>);

TEST_CASE("a weighting of the user's own gives the map that it says") {
  const at::Tensor gradient = input.mul(u).mul(2.0);
  const at::Tensor expected = gradient.amax({2, 3}, true).mul(input).sum({1}, true);
  const ClassActivationMap cam(model, raw, LargestGradient{});
  const Attribution map = cam(input, ClassIndex{1});
  CHECK(distance(map.values, expected) < 1e-13);
  CHECK(same(map.score, cam.predict(input, ClassIndex{1}).score));
  CHECK(distance(ClassActivationMap(model, raw, LargestGradient{.scale = -2.0})(input, ClassIndex{1}).values,
                 expected.mul(-2.0)) < 1e-13);
  // with the options of all class activation maps
  const Attribution shown = ClassActivationMap(model, {}, LargestGradient{})(input, ClassIndex{1});
  CHECK(distance(shown.values, expected.clamp_min(0.0)) < 1e-13);
  // and from a pass that others share
  const Explanation explanation(model, input, ClassIndex{1}, raw);
  CHECK(same(explanation.cam(LargestGradient{}).values, map.values));
}

TEST_CASE("a weighting that needs no gradient gets none, and costs no backward pass") {
  // the head does not let a gradient through
  const FeaturesHead constant(identity, [](const at::Tensor& t) { return head(t.detach()); });
  CHECK(distance(ClassActivationMap(constant, raw, Mean{})(input, ClassIndex{1}).values,
                 input.mean({1}, true)) < 1e-14);
  CHECK_THROWS_AS(ClassActivationMap(constant, raw, LargestGradient{})(input, ClassIndex{1}), ModelError);
}

TEST_CASE("the named maps are this with their weightings") {
  const auto same_as = [](const auto& named, const auto& weighting) {
    return same(named(input, ClassIndex{1}).values,
                ClassActivationMap(model, raw, weighting)(input, ClassIndex{1}).values);
  };
  CHECK(same_as(GradCam(model, raw), MeanGradient{}));
  CHECK(same_as(GradCamPlusPlus(model, raw), PlusPlus{}));
  CHECK(same_as(HiResCam(model, raw), Elementwise{}));
  CHECK(same_as(XGradCam(model, raw), NormalisedActivation{}));
  CHECK(same_as(LayerCam(model, raw), PositiveGradient{}));
  CHECK(same_as(EigenCam(model, raw), FirstComponent{}));
}

TEST_CASE("a weighting whose map is no map is an error with a sentence") {
  const ClassActivationMap cam(model, raw, Shapeless{});
  CHECK(contains(message<ArgumentError>([&] { (void)cam(input, ClassIndex{1}); }),
                 "the map of a weighting must be of shape (2, 1, h, w), got (2, 3, 4, 5)"));
}
