// Sobol and Hsic against their estimators written out, closed forms of simple models, and their own standard
// errors.
#include <ATen/ATen.h>
#include <salience/method/detail/grid_designs.hpp>
#include <salience/method/hsic.hpp>
#include <salience/method/sobol.hpp>
#include <salience/target/class_score.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor weights = normal({2, 7, 10}, at::kDouble, 3);

/// Two channels of 7 x 10; the second class is not linear.
at::Tensor network(const at::Tensor& x) {
  const at::Tensor y = (x * weights).sum({1, 2, 3});
  return at::stack({y, (x * x * weights).sum({1, 2, 3}) + y.tanh(), -y}, 1);
}
const at::Tensor input = normal({3, 2, 7, 10}, at::kDouble, 4);

/// The input under masks (masks, 3, 4), by the definition of the cells; a row each.
at::Tensor under(const at::Tensor& x, const at::Tensor& masks, double baseline) {
  at::Tensor m = at::empty({masks.size(0), 1, 7, 10}, at::kDouble);
  for (std::int64_t i = 0; i < 7; ++i) {
    for (std::int64_t j = 0; j < 10; ++j)
      m.select(2, i).select(2, j).copy_(masks.select(1, i * 3 / 7).select(1, j * 4 / 10).unsqueeze(1));
  }
  return x * m + baseline * (1 - m);
}

/// What a method asked a model of one channel of twelve places about, as rows of cells, if x is 1.
struct Recorder {
  std::vector<at::Tensor>* rows;
  at::Tensor operator()(const at::Tensor& x) const {
    for (std::int64_t i = 0; i < x.size(0); ++i) rows->push_back(x[i][0].flatten().clone());
    return (x * x).sum({1, 2, 3}).view({-1, 1});
  }
};

/// The masks of a method over a grid of 3 x 4 cells, (masks, 12); the first pass is on the clean input.
at::Tensor masks_of(const auto& make) {
  std::vector<at::Tensor> rows;
  make(Recorder{&rows})(at::ones({1, 1, 3, 4}, at::kDouble));
  rows.erase(rows.begin());
  return at::stack(rows);
}

at::Tensor jackknife(const std::vector<at::Tensor>& replicates) {
  const at::Tensor all = at::stack(replicates);
  const auto g = static_cast<double>(replicates.size());
  return ((all - all.mean(0)).square().sum(0) * ((g - 1) / g)).sqrt();
}

at::Tensor leave_out(const at::Tensor& rows, std::int64_t begin, std::int64_t size) {
  return at::cat({rows.narrow(0, 0, begin), rows.narrow(0, begin + size, rows.size(0) - begin - size)});
}

/// Jansen's estimator from the scores of A, (n), and of C, (n, cells).
at::Tensor jansen(const at::Tensor& a, const at::Tensor& c) {
  return (a.unsqueeze(1) - c).square().sum(0) / (2.0 * static_cast<double>(a.size(0)) * a.var());
}

/// HSIC of masks (n) and scores (n) by its matrices; `biased` or Song et al.'s.
double hsic(const at::Tensor& m, const at::Tensor& f, double width, bool unbiased) {
  const auto n = static_cast<double>(m.size(0));
  at::Tensor k = 1.5 - (m.unsqueeze(1) - m.unsqueeze(0)).square();
  at::Tensor l = at::exp(-(f.unsqueeze(1) - f.unsqueeze(0)).square() / (2 * width * width));
  if (!unbiased) {
    const at::Tensor h = at::eye(m.size(0), at::kDouble) - 1.0 / n;
    return (k.matmul(h).matmul(l).matmul(h)).trace().item<double>() / (n * n);
  }
  k = k - at::diag(k.diag());
  l = l - at::diag(l.diag());
  const at::Tensor kl = k.matmul(l);
  return (kl.trace() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2.0 / (n - 2) * kl.sum()).item<double>() /
         (n * (n - 3));
}

double median_distance(const at::Tensor& f) {
  std::vector<double> all;
  for (std::int64_t k = 0; k < f.size(0); ++k)
    for (std::int64_t l = 0; l < k; ++l) all.push_back(std::abs((f[k] - f[l]).item<double>()));
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

}  // namespace

TEST_CASE("Sobol's masks: two scrambled sequences, in which no cell's numbers go together") {
  const auto masks = [](std::int64_t designs, std::uint64_t seed) {
    return masks_of([=](const auto& model) {
      return Sobol(model, {.designs = designs, .grid = {3, 4}, .seed = seed});
    });
  };
  const at::Tensor all = masks(32, 5).view({32, 13, 12});
  const at::Tensor a = all.select(1, 0);
  for (std::int64_t cell = 0; cell < 12; ++cell) {
    const at::Tensor c = all.select(1, 1 + cell);
    for (std::int64_t other = 0; other < 12; ++other)
      CHECK(c.select(1, other).equal(a.select(1, other)) == (other != cell));
  }
  // Of 32 points one lies in each of 32 intervals, of A and of B, as in any scrambled sequence.
  for (const at::Tensor& points : {a, all.narrow(1, 1, 12).diagonal(0, 1, 2)}) {
    for (std::int64_t cell = 0; cell < 12; ++cell) {
      std::set<std::int64_t> intervals;
      for (std::int64_t k = 0; k < 32; ++k)
        intervals.insert(static_cast<std::int64_t>(points[k][cell].item<double>() * 32.0));
      CHECK(intervals.size() == 32);
      for (std::int64_t other = 0; other < cell; ++other)
        CHECK(!points.select(1, cell).equal(points.select(1, other)));
    }
  }
  CHECK(distance(a, all.narrow(1, 1, 12).diagonal(0, 1, 2)) > 0.5);
  CHECK(same(masks(32, 5), masks(32, 5)));
  CHECK(distance(masks(32, 6), masks(32, 5)) > 0.5);
  // Not by a shift of the digits alone, which would leave what two points have in common.
  const auto between = [](std::uint64_t seed) {
    const at::Tensor digits = (salience::detail::sobol_points(2, 3, {seed, 0}) * 1073741824.0).to(at::kLong);
    return digits[0].bitwise_xor(digits[1]);
  };
  CHECK(!between(1).equal(between(2)));
  // Each number is uniform over the seeds, and independent of another cell's.
  at::Tensor mean = at::zeros({12}, at::kDouble), product = at::zeros({32}, at::kDouble);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    mean += masks(2, seed)[13] / 200.0;  // of A_1
    const at::Tensor ones = salience::detail::sobol_points(16, 64, {seed, 0}) - 0.5;
    product += (ones[5].narrow(0, 0, 32) * ones[5].narrow(0, 32, 32)) / 200.0;
  }
  CHECK((mean - 0.5).abs().max().item<double>() < 4.0 * std::sqrt(1.0 / 12 / 200));
  CHECK(product.abs().max().item<double>() < 4.0 / 12.0 / std::sqrt(200.0));
}

TEST_CASE("Sobol by Jansen's estimator and the jackknife, for any batch and chunk") {
  const at::Tensor masks = masks_of([](const auto& model) {
                             return Sobol(model, {.designs = 60, .grid = {3, 4}, .seed = 7});
                           }).view({60 * 13, 3, 4});
  SobolOptions options{
      .designs = 60, .grid = {3, 4}, .baseline = Baseline::constant(0.2), .upsample = false, .seed = 7};
  const Attribution whole = Sobol{network, options}(input, ClassIndex{1});
  CHECK(whole.values_of == ValuesOf::regions);
  CHECK(same(whole.score, network(input).select(1, 1)));
  CHECK(same(whole.copies, at::full({3}, 60, at::kLong)));
  options.upsample = true;
  const Attribution large = Sobol{network, options}(input, ClassIndex{1});
  CHECK((large.values.sizes() == at::IntArrayRef{3, 1, 7, 10}));
  for (std::int64_t n = 0; n < 3; ++n) {
    const at::Tensor f = network(under(input.narrow(0, n, 1), masks, 0.2)).select(1, 1).view({60, 13});
    const at::Tensor a = f.select(1, 0), c = f.narrow(1, 1, 12);
    const at::Tensor truth = jansen(a, c).view({1, 3, 4});
    CHECK(distance(whole.values[n], truth) < 1e-12);
    std::vector<at::Tensor> without, larger;
    for (std::int64_t g = 0; g < 50; ++g) {  // 60 designs in 50 groups of one or two
      const std::int64_t begin = g * 60 / 50, size = (g + 1) * 60 / 50 - begin;
      without.push_back(jansen(leave_out(a, begin, size), leave_out(c, begin, size)).view({1, 1, 3, 4}));
      larger.push_back(at::upsample_bilinear2d(without.back(), {7, 10}, false));
    }
    CHECK(distance(whole.values_error[n], jackknife(without)[0]) < 1e-12);
    CHECK(whole.standard_error[n].item<double>() ==
          doctest::Approx((jackknife(without).norm() / truth.norm()).item<double>()));
    CHECK(distance(large.values[n], at::upsample_bilinear2d(truth.unsqueeze(0), {7, 10}, false)[0]) < 1e-12);
    CHECK(distance(large.values_error[n], jackknife(larger)[0]) < 1e-12);
  }
  for (const std::int64_t chunk : {1, 5, 1000}) {
    options.chunk = chunk;
    const Sobol method{network, options};
    CHECK(distance(method(input, ClassIndex{1}).values, large.values) < 1e-12);
    for (std::int64_t n = 0; n < 3; ++n) {
      const Attribution one = method(input.narrow(0, n, 1), ClassIndex{1});
      CHECK(distance(one.values, large.values.narrow(0, n, 1)) < 1e-12);
      CHECK(distance(one.values_error, large.values_error.narrow(0, n, 1)) < 1e-12);
    }
  }
  CHECK(support::same_from_threads([method = Sobol{network, {.designs = 4, .grid = {3, 4}}}](
                                       const at::Tensor& x) { return method(x, ClassIndex{0}); },
                                   input, 3) == 12);
}

TEST_CASE("Sobol of known models: the truth lies within the stated standard error, over 200 seeds") {
  // Of 16 places: a sum has the share w_i^2; with a product of two cells these share its variance.
  const at::Tensor x = at::ones({1, 1, 16}, at::kDouble), w = normal({16}, at::kDouble, 6);
  const auto sum = [&](const at::Tensor& m) { return m.select(1, 0).matmul(w).view({-1, 1}) + 3.0; };
  const auto product = [](const at::Tensor& m) {
    const at::Tensor u = m.select(1, 0) - 0.5;
    return (u.select(1, 0) + 6.0 * u.select(1, 1) * u.select(1, 2)).view({-1, 1});
  };
  // V = 1/12 + 36/144: cell 0 has 1/12, cells 1 and 2 have 1/4 each, all others none.
  at::Tensor of_product = at::zeros({16}, at::kDouble);
  of_product[0] = 0.25;
  of_product[1] = of_product[2] = 0.75;
  const auto run = [&](const auto& model, const at::Tensor& truth, double& bias) {
    at::Tensor inside = at::zeros({16}, at::kDouble), mean = at::zeros({16}, at::kDouble);
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      const Attribution a =
          Sobol{model, {.designs = 64, .grid = {16}, .upsample = false, .seed = seed, .chunk = 500}}(x);
      const at::Tensor off = a.values[0][0] - truth;
      inside += (off.abs() <= 2.0 * a.values_error[0][0]).to(at::kDouble) / 200;
      mean += off / 200;
    }
    bias = mean.norm().item<double>() / truth.norm().item<double>();
    INFO("coverage of 95%: ", inside.mean().item<double>(), ", least ", inside.min().item<double>(),
         ", bias ", bias);
    return inside;
  };
  double bias = 0.0;
  const at::Tensor of_sum = run(sum, w.square() / w.square().sum(), bias);
  CHECK(of_sum.min().item<double>() > 0.88);
  CHECK(bias < 0.05);
  const at::Tensor inside = run(product, of_product, bias);
  CHECK(inside.min().item<double>() > 0.85);
  CHECK(inside.narrow(0, 3, 13).min().item<double>() > 0.999);
  CHECK(bias < 0.1);
  const Attribution many =
      Sobol{product, {.designs = 1024, .grid = {16}, .upsample = false, .chunk = 500}}(x);
  CHECK(many.values_error.max().item<double>() < 0.06);
  CHECK((many.values[0][0] - of_product).abs().le(3.0 * many.values_error[0][0]).all().item<bool>());
  CHECK(many.values[0][0].narrow(0, 3, 13).abs().max().item<double>() < 1e-25);
  // A score that does not vary.
  const auto constant = [](const at::Tensor& m) { return m.sum({2}) * 0.0 + 5.1; };
  CHECK(Sobol{constant, {.designs = 7, .grid = {16}}}(x).values.abs().max().item<double>() == 0.0);
}

TEST_CASE("Hsic's masks: each cell is seen in half of them, and no two cells in the same") {
  for (const std::int64_t designs : {40, 41}) {
    const at::Tensor masks = masks_of([=](const auto& model) {
      return Hsic(model, {.designs = designs, .grid = {3, 4}, .seed = 3});
    });
    CHECK((masks.eq(0.0).logical_or(masks.eq(1.0))).all().item<bool>());
    const at::Tensor seen = masks.sum(0);
    CHECK(seen.min().item<double>() == 20.0);
    CHECK(seen.max().item<double>() == static_cast<double>(designs - 20));
    for (std::int64_t i = 0; i < 12; ++i)
      for (std::int64_t j = 0; j < i; ++j) CHECK(!masks.select(1, i).equal(masks.select(1, j)));
  }
}

TEST_CASE("Hsic by its matrices and the jackknife, both estimators, for any batch and chunk") {
  const std::int64_t designs = 73;
  const at::Tensor masks = masks_of([=](const auto& model) {
    return Hsic(model, {.designs = designs, .grid = {3, 4}, .seed = 7});
  });
  for (const bool unbiased : {false, true}) {
    CAPTURE(unbiased);
    HsicOptions options{.designs = designs,
                        .grid = {3, 4},
                        .baseline = Baseline::constant(0.2),
                        .unbiased = unbiased,
                        .upsample = false,
                        .seed = 7};
    const Attribution whole = Hsic{network, options}(input, ClassIndex{1});
    CHECK(whole.values_of == ValuesOf::regions);
    CHECK(same(whole.copies, at::full({3}, designs, at::kLong)));
    options.width = 1.7;
    const Attribution fixed = Hsic{network, options}(input, ClassIndex{1});
    for (std::int64_t n = 0; n < 3; ++n) {
      const at::Tensor f =
          network(under(input.narrow(0, n, 1), masks.view({designs, 3, 4}), 0.2)).select(1, 1);
      const double width = median_distance(f);
      const auto of = [&](std::int64_t begin, std::int64_t size, double w) {
        at::Tensor all = at::empty({3, 4}, at::kDouble);
        for (std::int64_t cell = 0; cell < 12; ++cell)
          all.view(-1)[cell] =
              hsic(leave_out(masks.select(1, cell), begin, size), leave_out(f, begin, size), w, unbiased);
        return all;
      };
      CHECK(distance(whole.values[n][0], of(0, 0, width)) < 1e-13);
      CHECK(distance(fixed.values[n][0], of(0, 0, 1.7)) < 1e-13);
      std::vector<at::Tensor> without;
      for (std::int64_t g = 0; g < 50; ++g)
        without.push_back(of(g * designs / 50, (g + 1) * designs / 50 - g * designs / 50, width));
      CHECK(distance(whole.values_error[n][0], jackknife(without)) < 1e-13);
      // An eighth of the squared maximum mean discrepancy, up to the odd design.
      if (!unbiased) {
        const at::Tensor l = at::exp(-(f.unsqueeze(1) - f.unsqueeze(0)).square() / (2 * width * width));
        const at::Tensor seen = masks.select(1, 5), p = seen / seen.sum(), q = (1 - seen) / (1 - seen).sum();
        const at::Tensor d = p - q;
        CHECK(d.dot(l.matmul(d)).item<double>() / 8 ==
              doctest::Approx(whole.values[n][0][1][1].item<double>()).epsilon(1e-3));
      }
    }
    options.width = 0.0;
    for (const std::int64_t chunk : {1, 5, 1000}) {
      options.chunk = chunk;
      const Hsic method{network, options};
      CHECK(distance(method(input, ClassIndex{1}).values, whole.values) < 1e-12);
      CHECK(distance(method(input.narrow(0, 2, 1), ClassIndex{1}).values, whole.values.narrow(0, 2, 1)) <
            1e-12);
    }
    // Independent of the score's unit.
    const auto scaled = [](const at::Tensor& x) { return network(x) * 1000.0; };
    CHECK(distance(Hsic{scaled, options}(input, ClassIndex{1}).values, whole.values) < 1e-12);
  }
}

TEST_CASE("Hsic of known models: nothing for a cell without effect, the truth within the stated error") {
  // Scores +-a +-b: two cells out of 16.
  const at::Tensor x = at::ones({1, 1, 16}, at::kDouble);
  const double a = 1.0, b = 0.6, width = 1.0;
  const auto model = [=](const at::Tensor& m) {
    const at::Tensor s = 2.0 * m.select(1, 0) - 1.0;
    return (a * s.select(1, 0) + b * s.select(1, 1)).view({-1, 1});
  };
  // E[s s' L] / 2 over two independent designs: only pairs that differ by 2a, 2b or both are below 1.
  const double la = std::exp(-2.0 * a * a), lb = std::exp(-2.0 * b * b);
  const double sum = std::exp(-2.0 * (a + b) * (a + b)), difference = std::exp(-2.0 * (a - b) * (a - b));
  at::Tensor truth = at::zeros({16}, at::kDouble);
  truth[0] = 0.5 * (0.25 * (1.0 + lb) - 0.25 * la - 0.125 * (sum + difference));
  truth[1] = 0.5 * (0.25 * (1.0 + la) - 0.25 * lb - 0.125 * (sum + difference));
  at::Tensor inside = at::zeros({16}, at::kDouble), mean = at::zeros({16}, at::kDouble),
             biased = at::zeros({16}, at::kDouble), spread = at::zeros({16}, at::kDouble);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    HsicOptions options{
        .designs = 100, .grid = {16}, .width = width, .unbiased = true, .upsample = false, .seed = seed};
    const Attribution one = Hsic{model, options}(x);
    const at::Tensor off = one.values[0][0] - truth;
    inside += (off.abs() <= 2.0 * one.values_error[0][0]).to(at::kDouble) / 200;
    mean += off / 200;
    spread += off.square() / 200;
    options.unbiased = false;
    biased += (Hsic{model, options}(x).values[0][0] - truth) / 200;
  }
  INFO("coverage of 95%: ", inside.mean().item<double>(), ", least ", inside.min().item<double>(), ", bias ",
       mean.abs().max().item<double>());
  CHECK(inside.min().item<double>() > 0.88);
  CHECK(mean.narrow(0, 0, 2).div(truth.narrow(0, 0, 2)).abs().max().item<double>() < 0.03);
  CHECK((mean.abs() / (spread / 200).sqrt()).narrow(0, 2, 14).max().item<double>() < 3.5);
  // The paper's estimator has a bias for all cells alike, of at most 1 / (2 designs).
  CHECK(biased.narrow(0, 2, 14).min().item<double>() > 0.3 * 0.005);
  CHECK(biased.narrow(0, 2, 14).max().item<double>() < 0.005);
  const Attribution many = Hsic{model, {.designs = 2000, .grid = {16}, .width = width, .upsample = false}}(x);
  CHECK(distance(many.values[0][0], truth) < 4e-3);
  // A score that does not vary, and one that hardly ever does: its distances are 0 but a few.
  const auto constant = [](const at::Tensor& m) { return m.sum({2}) * 0.0 + 5.1; };
  CHECK(Hsic{constant, {.designs = 9, .grid = {16}}}(x).values.abs().max().item<double>() == 0.0);
  const auto rare = [](const at::Tensor& m) { return m.select(1, 0).narrow(1, 0, 3).prod(1, true) * 3.0; };
  const Attribution seldom = Hsic{rare, {.designs = 200, .grid = {16}, .upsample = false}}(x);
  CHECK(seldom.values[0][0].narrow(0, 0, 3).min().item<double>() >
        seldom.values[0][0].narrow(0, 3, 13).max().item<double>());
  CHECK(std::isfinite(seldom.standard_error.item<double>()));
  const auto small = [&](const at::Tensor& m) { return rare(m) * -1e-4; };
  CHECK(distance(Hsic{small, {.designs = 200, .grid = {16}, .upsample = false}}(x).values, seldom.values) <
        1e-12);
  const auto nan = [](const at::Tensor& m) { return m.sum({2}).log() / 0.0 - INFINITY; };
  CHECK(Hsic{nan, {.designs = 9, .grid = {16}}}(x, [](const at::Tensor& out) { return out.select(1, 0); })
            .values.isnan()
            .all()
            .item<bool>());
}

TEST_CASE(
    "Sobol and Hsic: signals, volumes, dtypes, several baselines, a target without a gradient, stopping") {
  const auto sums = [](const at::Tensor& x) { return x.flatten(1).to(at::kDouble).square().sum(1, true); };
  const auto all = [&](const at::Tensor& x, std::vector<std::int64_t> grid, auto check) {
    check(Sobol{sums, {.designs = 4, .grid = grid}}(x));
    check(Hsic{sums, {.designs = 20, .grid = grid}}(x));
  };
  all(normal({2, 3, 10}, at::kDouble, 1), {4}, [](const Attribution& a) {
    CHECK((a.values.sizes() == at::IntArrayRef{2, 1, 10}));
    CHECK(a.values.isfinite().all().item<bool>());
  });
  all(normal({2, 3, 4, 6, 5}, at::kDouble, 1), {2, 3, 2}, [](const Attribution& a) {
    CHECK((a.values.sizes() == at::IntArrayRef{2, 1, 4, 6, 5}));
    CHECK(a.values.std().item<double>() > 0.0);
  });
  // The cells of a volume are those of its place.
  const auto corner = [](const at::Tensor& x) {
    return x.select(4, 4).select(3, 0).select(2, 3).sum({1}).view({-1, 1});
  };
  const Attribution volume =
      Sobol{corner, {.designs = 8, .grid = {2, 3, 2}, .upsample = false}}(normal({1, 3, 4, 6, 5}));
  CHECK(volume.values[0][0][1][0][1].item<double>() > 0.3);
  CHECK(volume.values.gt(0.0).sum().item<std::int64_t>() == 1);

  const auto wide = [](const at::Tensor& x) { return network(x.to(at::kDouble)); };
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto check = [&](const auto& method) {
      const Attribution exact = method(input, ClassIndex{1}), a = method(input.to(dtype), ClassIndex{1});
      CHECK((a.values.scalar_type() == dtype));
      CHECK((a.values_error.scalar_type() == at::kDouble));
      CHECK(support::relative(a.values, exact.values) < (dtype == at::kFloat ? 1e-5 : 3e-2));
    };
    check(Sobol{wide, {.designs = 16, .grid = {3}}});
    check(Hsic{wide, {.designs = 100, .grid = {3}}});
  }

  // Of several baselines the score is the mean: of a linear class that with the mean baseline.
  const auto two = Baseline::mean_of({Baseline::constant(-0.5), Baseline::constant(1.5)});
  const auto mean = Baseline::constant(0.5);
  CHECK(distance(Sobol{network, {.designs = 8, .grid = {3}, .baseline = two}}(input, ClassIndex{0}).values,
                 Sobol{network, {.designs = 8, .grid = {3}, .baseline = mean}}(input, ClassIndex{0}).values) <
        1e-12);
  CHECK(distance(Hsic{network, {.designs = 30, .grid = {3}, .baseline = two}}(input, ClassIndex{0}).values,
                 Hsic{network, {.designs = 30, .grid = {3}, .baseline = mean}}(input, ClassIndex{0}).values) <
        1e-12);

  const auto signs = [](const at::Tensor& output) { return output.select(1, 0).sign(); };
  CHECK(Sobol{network, {.designs = 32, .grid = {3}}}(input, signs).values.max().item<double>() > 0.0);
  CHECK(Hsic{network, {.designs = 50, .grid = {3}}}(input, signs).values.max().item<double>() > 0.01);
  CHECK(!Hsic{network, {.designs = 9, .grid = {3}}}(input.clone().requires_grad_()).values.requires_grad());
  CHECK(!Sobol{network, {.designs = 9, .grid = {3}}}(input.clone().requires_grad_()).values.requires_grad());

  // Stopped when the first sample has 40 of its masks and the others 39: four designs of ten, and three.
  const auto stop = [](auto options, std::int64_t after, std::int64_t total) {
    options.grid = {3};
    options.upsample = false;
    options.progress = [=](const Progress& progress) {
      CHECK(progress.total == total);
      return progress.done < after;
    };
    return options;
  };
  const Attribution part = Sobol{network, stop(SobolOptions{.designs = 8}, 118, 240)}(input);
  CHECK(part.stopped);
  CHECK(same(part.copies, at::tensor({4, 3, 3}, at::kLong)));
  CHECK(part.values.sum({1, 2, 3}).min().item<double>() > 0.0);
  CHECK(part.values_error.isfinite().all().item<bool>());
  const Attribution early = Sobol{network, stop(SobolOptions{.designs = 8}, 12, 240)}(input);
  CHECK(early.values.abs().max().item<double>() == 0.0);
  CHECK(early.values_error.isnan().all().item<bool>());
  const Attribution some = Hsic{network, stop(HsicOptions{.designs = 40}, 37, 120)}(input);
  CHECK(some.stopped);
  CHECK(same(some.copies, at::tensor({13, 12, 12}, at::kLong)));
  CHECK(some.values.sum({1, 2, 3}).min().item<double>() > 0.0);
  CHECK(same(Hsic{network, stop(HsicOptions{.designs = 40}, 10, 120)}(input).copies,
             at::tensor({4, 3, 3}, at::kLong)));
}

TEST_CASE("Sobol and Hsic: what is wrong is told") {
  const auto sobol = [](SobolOptions options, const at::Tensor& x) {
    return message<ArgumentError>([&] { Sobol{network, std::move(options)}(x); });
  };
  CHECK(contains(sobol({.designs = 1}, input), "designs must be at least 2, got 1"));
  CHECK(contains(sobol({.grid = {0}}, input), "a size of the grid of Sobol must be at least 1, got 0"));
  CHECK(contains(sobol({.grid = {2, 2, 2}}, input), "has 3 sizes"));
  CHECK(contains(sobol({.chunk = -1}, input), "chunk"));
  CHECK(contains(sobol({.grid = {150}}, at::zeros({1, 2, 150, 150})), "at most 21201, got 22500"));
  CHECK(contains(sobol({}, normal({3, 20}, at::kDouble, 1)), "signals (N, C, L)"));
  const auto of_hsic = [](HsicOptions options, const at::Tensor& x) {
    return message<ArgumentError>([&] { Hsic{network, std::move(options)}(x); });
  };
  CHECK(contains(of_hsic({.designs = 3}, input), "designs must be at least 4, got 3"));
  CHECK(contains(of_hsic({.grid = {}}, input), "the grid of Hsic has no sizes"));
  CHECK(contains(of_hsic({.width = -1.0}, input), "width must be a number of at least 0"));
  CHECK(contains(of_hsic({.width = NAN}, input), "width"));
  CHECK(contains(of_hsic({.chunk = -2}, input), "chunk"));
  CHECK(contains(of_hsic({}, normal({3, 20}, at::kDouble, 1)), "volumes (N, C, D, H, W)"));
}
