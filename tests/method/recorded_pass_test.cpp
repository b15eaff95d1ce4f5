#include <salience/method/recorded_pass.hpp>

#include <doctest/doctest.h>

#include <c10/core/GradMode.h>

#include <span>
#include <string>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

/// score_k = sum_i w[k][i] h_i^2 / 2 with h = 3x: d score / d h = w * h, d score / d x = 3 w * h.
struct TwoLayers {
  struct Tapped {
    at::Tensor output;
    std::vector<at::Tensor> layers;
  };
  at::Tensor weight = normal({3, 4});

  Tapped tapped(const at::Tensor& x, std::span<const std::string> names) const {
    Tapped result;
    const at::Tensor hidden = x.mul(3.0);
    const at::Tensor square = hidden.mul(hidden).mul(0.5);
    result.output = square.matmul(weight.t());
    for (const std::string& name : names) {
      if (name == "input") result.layers.push_back(x);
      if (name == "hidden") result.layers.push_back(hidden);
      if (name == "square") result.layers.push_back(square);
      if (name == "output") result.layers.push_back(result.output);
      if (name == "unused") result.layers.push_back(hidden.mul(2.0));
      if (name == "constant") result.layers.push_back(weight);
    }
    return result;
  }
};

const TwoLayers model;
const at::Tensor input = normal({5, 4}, at::kDouble, 1);
const std::vector<std::string> names = {"square", "hidden", "input", "output"};
const at::Tensor rows = model.weight[2].expand({5, 4});
const at::Tensor at_hidden = rows.mul(input).mul(3.0);

salience::RecordedPass record(std::span<const std::string> layers = names) {
  return salience::record(model, input, ClassIndex{2}, layers);
}

}  // namespace

TEST_CASE("one backward pass gives the gradients at the input and at layers") {
  const salience::RecordedPass pass = record();
  CHECK(pass.names == names);
  CHECK(distance(pass.layers[1], input.mul(3.0)) < 1e-14);
  std::vector<at::Tensor> wrt = pass.layers;
  wrt.push_back(pass.leaf);
  const std::vector<at::Tensor> gradients = pass.gradients(wrt);
  CHECK(distance(gradients[0], rows) < 1e-14);
  CHECK(distance(gradients[1], at_hidden) < 1e-13);
  CHECK(distance(gradients[2], at_hidden.mul(3.0)) < 1e-13);
  CHECK(distance(gradients[3].select(1, 2), input.select(1, 0).mul(0.0).add(1.0)) == 0.0);
  CHECK(gradients[3].sum().item<double>() == 5.0);
  CHECK(distance(gradients[4], at_hidden.mul(3.0)) < 1e-13);
  for (const at::Tensor& gradient : gradients) CHECK_FALSE(gradient.requires_grad());
}

TEST_CASE("a kept graph may be walked back many times, in any order, and nothing adds up") {
  const salience::RecordedPass pass = record();
  const at::Tensor layer = pass.layers[1];
  const at::Tensor first = pass.gradients(layer, /*keep=*/true).front();
  for (int i = 0; i < 3; ++i) {
    CHECK(distance(pass.gradient(/*keep=*/true), at_hidden.mul(3.0)) < 1e-13);  // goes through the layer
    CHECK(same(pass.gradients(layer, /*keep=*/true).front(), first));
    CHECK_FALSE(pass.leaf.grad().defined());
  }
  CHECK(distance(first, at_hidden) < 1e-13);
  CHECK(distance(pass.gradient(), at_hidden.mul(3.0)) < 1e-13);
  CHECK(contains(message<ModelError>([&] { pass.gradient(); }), "second time"));  // the graph was freed
}

TEST_CASE("a pass is recorded and walked back under no_grad and in inference mode") {
  const c10::InferenceMode mode;
  const salience::RecordedPass pass = record();
  CHECK(distance(pass.gradients(pass.layers[1]).front(), at_hidden) < 1e-13);
}

TEST_CASE("a layer without a gradient is an error that names it") {
  const std::vector<std::string> odd = {"hidden", "unused", "constant"};
  const salience::RecordedPass pass = record(odd);
  const auto complaint = [&](std::size_t i) {
    return message<ModelError>([&] { pass.gradients(pass.layers[i], /*keep=*/true); });
  };
  CHECK(contains(complaint(1), "the layer 'unused' plays no part in the explained score"));
  CHECK(contains(complaint(2), "the layer 'constant' does not depend on the input"));
  CHECK(distance(pass.gradients(pass.layers[0]).front(), at_hidden) < 1e-13);  // and harms nothing
}

TEST_CASE("the result has the pass's target, score and output, apart from its graph") {
  const salience::RecordedPass pass = record();
  const Attribution a = pass.explained_by(pass.gradient());
  CHECK(a.target.eq(2).all().item<bool>());
  CHECK(same(a.logits, pass.output.detach()));
  CHECK(same(a.score, a.logits.select(1, 2)));
  CHECK_FALSE(a.logits.requires_grad());
  CHECK_FALSE(a.score.requires_grad());
}
