#include <salience/method/input_x_gradient.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "path_models.hpp"

using namespace salience;
using namespace support::paths;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

constexpr std::array rules{Quadrature::gauss_legendre, Quadrature::left, Quadrature::right,
                           Quadrature::middle, Quadrature::trapezoid};

template <class M, class P = StraightPath>
auto integrated(M model, IntegratedGradientsOptions options = {}, P path = {}) {
  return IntegratedGradients(std::move(model), std::move(options), std::move(path));
}

std::string refused(IntegratedGradientsOptions options) {
  return message<ArgumentError>([&] { integrated(linear, std::move(options)); });
}

/// The largest |a - b| over the largest |b|.
double relative(const at::Tensor& a, const at::Tensor& b) {
  return distance(a, b) / b.abs().max().item<double>();
}

/// sum of x^power: its Integrated Gradients from zero are x^power.
auto power(int exponent) {
  return [exponent](const at::Tensor& x) { return x.pow(exponent).sum(1, /*keepdim=*/true); };
}

double power_error(Quadrature rule, std::int64_t steps, int exponent) {
  const at::Tensor x = input.abs().add(0.5);
  return relative(integrated(power(exponent), {.steps = steps, .rule = rule})(x).values, x.pow(exponent));
}

}  // namespace

TEST_CASE(
    "every rule is exact on a linear model for every n, also where Captum's trapezoid is (n - 1) / n of it") {
  for (const Quadrature rule : rules) {
    for (const std::int64_t steps : {1, 2, 3, 7, 50, 200}) {
      const Attribution a =
          integrated(linear, {.steps = steps, .rule = rule, .baseline = Baseline::tensor(start)})(input);
      CHECK(distance(a.values, slope.mul(input.sub(start))) < 1e-13);
      CHECK(a.completeness_error.abs().max().item<double>() < 1e-12);
      CHECK(a.relative_completeness_error.max().item<double>() < 1e-11);
      CHECK(a.evaluations.eq(steps + (rule == Quadrature::trapezoid ? 1 : 0)).all().item<bool>());
      CHECK_FALSE(a.stopped);
    }
  }
}

TEST_CASE(
    "each rule is exact to its order on polynomials and no further, also where PAIR's x^3 at 25 steps is "
    "1.0208") {
  for (const std::int64_t n : {1, 2, 5, 10}) {
    const auto degree = static_cast<int>(2 * n);  // of the model; its gradient is of one less
    CHECK(power_error(Quadrature::gauss_legendre, n, degree) < 1e-13);
    CHECK(power_error(Quadrature::gauss_legendre, n, degree + 1) > 1e-12);
  }
  CHECK(power_error(Quadrature::gauss_legendre, 25, 3) < 1e-14);
  for (const std::int64_t n : {1, 4, 25}) {
    const auto steps = static_cast<double>(n);
    for (const Quadrature rule : {Quadrature::middle, Quadrature::trapezoid}) {
      CHECK(power_error(rule, n, 2) < 1e-14);
      // x^3: the middle is short by 1/(4 n^2), the trapezoid too much by 1/(2 n^2)
      const double expected = (rule == Quadrature::middle ? 0.25 : 0.5) / (steps * steps);
      CHECK(power_error(rule, n, 3) == doctest::Approx(expected).epsilon(1e-9));
    }
    for (const Quadrature rule : {Quadrature::left, Quadrature::right}) {
      CHECK(power_error(rule, n, 2) == doctest::Approx(1.0 / steps).epsilon(1e-9));
    }
  }
}

TEST_CASE("the nodes of Gauss and Legendre, the weights, and each node in its own cell") {
  const auto three = salience::detail::quadrature(Quadrature::gauss_legendre, 3);
  CHECK(three[0].node == doctest::Approx(0.5 - 0.5 * std::sqrt(0.6)).epsilon(1e-15));
  CHECK(three[1].node == 0.5);
  CHECK(three[0].weight == doctest::Approx(5.0 / 18).epsilon(1e-14));
  CHECK(three[1].weight == doctest::Approx(8.0 / 18).epsilon(1e-14));
  for (const Quadrature rule : rules) {
    for (const std::int64_t n : {1, 2, 3, 50, 51, 1000}) {
      const auto cells = salience::detail::quadrature(rule, n);
      double sum = 0.0;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        sum += cells[i].weight;
        CHECK(cells[i].begin <= cells[i].node + 1e-12);
        CHECK(cells[i].node <= cells[i].end + 1e-12);
        CHECK((i == 0 || cells[i].node > cells[i - 1].node));
      }
      CHECK(sum == doctest::Approx(1.0).epsilon(1e-13));
      CHECK(cells.front().begin == 0.0);
      CHECK(cells.back().end == 1.0);
    }
  }
}

TEST_CASE("a product is shared equally, and a rectifier by its weights") {
  const auto product = [](const at::Tensor& x) { return x.prod(1, /*keepdim=*/true); };
  CHECK(distance(integrated(product)(tensor({3, 4}, {1, 2})).values, tensor({6, 6}, {1, 2})) < 1e-13);

  // relu(w.x - c) from zero: w_i x_i / (w.x) * relu(w.x - c); the kink lies at t = c / (w.x)
  const at::Tensor x = tensor({2, 1, 4, 0.5, -1, 3}, {1, 6}), w = tensor({1, 3, 0.5, -2, 1, 1}, {6});
  for (const double c : {-1.0, 0.5, 3.0, 6.9, 8.0}) {
    const auto rectifier = [&](const at::Tensor& t) {
      return t.mul(w).sum(1, /*keepdim=*/true).sub(c).relu();
    };
    const double reach = w.mul(x).sum().item<double>();
    const double crossed = std::min(1.0, std::max(0.0, 1.0 - c / reach));
    const at::Tensor truth = w.mul(x).mul(crossed);
    for (const Quadrature rule : rules) {
      const Attribution a = integrated(rectifier, {.steps = 400, .rule = rule})(x);
      CHECK(distance(a.values, truth) <= 9.0 / 400);  // one step of the steepest element
      CHECK(std::abs(a.completeness_error.item<double>() -
                     (a.values.sum().item<double>() - rectifier(x).item<double>() +
                      rectifier(x.mul(0.0)).item<double>())) < 1e-12);
    }
  }
}

TEST_CASE("completeness is the sum of the values minus the score's change, by sample") {
  const Attribution a = integrated(kinked, {.steps = 3, .baseline = Baseline::tensor(start)})(input);
  const at::Tensor change = kinked(input).sub(kinked(start)).squeeze(1);
  CHECK(distance(a.completeness_error, a.values.sum(1).sub(change)) < 1e-12);
  CHECK(distance(a.relative_completeness_error, a.completeness_error.div(change).abs()) < 1e-12);
  CHECK(a.completeness_error.abs().min().item<double>() > 1e-6);
  // no change at all: nothing to explain, and nothing missed
  const Attribution none = integrated(kinked, {.baseline = Baseline::tensor(input)})(input);
  CHECK(none.values.abs().max().item<double>() == 0.0);
  CHECK(none.relative_completeness_error.max().item<double>() == 0.0);
}

TEST_CASE("without the multiplication by the inputs it is the mean gradient along the path") {
  const IntegratedGradientsOptions options{.steps = 20, .baseline = Baseline::tensor(start)};
  IntegratedGradientsOptions bare = options;
  bare.multiply_by_inputs = false;
  const Attribution a = integrated(kinked, options)(input), b = integrated(kinked, bare)(input);
  CHECK(distance(b.values.mul(input.sub(start)), a.values) < 1e-13);
  CHECK(same(a.completeness_error, b.completeness_error));
  CHECK(distance(integrated(linear, bare)(input).values, slope.expand_as(input)) < 1e-14);
}

TEST_CASE("baselines: zero, a constant, a tensor, a blurred input, a function, several") {
  const auto from = [](Baseline baseline) {
    return integrated(kinked, {.steps = 30, .baseline = std::move(baseline)})(input).values;
  };
  const auto zeros = input.mul(0.0);
  CHECK(same(integrated(kinked, {.steps = 30})(input).values, from(Baseline::tensor(zeros))));
  CHECK(same(from(Baseline::constant(0.7)), from(Baseline::tensor(zeros.add(0.7)))));
  CHECK(
      same(from(Baseline::tensor(start[0])), from(Baseline::tensor(start.slice(0, 0, 1).expand_as(start)))));
  CHECK(same(from(Baseline([](const at::Tensor& x) { return x.flip({1}); })),
             from(Baseline::tensor(input.flip({1})))));
  // several: the mean of each; completeness against the mean score of the baselines
  const at::Tensor several = from(Baseline::each(start));
  at::Tensor mean = zeros;
  for (std::int64_t i = 0; i < start.size(0); ++i) mean = mean.add(from(Baseline::tensor(start[i])), 0.2);
  CHECK(distance(several, mean) < 1e-13);
  CHECK(same(several, from(Baseline::mean_of(
                          {Baseline::each(start.slice(0, 0, 2)), Baseline::each(start.slice(0, 2))}))));
  const Attribution a = integrated(linear, {.steps = 2, .baseline = Baseline::each(start)})(input);
  CHECK(a.completeness_error.abs().max().item<double>() < 1e-12);
  CHECK(a.evaluations.eq(10).all().item<bool>());

  const at::Tensor picture = normal({2, 3, 9, 7}, at::kDouble, 20);
  const at::Tensor blurred = Baseline::blurred(1.5)(picture);
  CHECK(blurred.sizes() == picture.sizes());
  CHECK(blurred.std().item<double>() < 0.5 * picture.std().item<double>());
  // a constant picture stays so, up to its border
  CHECK(distance(Baseline::blurred(3.0)(picture.mul(0.0).add(2.0)), picture.mul(0.0).add(2.0)) < 1e-14);
  CHECK(distance(Baseline::blurred(200.0)(picture).std(2), picture.mul(0.0).std(2)) < 0.02);
  // the mean of each sample's own channels, whatever the places; of rows the mean of all
  const at::Tensor colours = picture.sum(3).sum(2).div(63.0);
  CHECK(distance(Baseline::mean()(picture), colours.unsqueeze(2).unsqueeze(3).expand_as(picture)) < 1e-14);
  CHECK(distance(Baseline::mean()(picture.flatten(2)), colours.unsqueeze(2).expand({2, 3, 63})) < 1e-14);
  CHECK(distance(Baseline::mean()(picture.view({2, 3, 3, 3, 7})).flatten(2),
                 colours.unsqueeze(2).expand({2, 3, 63})) < 1e-14);
  CHECK(distance(Baseline::mean()(input), input.sum(1, true).div(6.0).expand_as(input)) < 1e-14);
  // in bfloat16 too: a sum of 5103 ones that was kept in bfloat16 would stop at 256
  CHECK(same(Baseline::mean()(picture.mul(0.0).add(1.0).repeat({1, 1, 9, 9}).to(at::kBFloat16)),
             picture.mul(0.0).add(1.0).repeat({1, 1, 9, 9}).to(at::kBFloat16)));

  const auto message_of = [](const at::Tensor& t) {
    return message<ArgumentError>([&] { integrated(linear, {.baseline = Baseline::tensor(t)})(input); });
  };
  CHECK(message_of(normal({4})) == "a baseline of shape (4) does not fit an input of shape (5, 6)");
  CHECK(contains(message_of({}), "the baseline is an undefined tensor"));
  CHECK(contains(message<ArgumentError>([] { Baseline::blurred(0.0); }), "got 0"));
  CHECK(contains(message<ArgumentError>([] {
                   Baseline::blurred(1.0)(normal({3, 5}));
                 }),
                 "pictures (N, C, H, W) or volumes (N, C, D, H, W), got (3, 5)"));
  CHECK(contains(message<ArgumentError>([] { Baseline::mean_of({}); }), "no baselines"));
  CHECK(contains(message<ArgumentError>([] { Baseline::mean()(normal({3})); }), "got (3)"));
  // what depends on what is missing has no values of its own
  CHECK(contains(message<ArgumentError>([&] { from(Baseline::inpainted()); }),
                 "needs a method that removes whole pixels: Occlusion, FeatureAblation"));
  CHECK(Baseline::inpainted().inpaints());
  CHECK(!Baseline::mean_of({Baseline::inpainted(), Baseline::zero()}).inpaints(1));
}

TEST_CASE("a path of the user's own") {
  struct Curved {  // the first element leads, the second follows late
    at::Tensor point(const at::Tensor& x, const at::Tensor& baseline, double t) const {
      return baseline.add(x.sub(baseline).mul(tensor({t, t * t}, {2}).to(x.scalar_type())));
    }
  };
  const auto product = [](const at::Tensor& x) { return x.prod(1); };
  const at::Tensor ones = tensor({1, 1}, {1, 2});
  for (const Quadrature rule : rules) {
    const Attribution a = integrated(product, {.steps = 400, .rule = rule}, Curved{})(ones);
    CHECK(distance(a.values, tensor({1.0 / 3, 2.0 / 3}, {1, 2})) < 0.003);
    // the steps add up to the whole way
    CHECK(distance(integrated([](const at::Tensor& x) { return x.sum(1, true); }, {.steps = 3, .rule = rule},
                              Curved{})(ones)
                       .values,
                   ones) < 1e-14);
  }
  const Attribution backwards =
      integrated(product, {.steps = 400}, Curved{})(tensor({-1, 1}, {1, 2}), ClassIndex{0});
  CHECK(distance(backwards.values, tensor({-1.0 / 3, -2.0 / 3}, {1, 2})) < 0.003);
}

TEST_CASE("Blur IG is exact on a linear model and complete on others, from the blurred input") {
  const at::Tensor picture = normal({2, 3, 8, 10}, at::kDouble, 21), w = normal({3, 8, 10}, at::kDouble, 22);
  const auto model = [&](const at::Tensor& x) { return x.mul(w).sum({-3, -2, -1}).unsqueeze(1); };
  const BlurPath path{.max_sigma = 4.0};
  const Attribution a = integrated(model, {.steps = 5}, path)(picture);
  const at::Tensor begin = path.point(picture, picture, 0.0);
  CHECK(distance(a.values, w.mul(picture.sub(begin))) < 1e-13);
  CHECK(a.completeness_error.abs().max().item<double>() < 1e-12);
  const auto curved = [&](const at::Tensor& x) { return model(x.mul(x).mul(x)); };
  CHECK(integrated(curved, {.steps = 400}, path)(picture).relative_completeness_error.max().item<double>() <
        1e-3);
  CHECK(distance(path.point(picture, picture, 1.0), picture) == 0.0);
  CHECK(contains(message<ArgumentError>([&] { integrated(model, {}, BlurPath{.max_sigma = -1})(picture); }),
                 "max_sigma must be above 0 pixels, got -1"));
  CHECK(message<ArgumentError>([&] { integrated(model, {.baseline = Baseline::zero()}, path); }) ==
        "a baseline and this path exclude each other: it begins at a point of its own, as the blurred input");
}

TEST_CASE("a Gaussian blur is scipy's: sampled to 4 sigma, normalised, with nothing beyond the border") {
  // scipy.ndimage.gaussian_filter(numpy.eye(1, 5)[0], 0.8, mode="constant") and mode="nearest"
  const at::Tensor impulse = tensor({1, 0, 0, 0, 0}, {1, 5});
  const auto row = [&](salience::detail::Border border) {
    return impulse.matmul(salience::detail::blur_matrix(5, 0.8, border).t());
  };
  std::vector<double> weight;
  double sum = 0.0;
  for (int k = -3; k <= 3; ++k) weight.push_back(std::exp(-0.5 * k * k / 0.64)), sum += weight.back();
  for (double& w : weight) w /= sum;
  CHECK(distance(row(salience::detail::Border::zero),
                 tensor({weight[3], weight[4], weight[5], weight[6], 0}, {1, 5})) < 1e-15);
  CHECK(distance(row(salience::detail::Border::nearest),
                 tensor({weight[0] + weight[1] + weight[2] + weight[3], weight[4] + weight[5] + weight[6],
                         weight[5] + weight[6], weight[6], 0},
                        {1, 5})) < 1e-15);
}

TEST_CASE("Guided IG: exact on a linear model, the straight line at distance 0, smallest gradients first") {
  const GuidedPath path{.fraction = 0.3, .max_distance = 0.4};
  const IntegratedGradientsOptions options{.steps = 40, .baseline = Baseline::tensor(start)};
  CHECK(distance(integrated(linear, options, path)(input).values, slope.mul(input.sub(start))) < 1e-12);
  CHECK(integrated(linear, options, path)(input).completeness_error.abs().max().item<double>() < 1e-12);
  // bound to the line, its steps are those of the left rule
  const GuidedPath bound{.max_distance = 0.0};
  IntegratedGradientsOptions left = options;
  left.rule = Quadrature::left;
  CHECK(distance(integrated(kinked, options, bound)(input).values, integrated(kinked, left)(input).values) <
        1e-12);
  // free, the element of the small gradient goes all its way first
  const auto steep = [](const at::Tensor& x) { return x.mul(tensor({1, 10}, {2})).sum(1, true); };
  std::vector<at::Tensor> seen;
  const auto watched = [&](const at::Tensor& x) { return seen.push_back(x.detach().clone()), steep(x); };
  integrated(watched, {.steps = 10},
             GuidedPath{.fraction = 0.5, .max_distance = 1.0})(tensor({1, 1}, {1, 2}));
  REQUIRE(seen.size() == 12);  // the prediction, the baseline, and the steps
  for (std::size_t k = 0; k < 10; ++k) {
    const double t = static_cast<double>(k) / 10;
    CHECK(distance(seen[k + 2], tensor({std::min(1.0, 2 * t), std::max(0.0, 2 * t - 1)}, {1, 2})) < 1e-12);
  }
  // within the band
  seen.clear();
  integrated(watched, {.steps = 10},
             GuidedPath{.fraction = 0.5, .max_distance = 0.1})(tensor({1, 1}, {1, 2}));
  for (std::size_t k = 0; k < 10; ++k)
    CHECK(seen[k + 2].sub(static_cast<double>(k) / 10).abs().max().item<double>() < 0.1 + 1e-12);
  CHECK(contains(message<ArgumentError>([&] { integrated(linear, {}, GuidedPath{.fraction = 0})(input); }),
                 "fraction"));
  CHECK(
      contains(message<ArgumentError>([&] { integrated(linear, {}, GuidedPath{.max_distance = 2})(input); }),
               "max_distance must be from 0 to 1, got 2"));
}

TEST_CASE("with a tolerance each sample gets the gradients it needs, and the result says how good it is") {
  const at::Tensor truth = integrated(kinked, {.steps = 20000, .rule = Quadrature::middle})(input).values;
  const auto error_of = [&](const Attribution& a) {
    return a.values.sub(truth).abs().sum(1).div(truth.abs().sum(1));
  };
  const Attribution a = integrated(kinked, {.tolerance = 0.01})(input);
  CHECK(a.converged.all().item<bool>());
  CHECK(a.relative_completeness_error.max().item<double>() <= 0.01);
  CHECK(a.map_error.max().item<double>() <= 0.05);
  CHECK(a.evaluations.max().item<std::int64_t>() > a.evaluations.min().item<std::int64_t>());
  CHECK(a.evaluations.min().item<std::int64_t>() >= 9);
  // the figures are true
  const at::Tensor change = kinked(input).sub(kinked(input.mul(0.0))).squeeze(1);
  CHECK(distance(a.relative_completeness_error, a.values.sum(1).sub(change).div(change).abs()) < 1e-12);
  CHECK(error_of(a).max().item<double>() < 3 * 0.05);

  // the map's tolerance alone, and completeness alone
  const Attribution fine = integrated(kinked, {.map_tolerance = 0.002})(input);
  CHECK(fine.converged.all().item<bool>());
  CHECK(error_of(fine).max().item<double>() < 3 * 0.002);
  CHECK(fine.evaluations.sum().item<std::int64_t>() > a.evaluations.sum().item<std::int64_t>());
  constexpr double any = std::numeric_limits<double>::infinity();
  const Attribution sum = integrated(kinked, {.tolerance = 1e-4, .map_tolerance = any})(input);
  CHECK(sum.converged.all().item<bool>());
  CHECK(sum.relative_completeness_error.max().item<double>() <= 1e-4);

  // what cannot be reached is said
  for (const std::int64_t most : {2, 3, 4, 9, 10, 37}) {
    const Attribution capped = integrated(kinked, {.tolerance = 1e-9, .max_evaluations = most})(input);
    CHECK_FALSE(capped.converged.any().item<bool>());
    CHECK(capped.evaluations.max().item<std::int64_t>() == most);
    CHECK(distance(capped.completeness_error, capped.values.sum(1).sub(change)) < 1e-12);
  }
  // a linear model needs no more than a look
  const Attribution easy = integrated(linear, {.tolerance = 1e-9})(input);
  CHECK(easy.converged.all().item<bool>());
  CHECK(easy.evaluations.eq(9).all().item<bool>());
  CHECK(distance(easy.values, slope.mul(input)) < 1e-14);
  CHECK(easy.map_error.max().item<double>() < 1e-12);
  CHECK_FALSE(integrated(linear)(input).map_error.defined());
}

TEST_CASE(
    "the estimated error of the map is within a factor of three of the true one, on random nets of many "
    "kinks") {
  const at::Tensor first = normal({60, 200}, at::kDouble, 31), second = normal({200, 40}, at::kDouble, 32);
  const auto net = [&](const at::Tensor& x) {
    return x.matmul(first).add(0.5).relu().matmul(second).relu().sum(1, true);
  };
  const at::Tensor x = normal({8, 60}, at::kDouble, 33), from = normal({8, 60}, at::kDouble, 34);
  const Baseline baseline = Baseline::tensor(from);
  const at::Tensor truth =
      integrated(net, {.steps = 20000, .rule = Quadrature::middle, .baseline = baseline})(x).values;
  for (const std::int64_t most : {33, 65, 129}) {
    const Attribution a =
        integrated(net, {.baseline = baseline, .map_tolerance = 1e-9, .max_evaluations = most})(x);
    const at::Tensor error = a.values.sub(truth).abs().sum(1).div(truth.abs().sum(1));
    CHECK(a.map_error.div(error).max().item<double>() < 3);
    CHECK(a.map_error.div(error).min().item<double>() > 1.0 / 3);
    const at::Tensor uniform =
        integrated(net, {.steps = most - 1, .rule = Quadrature::trapezoid, .baseline = baseline})(x).values;
    CHECK(error.mean().item<double>() <
          uniform.sub(truth).abs().sum(1).div(truth.abs().sum(1)).mean().item<double>());
  }
}

TEST_CASE("with a tolerance: without multiplication, several baselines, another path, stopped, no number") {
  const auto options = [](double tolerance) {
    return IntegratedGradientsOptions{.baseline = Baseline::tensor(start), .tolerance = tolerance};
  };
  IntegratedGradientsOptions bare = options(0.01);
  bare.multiply_by_inputs = false;
  CHECK(distance(integrated(kinked, bare)(input).values.mul(input.sub(start)),
                 integrated(kinked, options(0.01))(input).values) < 1e-12);

  IntegratedGradientsOptions several = options(0.002);
  several.baseline = Baseline::each(start.slice(0, 0, 2));
  const Attribution mean = integrated(kinked, several)(input);
  at::Tensor expected = input.mul(0.0);
  for (std::int64_t i = 0; i < 2; ++i) {
    several.baseline = Baseline::tensor(start[i]);
    expected = expected.add(integrated(kinked, several)(input).values, 0.5);
  }
  CHECK(distance(mean.values, expected) < 1e-12);
  CHECK(mean.converged.all().item<bool>());
  CHECK(mean.map_error.max().item<double>() < 0.02);

  const at::Tensor picture = normal({2, 3, 8, 10}, at::kDouble, 21);
  const auto cubic = [](const at::Tensor& x) { return x.mul(x).mul(x).sum({-3, -2, -1}).unsqueeze(1); };
  const Attribution blur = integrated(cubic, {.tolerance = 0.01}, BlurPath{.max_sigma = 3})(picture);
  CHECK(blur.converged.all().item<bool>());
  CHECK(relative(blur.values, integrated(cubic, {.steps = 2000}, BlurPath{.max_sigma = 3})(picture).values) <
        0.2);

  for (const std::int64_t count : {1, 5, 7, 12, 44}) {
    IntegratedGradientsOptions stopped = options(1e-6);
    stopped.chunk = 3;
    stopped.progress = [count](const Progress& p) { return p.done < count; };
    const Attribution part = integrated(linear, stopped)(input);
    CHECK(part.stopped);
    CHECK(part.evaluations.sum().item<std::int64_t>() == count);
    // a sample whose both ends were reached is whole for a linear model, one that was not is zero
    const at::Tensor whole = part.evaluations.ge(2).unsqueeze(1);
    CHECK(distance(part.values, slope.mul(input.sub(start)).mul(whole)) < 1e-12);
  }
  const auto no_number = [](const at::Tensor& x) { return x.mul(std::nan("")).sum(1, true); };
  const Attribution lost = integrated(no_number, {.tolerance = 0.01})(input, ClassIndex{0});
  CHECK_FALSE(lost.converged.any().item<bool>());
  CHECK(lost.evaluations.eq(9).all().item<bool>());
}

TEST_CASE("promise 3: any chunk, a batch or its samples alone, a repeat: the same bits") {
  const auto check = [](const auto& make) {
    const Attribution a = make(0)(input);
    for (const std::int64_t chunk : {1, 3, 16, 1000}) {
      const Attribution b = make(chunk)(input);
      CHECK(same(a.values, b.values));
      CHECK(same(a.completeness_error, b.completeness_error));
    }
    for (std::int64_t n = 0; n < input.size(0); ++n) {
      CHECK(same(make(4)(input.slice(0, n, n + 1)).values, a.values.slice(0, n, n + 1)));
    }
    CHECK(same(make(0)(input).values, a.values));
  };
  for (const Quadrature rule : rules) {
    check([&](std::int64_t chunk) { return integrated(bumpy, {.steps = 23, .rule = rule, .chunk = chunk}); });
  }
  check([](std::int64_t chunk) {
    return integrated(bumpy, {.steps = 9, .baseline = Baseline::each(start), .chunk = chunk});
  });
  check([](std::int64_t chunk) { return integrated(bumpy, {.steps = 9, .chunk = chunk}, GuidedPath{}); });
  check([](std::int64_t chunk) { return integrated(bumpy, {.tolerance = 1e-3, .chunk = chunk}); });
}

TEST_CASE("no more rows than the chunk are in flight, across steps and samples, and each is evaluated once") {
  std::vector<std::int64_t> batches;
  const auto model = [&](const at::Tensor& x) { return batches.push_back(x.size(0)), x.mul(x); };
  integrated(model, {.steps = 10, .chunk = 4})(input.slice(0, 0, 3), ClassIndex{0});
  CHECK(batches ==
        std::vector<std::int64_t>{3, 3, 4, 4, 4, 4, 4, 4, 4, 2});  // the clean input and the baseline first
}

TEST_CASE("promise 5: the target is chosen once, on the clean input, and held; dtype in is dtype out") {
  const auto model = [](const at::Tensor& x) { return x; };
  const Attribution a =
      integrated(model, {.baseline = Baseline::tensor(tensor({0, 5}, {1, 2}))})(tensor({1.0, 0.9}, {1, 2}));
  CHECK(a.target.item<std::int64_t>() == 0);
  CHECK(distance(a.values, tensor({1, 0}, {1, 2})) < 1e-14);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const Attribution b = integrated(linear, {.steps = 300})(input.to(dtype));
    CHECK((b.values.scalar_type() == dtype));
    // a bfloat16 sum of 300 terms would be off by far more than its last place
    CHECK(relative(b.values, slope.to(dtype).to(at::kFloat).mul(input.to(dtype).to(at::kFloat)).to(dtype)) <
          1e-2);
  }
  // float64 keeps float64 all the way, where Captum's nodes are float32
  CHECK(power_error(Quadrature::gauss_legendre, 50, 5) < 1e-14);
}

TEST_CASE("it is an attributor: SmoothGrad wraps it, any target goes") {
  const at::Tensor x = input.slice(0, 0, 1);
  const Attribution a = SmoothGrad(integrated(linear, {.steps = 2}), {.samples = 400, .noise_level = 0.1})(x);
  CHECK(distance(a.values, slope.mul(x)) <
        4 * a.standard_error.item<double>() * a.values.norm().item<double>());
  const Attribution b = integrated(bumpy)(x, [](const at::Tensor& out) { return out.sum(1).mul(2.0); });
  CHECK_FALSE(b.target.defined());
  CHECK(std::abs(b.values.sum().item<double>() - 2 * bumpy(x).sum().item<double>()) < 0.2);
  CHECK(contains(message<TargetError>([&] { integrated(bumpy)(x, ClassIndex{6}); }), "no class 6"));
  static_assert(Attributor<decltype(integrated(linear))>);
}

TEST_CASE("progress is told after each evaluation; stopping leaves a coarser, valid integral, marked") {
  std::vector<Progress> told;
  const auto tell = [&](const Progress& p) { return told.push_back(p), true; };
  CHECK_FALSE(integrated(bumpy, {.steps = 6, .chunk = 4, .progress = tell})(input).stopped);
  REQUIRE(told.size() == 30);
  CHECK(told.back().done == 30);
  CHECK(told.back().total == 30);

  const auto stop_after = [](std::int64_t count) {
    return [count](const Progress& p) { return p.done < count; };
  };
  // of a linear model any part of the steps gives all, from any of several baselines
  const Attribution part = integrated(linear, {.steps = 64, .progress = stop_after(5 * 9)})(input);
  CHECK(part.stopped);
  CHECK(part.evaluations.eq(9).all().item<bool>());
  CHECK(distance(part.values, slope.mul(input)) < 1e-12);
  CHECK(part.completeness_error.abs().max().item<double>() < 1e-12);
  // and of others a fair quadrature, from steps all over the path
  const at::Tensor whole = integrated(kinked, {.steps = 64})(input).values;
  CHECK(relative(integrated(kinked, {.steps = 64, .progress = stop_after(5 * 32)})(input).values, whole) <
        0.05);
  const Attribution second = integrated(
      linear, {.steps = 8, .baseline = Baseline::each(start), .progress = stop_after(5 * 11)})(input);
  CHECK(distance(second.values, slope.mul(input.sub(start[0].mul(8.0 / 11).add(start[1].mul(3.0 / 11))))) <
        0.2);
  // a sample that was never reached is zero
  const Attribution first = integrated(bumpy, {.progress = stop_after(1)})(input);
  CHECK(first.evaluations.sum().item<std::int64_t>() == 1);
  CHECK(first.values[4].abs().max().item<double>() == 0.0);
  // what goes step by step has gone a part of its way
  const Attribution walk =
      integrated(linear, {.steps = 10, .progress = stop_after(25)}, GuidedPath{.max_distance = 0})(input);
  CHECK(walk.stopped);
  const Attribution bare = integrated(
      linear, {.steps = 10, .multiply_by_inputs = false, .progress = stop_after(25)}, GuidedPath{})(input);
  CHECK(distance(bare.values, slope.mul(0.5).expand_as(input)) < 1e-12);
  CHECK(distance(walk.values, slope.mul(input).mul(0.5)) < 1e-12);
}

TEST_CASE(
    "promise 1: the input is untouched, under no_grad and in inference mode too, also when the model "
    "throws") {
  at::Tensor leaf = input.clone().requires_grad_(true);
  const auto method = integrated(bumpy, {.steps = 3});
  const at::Tensor expected = method(input).values;
  CHECK(same(method(leaf).values, expected));
  CHECK(same(leaf.detach(), input));
  CHECK_FALSE(leaf.grad().defined());
  {
    const c10::InferenceMode mode;
    CHECK(same(method(input).values, expected));
    CHECK(same(method(input.clone()).values, expected));
  }
  int calls = 0;
  const auto throwing = integrated(
      [&calls](const at::Tensor& x) -> at::Tensor {
        if (++calls == 5) throw std::domain_error("from the model");
        return x.mul_(2.0);
      },
      {.steps = 9, .chunk = 1});
  CHECK_THROWS_AS(throwing(leaf), std::domain_error);
  CHECK(same(leaf.detach(), input));
}

TEST_CASE("promise 2: threads that share it get the same bits") {
  const auto method = integrated(bumpy, {.steps = 5});
  CHECK(support::same_from_threads(method, input, 20) == 4 * 20);
}

TEST_CASE("promise 4: five hundred steps take no more memory than ten") {
  const auto peak = [](std::int64_t steps) {
    return support::peak_memory([&] {
      integrated(bumpy, {.steps = steps, .chunk = 1})(normal({1, 1 << 20}, at::kFloat), ClassIndex{0});
    });
  };
  peak(10);
  const double ten = peak(10);
  CHECK(ten > 0.0);
  CHECK(peak(500) <= 1.05 * ten);
}

TEST_CASE("options out of range name the option, the value and the range") {
  CHECK(refused({.steps = 0}) == "steps must be at least 1, got 0");
  CHECK(refused({.steps = -50}) == "steps must be at least 1, got -50");
  CHECK(refused({.tolerance = std::nan("")}) == "tolerance must be at least 0, got nan");
  CHECK(contains(refused({.tolerance = -1}), "tolerance must be at least 0, got -1"));
  CHECK(contains(refused({.map_tolerance = std::nan("")}), "map_tolerance must be at least 0, got nan"));
  CHECK(contains(refused({.max_evaluations = 1}), "max_evaluations must be at least 2, got 1"));
  CHECK(contains(refused({.chunk = -1}), "chunk must be at least 0, got -1"));
}

TEST_CASE("two options that exclude each other are refused, by name") {
  CHECK(refused({.steps = 50, .tolerance = 0.1}) ==
        "steps and tolerance exclude each other: with a tolerance as many steps are taken as it needs");
  CHECK(refused({.steps = 50, .map_tolerance = 0.1}) ==
        "steps and map_tolerance exclude each other: with a tolerance as many steps are taken as it needs");
  CHECK(refused({.rule = Quadrature::gauss_legendre, .tolerance = 0.1}) ==
        "rule and tolerance exclude each other: with a tolerance the rule is an adaptive trapezoid");
  CHECK(refused({.rule = Quadrature::left, .map_tolerance = 0.1}) ==
        "rule and map_tolerance exclude each other: with a tolerance the rule is an adaptive trapezoid");
  CHECK(refused({.max_evaluations = 100}) ==
        "max_evaluations needs a tolerance or a map_tolerance; without, steps says how many");
  const auto on_guided_path = [](const IntegratedGradientsOptions& options) {
    return message<ArgumentError>([&] { integrated(linear, options, GuidedPath{}); });
  };
  CHECK(on_guided_path({.tolerance = 0.1}) ==
        "tolerance must be 0 on a path that follows gradients, got 0.1");
  CHECK(on_guided_path({.map_tolerance = 0.2}) ==
        "map_tolerance must be 0 on a path that follows gradients, got 0.2");
  CHECK(on_guided_path({.rule = Quadrature::left}) ==
        "rule and a path that follows gradients exclude each other: each step begins where the last ended");
  CHECK(on_guided_path({.max_evaluations = 100}) ==
        "max_evaluations needs a tolerance or a map_tolerance; without, steps says how many");
  // not set, they are what they were
  const IntegratedGradientsOptions defaults;
  CHECK(defaults.steps_taken() == 50);
  CHECK((defaults.rule_taken() == Quadrature::gauss_legendre));
  CHECK(defaults.evaluations_allowed() == 500);
  CHECK(same(integrated(kinked)(input).values,
             integrated(kinked, {.steps = 50, .rule = Quadrature::gauss_legendre})(input).values));
}
