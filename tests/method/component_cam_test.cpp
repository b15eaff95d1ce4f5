// EigenGradCAM and KPCA-CAM by their definitions.
#include <ATen/ATen.h>
#include <salience/method/grad_cam.hpp>
#include <salience/model/features_head.hpp>

#include <doctest/doctest.h>

#include "../support.hpp"

using namespace salience;
using support::distance;
using support::normal;
using support::tensor;

namespace {

// As in grad_cam_test: the features are the input itself.
const at::Tensor u = tensor({1, -1, 2, 0, 3, -2, 1, 1}, {1, 2, 2, 2});
const auto identity = [](const at::Tensor& x) { return x; };
const auto head = [](const at::Tensor& x) {
  return at::stack({(x * u).flatten(1).sum(1), (x * x * u).flatten(1).sum(1) * 0.5}, 1);
};
const FeaturesHead model(identity, head);
const at::Tensor a = tensor({1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 2, 2});
const CamOptions raw{.relu = false, .upsample = false};

}  // namespace

TEST_CASE("EigenGradCAM: Eigen-CAM of activations times gradients") {
  const at::Tensor activations = normal({2, 5, 3, 4}, at::kDouble, 21),
                   gradients = normal({2, 5, 3, 4}, at::kDouble, 22);
  const at::Tensor map = FirstGradientComponent{}(activations, gradients);
  CHECK(distance(map, FirstComponent{}(activations * gradients, {})) == 0.0);
  // The projection on the direction in which the places differ most.
  const at::Tensor places = (activations * gradients).flatten(2).transpose(1, 2);
  const at::Tensor centred = places - places.mean(1, true);
  const at::Tensor covariance = centred.transpose(1, 2).matmul(centred);
  const at::Tensor direction = std::get<1>(at::linalg_eigh(covariance)).select(2, -1).unsqueeze(2);
  CHECK(distance(map.abs(), centred.matmul(direction).view({2, 1, 3, 4}).abs()) < 1e-12);
  CHECK(distance(EigenGradCam(model, raw)(a, ClassIndex{0}).values,
                 EigenGradCam(model, raw)(a, ClassIndex{1}).values) > 1e-3);
}

TEST_CASE("KPCA-CAM: the first component of the centred sigmoid kernel, its largest value positive") {
  const at::Tensor activations = normal({2, 5, 3, 4}, at::kDouble, 23);
  const at::Tensor places = activations.flatten(2).transpose(1, 2), centred = places - places.mean(1, true);
  const at::Tensor middle = at::eye(12, at::kDouble) - 1.0 / 12.0;
  for (const double gamma : {0.0, 0.7}) {
    const at::Tensor products = centred.matmul(centred.transpose(1, 2));
    const at::Tensor kernel = (products * (gamma > 0 ? gamma : 0.2) + 1.0).tanh();
    const at::Tensor whole = middle.matmul(kernel).matmul(middle);
    const at::Tensor largest = at::linalg_eigvalsh(whole).select(1, -1);
    const at::Tensor map = FirstKernelComponent{gamma}(activations, {});
    const at::Tensor component = map.flatten(1).unsqueeze(2);
    // An eigenvector of the largest eigenvalue, whose square is that.
    CHECK(distance(whole.matmul(component), component * largest.view({2, 1, 1})) < 1e-12);
    CHECK(distance(component.square().sum(1).flatten(), largest) < 1e-12);
    CHECK((map.amax({1, 2, 3}) + map.amin({1, 2, 3})).min().item<double>() > 0.0);
  }
  CHECK(KpcaCam(model, raw)(a).values.sizes() == at::IntArrayRef({1, 1, 2, 2}));
  const FeaturesHead detached(identity, [](const at::Tensor& x) { return head(x.detach()); });
  CHECK(KpcaCam(detached)(a).values.sizes() == at::IntArrayRef({1, 1, 2, 2}));
}
