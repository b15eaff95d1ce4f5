#include <salience/method/input_x_gradient.hpp>
#include <salience/method/smooth_grad.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor matrix = normal({6, 6}, at::kDouble, 5);
const at::Tensor slope = normal({6}, at::kDouble, 6);

/// x^T M x / 2 for each row: gradient (M + M^T) x / 2.
const auto quadratic = [](const at::Tensor& x) {
  return x.matmul(matrix.to(x.scalar_type())).mul(x).sum(1).mul(0.5);
};
const at::Tensor symmetric = matrix.add(matrix.t()).mul(0.5);
const auto linear = [](const at::Tensor& x) { return x.mul(slope.to(x.scalar_type())).sum(1); };
/// Elementwise and bumpy, so that rows are independent bit by bit.
const auto bumpy = [](const at::Tensor& x) { return x.sin().mul(x).add(x.relu()); };

const at::Tensor input = normal({5, 6}, at::kDouble, 7);

template <class M>
auto smooth(M model, SmoothGradOptions options) {
  return SmoothGrad(GradientAttributor(model), std::move(options));
}

std::string refused(SmoothGradOptions options) {
  return message<ArgumentError>([&] { smooth(linear, std::move(options)); });
}

}  // namespace

TEST_CASE("of a linear model it is the gradient, its square, and a variance of zero") {
  for (const auto type :
       {SmoothGradType::smoothgrad, SmoothGradType::smoothgrad_sq, SmoothGradType::vargrad}) {
    const Attribution a = smooth(linear, {.samples = 7, .type = type})(input);
    const at::Tensor gradient = slope.expand_as(input);
    const at::Tensor expected = type == SmoothGradType::smoothgrad      ? gradient
                                : type == SmoothGradType::smoothgrad_sq ? gradient.square()
                                                                        : gradient.mul(0.0);
    CHECK(support::distance(a.values, expected) < 1e-14);
    CHECK(a.standard_error.max().item<double>() < 1e-14);
    CHECK(a.copies.eq(7).all().item<bool>());
    CHECK_FALSE(a.stopped);
  }
}

TEST_CASE("of a quadratic it is the gradient within the standard error it states") {
  const Attribution a = smooth(quadratic, {.samples = 400, .noise_level = 0.3})(input);
  const at::Tensor truth = input.matmul(symmetric);
  for (std::int64_t n = 0; n < input.size(0); ++n) {
    const double error = a.values[n].sub(truth[n]).norm().item<double>() / a.values[n].norm().item<double>();
    const double stated = a.standard_error[n].item<double>();
    CHECK(error < 3 * stated);
    CHECK(error > stated / 10);
    // stated: the noise's deviation times the matrix's Frobenius norm, over sqrt(400), over the map's norm
    const double sigma = 0.3 * input[n].max().sub(input[n].min()).item<double>();
    const double expected = sigma * symmetric.norm().item<double>() / 20 / a.values[n].norm().item<double>();
    CHECK(stated == doctest::Approx(expected).epsilon(0.2));
    // Each value has its own: that of the map is their norm.
    const at::Tensor errors = a.values_error[n];
    CHECK(errors.norm().item<double>() / a.values[n].norm().item<double>() == doctest::Approx(stated));
    const double mean_square =
        a.values[n].sub(truth[n]).div(errors).square().mean().item<double>();  // 1 on average
    CHECK(mean_square > 0.1);
    CHECK(mean_square < 4.0);
    CHECK(same(a.sample(n).values_error[0], errors));
  }
  CHECK_FALSE(smooth(quadratic, {.type = SmoothGradType::vargrad})(input).values_error.defined());
}

TEST_CASE(
    "of a quadratic the variance is the closed form, and the mean square is variance plus squared mean") {
  const SmoothGradOptions options{.samples = 4000, .noise_level = 0.5, .noise_scale = NoiseScale::absolute};
  const auto of = [&](SmoothGradType type) {
    SmoothGradOptions chosen = options;
    chosen.type = type;
    return smooth(quadratic, chosen)(input.slice(0, 0, 1)).values;
  };
  const at::Tensor variance = of(SmoothGradType::vargrad);
  const at::Tensor expected = symmetric.square().sum(0).mul(0.25);
  CHECK(variance[0].div(expected).sub(1).abs().max().item<double>() < 5 * std::sqrt(2.0 / 4000));
  const at::Tensor mean = of(SmoothGradType::smoothgrad);
  CHECK(support::distance(of(SmoothGradType::smoothgrad_sq), variance.add(mean.square())) < 1e-11);
}

TEST_CASE("the variance is stable where a difference of squares is not") {
  // gradient 1e6 + x: the variance is that of the noise
  const auto steep = [](const at::Tensor& x) { return x.mul(1e6).add(x.mul(x).mul(0.5)); };
  const at::Tensor x = normal({1, 1}, at::kFloat);
  const SmoothGradOptions options{.samples = 2000,
                                  .noise_level = 1.0,
                                  .noise_scale = NoiseScale::absolute,
                                  .type = SmoothGradType::vargrad};
  CHECK(smooth(steep, options)(x).values.item<float>() == doctest::Approx(1.0).epsilon(0.15));
}

TEST_CASE("the noise level is a fraction of each sample's own range, or absolute") {
  const auto spread = [](SmoothGradOptions options, const at::Tensor& x) {
    at::Tensor seen;
    const GradientAttributor vanilla(
        [&seen](const at::Tensor& t) { return seen = t.detach().clone(), t.mul(t); });
    options.samples = 1;
    SmoothGrad(vanilla, options)(x, ClassIndex{0});
    return seen.sub(x);
  };
  const at::Tensor x = normal({1, 1000});
  const double range = x.max().sub(x.min()).item<double>();
  const at::Tensor one = spread({.noise_level = 0.1}, x);
  CHECK(one.std().item<double>() == doctest::Approx(0.1 * range).epsilon(0.1));
  CHECK(support::distance(spread({.noise_level = 0.1}, x.mul(8.0)), one.mul(8.0)) < 1e-12);
  CHECK(spread({.noise_level = 0.1, .noise_scale = NoiseScale::absolute}, x.mul(8.0)).std().item<double>() ==
        doctest::Approx(0.1).epsilon(0.1));
  CHECK(support::distance(spread({.noise_level = 0.0}, x), x.mul(0.0)) == 0.0);
}

TEST_CASE("promise 3: any chunk, a batch or its samples alone, a repeat: the same bits") {
  for (const double tolerance : {0.0, 0.4}) {
    const auto run = [&](std::int64_t chunk, const at::Tensor& x) {
      return smooth(bumpy, {.samples = 23, .seed = 3, .tolerance = tolerance, .chunk = chunk})(x);
    };
    const Attribution a = run(0, input);
    for (const std::int64_t chunk : {1, 3, 16, 1000}) {
      const Attribution b = run(chunk, input);
      CHECK(same(a.values, b.values));
      CHECK(same(a.copies, b.copies));
      CHECK(same(a.standard_error, b.standard_error));
    }
    for (std::int64_t n = 0; n < input.size(0); ++n) {
      const Attribution one = run(4, input.slice(0, n, n + 1));
      CHECK(same(one.values, a.values.slice(0, n, n + 1)));
      CHECK(same(one.copies, a.copies.slice(0, n, n + 1)));
    }
    CHECK(same(run(0, input).values, a.values));
  }
  CHECK_FALSE(same(smooth(bumpy, {.seed = 1})(input).values, smooth(bumpy, {.seed = 2})(input).values));
}

TEST_CASE("no more rows than the chunk are in flight, and every draw of every sample is taken once") {
  std::int64_t rows = 0, largest = 0;
  const GradientAttributor vanilla([&](const at::Tensor& x) {
    rows += x.size(0);
    largest = std::max(largest, x.size(0));
    return x.mul(x);
  });
  SmoothGrad(vanilla, {.samples = 10, .chunk = 3})(input.slice(0, 0, 3), ClassIndex{0});
  CHECK(rows == 3 * 10 + 3);  // and the clean input once
  CHECK(largest == 3);
}

TEST_CASE("promise 5: the target is chosen once, on the clean input, and held") {
  // two classes whose order flips with noise
  const auto model = [](const at::Tensor& x) { return x; };
  const at::Tensor x = support::tensor({1.0, 0.9}, {1, 2});
  const Attribution a = smooth(model, {.samples = 50, .noise_level = 5.0})(x);
  CHECK(a.target.item<std::int64_t>() == 0);
  CHECK(same(a.values, support::tensor({1, 0}, {1, 2})));
  CHECK(a.score.item<double>() == 1.0);
}

TEST_CASE("promise 5: dtype in is dtype out, sums are kept in float32 or better") {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const Attribution a = smooth(linear, {.samples = 300})(input.to(dtype));
    CHECK((a.values.scalar_type() == dtype));
    // a bfloat16 sum of 300 equal terms would be off by far more than its last place
    CHECK(support::distance(a.values, slope.to(dtype).expand_as(input)) < 1e-6);
  }
}

TEST_CASE("it stops early where the standard error is small enough, each sample by itself") {
  const SmoothGradOptions options{.samples = 2000, .noise_level = 0.2, .tolerance = 0.05};
  const Attribution a = smooth(quadratic, options)(input);
  CHECK(a.standard_error.max().item<double>() <= 0.05);
  CHECK(a.copies.min().item<std::int64_t>() >= 10);
  CHECK(a.copies.max().item<std::int64_t>() < 2000);
  CHECK(a.copies.max().item<std::int64_t>() > a.copies.min().item<std::int64_t>());
  CHECK(a.converged.all().item<bool>());
  CHECK_FALSE(smooth(quadratic, {.samples = 12})(input).converged.defined());  // nothing was asked for
  const Attribution less = smooth(quadratic, {.samples = 12, .noise_level = 0.2, .tolerance = 0.05})(input);
  CHECK(same(less.converged, less.standard_error.le(0.05)));
  CHECK_FALSE(less.converged.all().item<bool>());
  // the same as asking for that many
  const auto count = a.copies[0].item<std::int64_t>();
  CHECK(same(a.values[0], smooth(quadratic, {.samples = count, .noise_level = 0.2})(input).values[0]));
}

TEST_CASE("it wraps any attributor: Input x Gradient, itself, a lambda") {
  const at::Tensor x = input.slice(0, 0, 1);
  const Attribution a = SmoothGrad(InputXGradient(linear), {.samples = 500, .noise_level = 0.1})(x);
  CHECK(support::distance(a.values, slope.mul(x)) <
        4 * a.standard_error.item<double>() * a.values.norm().item<double>());
  const Attribution twice = SmoothGrad(smooth(linear, {.samples = 3}), {.samples = 4})(x);
  CHECK(support::distance(twice.values, slope.expand_as(x)) < 1e-14);
  const auto own = [](const at::Tensor& t, const auto&) { return Attribution{{}, t.mul(2.0)}; };
  const Attribution b = SmoothGrad(own, {.samples = 3, .noise_level = 0.0})(x);
  CHECK(support::distance(b.values, x.mul(2.0)) < 1e-15);
}

TEST_CASE("progress is told after each evaluation; stopping leaves a valid partial result, marked") {
  std::vector<Progress> told;
  const auto tell = [&](const Progress& p) { return told.push_back(p), true; };
  const Attribution whole = smooth(bumpy, {.samples = 6, .chunk = 2, .progress = tell})(input);
  REQUIRE(told.size() == 30);
  CHECK(told.front().done == 1);
  CHECK(told.back().done == 30);
  CHECK(told.back().total == 30);
  CHECK_FALSE(whole.stopped);

  const auto stop = [](const Progress& p) { return p.done < 17; };
  const Attribution part = smooth(bumpy, {.samples = 6, .chunk = 5, .progress = stop})(input);
  CHECK(part.stopped);
  CHECK(part.copies.sum().item<std::int64_t>() == 17);
  const auto count = part.copies[0].item<std::int64_t>();
  CHECK(same(part.values[0], smooth(bumpy, {.samples = count})(input).values[0]));
  // a sample that was never reached is zero, with no samples
  const Attribution first = smooth(bumpy, {.progress = [](const Progress&) { return false; }})(input);
  CHECK(first.copies.sum().item<std::int64_t>() == 1);
  CHECK(first.values[4].abs().max().item<double>() == 0.0);
}

TEST_CASE(
    "promise 1: the input is untouched, under no_grad and in inference mode too, also when the model "
    "throws") {
  at::Tensor leaf = input.clone().requires_grad_(true);
  const auto method = smooth(bumpy, {.samples = 3});
  const at::Tensor expected = method(input).values;
  CHECK(same(method(leaf).values, expected));
  CHECK(same(leaf.detach(), input));
  CHECK_FALSE(leaf.grad().defined());
  {
    const c10::InferenceMode mode;
    CHECK(same(method(input).values, expected));
    CHECK(same(method(input.clone()).values, expected));
  }
  const c10::NoGradGuard no_grad;
  CHECK(same(method(input).values, expected));
  int calls = 0;
  const auto throwing = smooth(
      [&calls](const at::Tensor& x) -> at::Tensor {
        if (++calls == 3) throw std::domain_error("from the model");
        return x.mul_(2.0);
      },
      {.samples = 5, .chunk = 1});
  CHECK_THROWS_AS(throwing(leaf), std::domain_error);
  CHECK(same(leaf.detach(), input));
}

TEST_CASE("promise 2: threads that share it get the same bits") {
  const auto method = smooth(bumpy, {.samples = 5});
  CHECK(support::same_from_threads(method, input, 20) == 4 * 20);
}

TEST_CASE("promise 4: five hundred samples take no more memory than ten") {
  const auto peak = [](std::int64_t samples) {
    return support::peak_memory([&] {
      smooth(bumpy, {.samples = samples, .chunk = 1})(normal({1, 1 << 20}, at::kFloat), ClassIndex{0});
    });
  };
  peak(10);
  const double ten = peak(10);
  CHECK(ten > 0.0);
  CHECK(peak(500) <= 1.05 * ten);
}

TEST_CASE("options out of range name the option, the value and the range") {
  CHECK(refused({.samples = 0}) == "samples must be at least 1, got 0");
  CHECK(refused({.samples = -20}) == "samples must be at least 1, got -20");
  CHECK(contains(refused({.noise_level = -0.1}), "noise_level must be a number of at least 0, got -0.1"));
  CHECK(refused({.noise_level = std::nan("")}) == "noise_level must be a number of at least 0, got nan");
  CHECK(refused({.noise_level = INFINITY}) == "noise_level must be a number of at least 0, got inf");
  CHECK(refused({.tolerance = std::nan("")}) == "tolerance must be at least 0, got nan");
  CHECK(contains(refused({.tolerance = -1}), "tolerance must be at least 0, got -1"));
  CHECK(contains(refused({.chunk = -1}), "chunk must be at least 0, got -1"));
}

static_assert(Attributor<SmoothGrad<InputXGradient<std::remove_const_t<decltype(linear)>>>>);

TEST_CASE("a wrapper of one's own fixes the target as ours do") {
  const auto wrapper = [](const at::Tensor& x, const auto& target) {
    const GradientAttributor vanilla(bumpy);
    const auto& wanted = as_target(target);
    return vanilla(x.add(0.5), FixedTarget{wanted, vanilla.predict(x, wanted).target});
  };
  const Attribution a = wrapper(input, TargetSelector{});
  CHECK(same(a.target, GradientAttributor(bumpy).predict(input).target));
  const Attribution b = SmoothGrad(wrapper, {.samples = 2})(input);
  CHECK(same(b.target, a.target));
  // what takes one type of target only is no attributor
  const auto narrow = [](const at::Tensor& x, const TargetSelector<>&) { return Attribution{{}, x}; };
  static_assert(!Attributor<decltype(narrow)>);
  static_assert(Attributor<decltype(wrapper)>);
}
