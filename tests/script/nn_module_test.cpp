// torch::nn modules as models.
#include <doctest/doctest.h>
#include <torch/nn.h>
#include <salience/method/gradient_attributor.hpp>

#include <memory>

#include "../support.hpp"

using namespace salience;

namespace nn = torch::nn;

TEST_CASE(
    "a torch::nn module is a model: a holder, a container, a shared pointer, a reference to an "
    "implementation") {
  torch::manual_seed(1);
  nn::Linear linear(4, 3);
  const at::Tensor input = support::normal({5, 4}, at::kFloat);
  const Attribution a = GradientAttributor(linear)(input);
  CHECK(support::same(a.values, linear->weight.index_select(0, a.target).detach()));
  CHECK(support::same(GradientAttributor(nn::Sequential(linear))(input).values, a.values));
  CHECK(support::same(GradientAttributor(linear.ptr())(input).values, a.values));
  CHECK(support::same(GradientAttributor(*linear)(input).values, a.values));
  CHECK_FALSE(linear->weight.grad().defined());
  CHECK(linear->weight.requires_grad());
}
