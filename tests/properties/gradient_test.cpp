#include <salience/method/smooth_grad.hpp>

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cstdint>

#include <salience/method/gradient_attributor.hpp>
#include <salience/method/integrated_gradients.hpp>

#include "../support.hpp"

using namespace salience;
using support::distance;
using support::normal;
using support::same;

namespace {

/// Three scores of every sample by operators that treat each row alone, so that its bits depend on nothing
/// else.
at::Tensor bumpy(const at::Tensor& x) {
  const at::Tensor bent = x.mul(x).sin().add(x.tanh()).cumsum(1);
  return bent.slice(1, bent.size(1) - 3);
}

int salt() { return *rc::gen::inRange(0, 1000000); }

/// (samples, features); now and then so many that LibTorch shares them out to its threads.
at::Tensor batch(std::int64_t samples) {
  const auto features = *rc::gen::inRange<std::int64_t>(3, 40);
  return normal({samples, features * *rc::gen::weightedElement<std::int64_t>({{19, 1}, {1, 2000}})},
                at::kDouble, salt());
}

/// Of every sample of `whole`, what `method` gives for it alone.
template <class Method>
void expect_samples_alone(const Method& method, const at::Tensor& x, const Attribution& whole) {
  for (std::int64_t n = 0; n < x.size(0); ++n) {
    const Attribution alone = method(x.slice(0, n, n + 1));
    RC_ASSERT(same(alone.values, whole.values.slice(0, n, n + 1)));
    RC_ASSERT(same(alone.target, whole.target.slice(0, n, n + 1)));
  }
}

/// `make(chunk)` gives the method; whatever the chunk, the batch and LibTorch's threads, the bits are the
/// same.
template <class Make>
void expect_same_bits(const Make& make, const at::Tensor& x) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Attribution one_by_one = make(1)(x);
  at::set_num_threads(*rc::gen::inRange(1, 5));
  const Attribution chunked = make(*rc::gen::inRange(0, 30))(x);
  expect_samples_alone(make(*rc::gen::inRange(0, 30)), x, chunked);
  at::set_num_threads(threads);
  RC_ASSERT(same(chunked.values, one_by_one.values));
}

}  // namespace

TEST_CASE("the gradient is linear in the score") {
  CHECK(rc::check("grad(a s + b t) = a grad s + b grad t", [] {
    const at::Tensor x = batch(*rc::gen::inRange<std::int64_t>(1, 6));
    const at::Tensor s_weights = normal({3}, at::kDouble, salt()),
                     t_weights = normal({3}, at::kDouble, salt());
    const double a = *rc::gen::inRange(-1000, 1001) * 0.01, b = *rc::gen::inRange(-1000, 1001) * 0.01;
    const auto s = [&](const at::Tensor& out) { return out.mul(out).matmul(s_weights); };
    const auto t = [&](const at::Tensor& out) { return out.softmax(1).matmul(t_weights); };
    const auto both = [&](const at::Tensor& out) { return s(out).mul(a).add(t(out), b); };
    const GradientAttributor vanilla(bumpy);
    const at::Tensor apart = vanilla(x, s).values.mul(a).add(vanilla(x, t).values, b);
    RC_ASSERT(distance(vanilla(x, both).values, apart) <= 1e-11 * (1.0 + apart.abs().max().item<double>()));
  }));
}

TEST_CASE("a batch gives the bits that its samples give alone") {
  CHECK(rc::check("vanilla", [] {
    const at::Tensor x = batch(*rc::gen::inRange<std::int64_t>(1, 9));
    const GradientAttributor vanilla(bumpy);
    expect_samples_alone(vanilla, x, vanilla(x));
  }));
}

TEST_CASE("any chunk, batch and number of threads gives the same bits") {
  CHECK(rc::check("SmoothGrad", [] {
    const at::Tensor x = batch(*rc::gen::inRange<std::int64_t>(1, 5));
    SmoothGradOptions options{
        .samples = *rc::gen::inRange<std::int64_t>(1, 15),
        .noise_level = *rc::gen::inRange(0, 100) * 0.01,
        .type = *rc::gen::element(SmoothGradType::smoothgrad, SmoothGradType::smoothgrad_sq,
                                  SmoothGradType::vargrad),
        .seed = *rc::gen::arbitrary<std::uint64_t>(),
        .tolerance = *rc::gen::element(0.0, 0.5)};
    expect_same_bits(
        [&](std::int64_t chunk) {
          options.chunk = chunk;
          return SmoothGrad(GradientAttributor(bumpy), options);
        },
        x);
  }));
  CHECK(rc::check("Integrated Gradients", [] {
    const at::Tensor x = batch(*rc::gen::inRange<std::int64_t>(1, 5));
    IntegratedGradientsOptions options;
    if (*rc::gen::arbitrary<bool>()) {
      options.tolerance = 0.1;
      options.max_evaluations = *rc::gen::inRange<std::int64_t>(2, 30);
    } else {
      options.steps = *rc::gen::inRange<std::int64_t>(1, 15);
      options.rule = *rc::gen::element(Quadrature::gauss_legendre, Quadrature::trapezoid, Quadrature::left);
    }
    expect_same_bits(
        [&](std::int64_t chunk) {
          options.chunk = chunk;
          return IntegratedGradients(bumpy, options);
        },
        x);
  }));
}

TEST_CASE("threads that share a method get the bits of one") {
  CHECK(rc::check("vanilla, SmoothGrad, Integrated Gradients", [] {
    const at::Tensor x = batch(*rc::gen::inRange<std::int64_t>(1, 5));
    const GradientAttributor vanilla(bumpy);
    RC_ASSERT(support::same_from_threads(vanilla, x, 3) == 12);
    RC_ASSERT(support::same_from_threads(SmoothGrad(vanilla, {.samples = 3}), x, 2) == 8);
    RC_ASSERT(support::same_from_threads(IntegratedGradients(bumpy, {.steps = 4}), x, 2) == 8);
  }));
}
