#include <salience/method/gradient_attributor.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

/// score_k(x) = sum_i w[k][i] x_i^2 / 2, so that the gradient is w[k] * x; rows are independent.
struct Quadratic {
  at::Tensor weight = normal({3, 4});
  at::Tensor operator()(const at::Tensor& x) const {
    return x.mul(x).mul(0.5).matmul(weight.to(x.scalar_type()).t());
  }
  at::Tensor gradient(const at::Tensor& x, const at::Tensor& classes) const {
    return weight.index_select(0, classes).mul(x);
  }
};

const Quadratic quadratic;
const auto linear_of_one = [](const at::Tensor& x) { return x.sum(0, /*keepdim=*/true); };
const at::Tensor input = normal({5, 4}, at::kDouble, 1);

}  // namespace

TEST_CASE("the gradient, the target, the score and the output come from one call of the model") {
  int calls = 0;
  const GradientAttributor vanilla([&calls](const at::Tensor& x) { return ++calls, quadratic(x); });
  const Attribution a = vanilla(input);
  CHECK(calls == 1);
  CHECK(same(a.logits, quadratic(input)));
  CHECK(same(a.target, std::get<1>(quadratic(input).max(1))));
  CHECK(same(a.score, std::get<0>(quadratic(input).max(1))));
  CHECK(support::distance(a.values, quadratic.gradient(input, a.target)) < 1e-14);
  CHECK_FALSE(a.values.requires_grad());
  CHECK_FALSE(a.logits.requires_grad());
  CHECK_FALSE(a.score.requires_grad());
}

TEST_CASE("the target may be a choice, a selector or a callable") {
  const GradientAttributor vanilla(quadratic);
  const at::Tensor second = input.mul(quadratic.weight[2]);
  CHECK(support::distance(vanilla(input, ClassIndex{2}).values, second) < 1e-14);
  CHECK(support::distance(vanilla(input, TargetSelector(ClassIndex{2})).values, second) < 1e-14);
  const Attribution custom = vanilla(input, [](const at::Tensor& output) { return output.select(1, 2); });
  CHECK(support::distance(custom.values, second) < 1e-14);
  CHECK_FALSE(custom.target.defined());
  // d log p_c = (1 - p_c) dz_c - sum of the others' p_k dz_k
  const Attribution log_p = vanilla(input, TargetSelector(ClassIndex{0}, LogProbability{}));
  const at::Tensor p = quadratic(input).softmax(1);
  const at::Tensor expected = quadratic.weight[0].sub(p.matmul(quadratic.weight)).mul(input);
  CHECK(support::distance(log_p.values, expected) < 1e-13);
}

TEST_CASE("a model is a lambda, a function object, something with forward, a pointer to it, or a reference") {
  struct Forward {
    at::Tensor forward(const at::Tensor& x) { return quadratic(x); }
  };
  const at::Tensor expected = GradientAttributor(quadratic)(input).values;
  Forward forward;
  Quadratic copy = quadratic;
  CHECK(same(GradientAttributor(forward)(input).values, expected));
  CHECK(same(GradientAttributor(std::make_shared<Forward>())(input).values, expected));
  CHECK(same(GradientAttributor(std::ref(copy))(input).values, expected));
  CHECK(same(GradientAttributor([](at::Tensor x) mutable { return quadratic(x); })(input).values, expected));
  const std::function<at::Tensor(const at::Tensor&)> function = quadratic;
  CHECK(same(GradientAttributor(function)(input).values, expected));
}

TEST_CASE("the primitive takes a model that is a temporary or const") {
  const at::Tensor expected = GradientAttributor(quadratic)(input).values;
  CHECK(same(gradient_at_input(quadratic, input).values, expected));
  CHECK(same(gradient_at_input([](const at::Tensor& x) { return quadratic(x); }, input, ArgMax{}).values,
             expected));
}

TEST_CASE("promise 1: the input is untouched, whatever it is and whatever the model does to its argument") {
  const GradientAttributor vanilla([](const at::Tensor& x) { return x.mul_(2.0), quadratic(x); });
  const at::Tensor expected =
      GradientAttributor([](const at::Tensor& x) { return quadratic(x.mul(2.0)); })(input).values;

  at::Tensor plain = input.clone();
  CHECK(same(vanilla(plain).values, expected));
  CHECK(same(plain, input));
  CHECK_FALSE(plain.requires_grad());

  at::Tensor leaf = input.clone().requires_grad_(true);
  CHECK(same(vanilla(leaf).values, expected));
  CHECK(same(leaf.detach(), input));
  CHECK_FALSE(leaf.grad().defined());
  CHECK(leaf.requires_grad());

  const at::Tensor inner = leaf.mul(1.0);  // not a leaf
  CHECK(same(vanilla(inner).values, expected));
  CHECK_FALSE(leaf.grad().defined());
  inner.sum().backward();  // the caller's own graph still works
  CHECK(leaf.grad().defined());
}

TEST_CASE("promise 1 holds when the model throws") {
  at::Tensor leaf = input.clone().requires_grad_(true);
  const GradientAttributor throwing([](const at::Tensor& x) -> at::Tensor {
    x.mul_(3.0);
    throw std::domain_error("from the model");
  });
  CHECK_THROWS_AS(throwing(leaf), std::domain_error);
  CHECK(same(leaf.detach(), input));
  CHECK(leaf.requires_grad());
  CHECK(c10::GradMode::is_enabled());
  at::Tensor plain = input.clone();
  CHECK_THROWS_AS(throwing(plain), std::domain_error);
  CHECK_FALSE(plain.requires_grad());
}

TEST_CASE("promise 1: a parameter's grad and flag are untouched and no gradient is computed for it") {
  at::Tensor weight = normal({4, 3}).requires_grad_(true);
  const GradientAttributor vanilla([&weight](const at::Tensor& x) { return x.matmul(weight); });
  vanilla(input);
  CHECK_FALSE(weight.grad().defined());
  weight.mutable_grad() = weight.detach().mul(2.0);
  vanilla(input);
  CHECK(same(weight.grad(), weight.detach().mul(2.0)));
  CHECK(weight.requires_grad());
  int asked = 0;
  weight.register_hook([&asked](const at::Tensor&) { ++asked; });
  vanilla(input);
  CHECK(asked == 0);
}

TEST_CASE("works under no_grad, in inference mode and with an inference tensor") {
  const GradientAttributor vanilla(quadratic);
  const at::Tensor expected = vanilla(input).values;
  {
    const c10::NoGradGuard no_grad;
    CHECK(same(vanilla(input).values, expected));
    CHECK_FALSE(c10::GradMode::is_enabled());
  }
  at::Tensor inference;
  {
    const c10::InferenceMode mode;
    inference = input.clone();
    CHECK(same(vanilla(inference).values, expected));
    CHECK(same(vanilla(input).values, expected));
    CHECK(c10::InferenceMode::is_enabled());
  }
  CHECK(inference.is_inference());
  CHECK(same(vanilla(inference).values, expected));
}

TEST_CASE("promise 2: threads that share an attributor get the same bits") {
  const GradientAttributor vanilla(quadratic);
  CHECK(support::same_from_threads(vanilla, input, 50) == 4 * 50);
}

TEST_CASE("promise 3: a batch gives what its samples give one by one") {
  const GradientAttributor vanilla([](const at::Tensor& x) { return x.mul(x).cumsum(1); });
  const at::Tensor batch = vanilla(input).values;
  for (std::int64_t n = 0; n < input.size(0); ++n) {
    CHECK(same(vanilla(input.slice(0, n, n + 1)).values, batch.slice(0, n, n + 1)));
  }
}

TEST_CASE("promise 5: dtype in is dtype out, the target of a bfloat16 input too") {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const at::Tensor x = input.to(dtype);
    const Attribution a = GradientAttributor(quadratic)(x);
    CHECK((a.values.scalar_type() == dtype));
    CHECK((a.score.scalar_type() == dtype));
    CHECK((a.target.scalar_type() == at::kLong));
    CHECK(support::distance(a.values, quadratic.gradient(x.to(at::kDouble), a.target)) < 0.05);
  }
}

TEST_CASE("layouts: expanded, transposed, channels-last and strided inputs") {
  const GradientAttributor vanilla([](const at::Tensor& x) { return x.mul(x).sum({2, 3}); });
  const at::Tensor x = normal({2, 3, 4, 4});
  const auto expect = [&](const at::Tensor& strided) {
    const at::Tensor got = vanilla(strided, ClassIndex{1}).values;
    return same(got, vanilla(strided.contiguous(), ClassIndex{1}).values) && got.sizes() == strided.sizes();
  };
  CHECK(expect(x.transpose(2, 3)));
  CHECK(expect(x.contiguous(at::MemoryFormat::ChannelsLast)));
  CHECK(expect(x.slice(3, 0, 4, 2)));
  CHECK(expect(x.slice(0, 0, 1).expand({3, 3, 4, 4})));
}

TEST_CASE("what cannot be explained is an error with a sentence") {
  const GradientAttributor vanilla(quadratic);
  CHECK(contains(message<ArgumentError>([&] { vanilla({}); }), "undefined"));
  CHECK(contains(message<ArgumentError>([&] { vanilla(input.slice(0, 0, 0)); }), "(0, 4)"));
  CHECK(contains(message<ArgumentError>([&] { vanilla(input.to(at::kLong)); }), "floating type, got Long"));
  CHECK(contains(message<TargetError>([&] { vanilla(input, ClassIndex{7}); }), "0 to 2"));
  CHECK(contains(message<TargetError>([&] { vanilla(input, [](const at::Tensor& o) { return o.sum(0); }); }),
                 "one score per sample, (5), got (3)"));

  const GradientAttributor one(linear_of_one);
  const std::string unbatched = message<TargetError>([&] { one(input[0]); });
  CHECK(contains(unbatched, "for an input of shape (4) and an output of shape (1)"));
  CHECK(contains(unbatched, "x.unsqueeze(0)"));
  const auto blamed = [&](auto target) { return message<TargetError>([&] { vanilla(input, target); }); };
  CHECK(contains(blamed([](const at::Tensor& o) { return o.detach().select(1, 0); }),
                 "target's score has no gradient"));
  CHECK(contains(blamed([](const at::Tensor& o) { return o.select(2, 0); }),
                 "the target fails on an output of shape (5, 3): "));
  CHECK_FALSE(contains(blamed([](const at::Tensor& o) { return o.select(2, 0); }), "\n"));

  const GradientAttributor detached([](const at::Tensor& x) { return x.detach(); });
  CHECK(contains(message<ModelError>([&] { detached(input); }), "no gradient"));
  const GradientAttributor integers([](const at::Tensor& x) { return x.to(at::kLong); });
  CHECK(contains(message<ModelError>([&] { integers(input); }), "no gradient"));
  const at::Tensor parameter = normal({5, 3}).requires_grad_(true);
  const GradientAttributor elsewhere([&parameter](const at::Tensor&) { return parameter.mul(2.0); });
  CHECK(contains(message<ModelError>([&] { elsewhere(input); }), "does not depend on the input"));
  CHECK_FALSE(parameter.grad().defined());
}

static_assert(Attributor<GradientAttributor<Quadratic>>);
static_assert(Model<Quadratic> && !Model<int>);
static_assert(Target<TargetSelector<>> && !Target<ClassIndex>);
