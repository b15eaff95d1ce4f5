// Methods of coalitions against their definitions: Shapley values, Kernel SHAP, LIME, permuted features.
#include <ATen/ATen.h>
#include <salience/method/feature_permutation.hpp>
#include <salience/method/kernel_shap.hpp>
#include <salience/method/lime.hpp>
#include <salience/method/occlusion.hpp>
#include <salience/method/shapley_exact.hpp>
#include <salience/method/shapley_sampling.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/target/class_score.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;

namespace {

/// Two channels of 4 x 6 as six features of 2 x 2 pixels, both channels together; numbered as nobody expects.
const at::Tensor mask = at::arange(4, at::kLong)
                            .div(2, "floor")
                            .view({4, 1})
                            .mul(3)
                            .add(at::arange(6, at::kLong).div(2, "floor"))
                            .mul(-7)
                            .view({1, 1, 4, 6});
constexpr int features = 6;
const at::Tensor input = normal({3, 2, 4, 6}, at::kDouble, 4);
const at::Tensor weights = normal({2, 4, 6}, at::kDouble, 3);
const Baseline baseline = Baseline::constant(0.4);

at::Tensor linear(const at::Tensor& x) {
  const at::Tensor y = (x * weights).sum({1, 2, 3});
  return at::stack({y, y * 2.0 + 1.0}, 1);
}

/// Sums over the features, each a column: (N, 6).
at::Tensor sums(const at::Tensor& x) {
  return (x * weights).sum(1).view({-1, 2, 2, 3, 2}).sum({2, 4}).view({-1, features});
}
/// Products of pairs alone, besides sums.
at::Tensor pairwise(const at::Tensor& x) {
  const at::Tensor s = sums(x);
  const at::Tensor y =
      s.select(1, 0) * s.select(1, 3) - 2.0 * s.select(1, 1) * s.select(1, 2) + s.select(1, 5);
  return at::stack({y, -y}, 1);
}
at::Tensor network(const at::Tensor& x) {
  const at::Tensor s = sums(x).tanh();
  const at::Tensor y =
      (s.select(1, 0) * s.select(1, 1) * s.select(1, 4)) + s.sum(1).sin() + s.select(1, 2).exp();
  return at::stack({y, y.square()}, 1);
}

at::Tensor composed(const at::Tensor& x, std::int64_t coalition, const at::Tensor& b) {
  at::Tensor out = b.clone();
  for (std::int64_t i = 0; i < features; ++i) {
    // The features' numbers ascend as the mask's values: feature 0 has the smallest.
    if ((coalition >> i & 1) != 0) out = at::where(mask.eq(-35 + 7 * i), x, out);
  }
  return out;
}

/// The scores of all coalitions for class 1, of a batch of one.
std::vector<double> game(at::Tensor (*model)(const at::Tensor&), const at::Tensor& x, const at::Tensor& b) {
  std::vector<double> v;
  for (std::int64_t s = 0; s < 1 << features; ++s) v.push_back(model(composed(x, s, b))[0][1].item<double>());
  return v;
}

/// The mean gain over all 720 orders.
std::vector<double> shapley(const std::vector<double>& v) {
  std::vector<int> order(features);
  std::iota(order.begin(), order.end(), 0);
  std::vector<double> values(features, 0.0);
  int orders = 0;
  do {
    std::size_t s = 0;
    for (const int i : order) {
      values[static_cast<std::size_t>(i)] += v[s | std::size_t{1} << i] - v[s];
      s |= std::size_t{1} << i;
    }
    ++orders;
  } while (std::next_permutation(order.begin(), order.end()));
  for (double& value : values) value /= orders;
  return values;
}

/// One value a feature, where the mask has it.
at::Tensor spread(const std::vector<double>& values) {
  at::Tensor map = at::zeros({1, 2, 4, 6}, at::kDouble);
  for (int i = 0; i < features; ++i)
    map = at::where(mask.eq(-35 + 7 * i), at::full_like(map, values[static_cast<std::size_t>(i)]), map);
  return map;
}

at::Tensor of_orders(at::Tensor (*model)(const at::Tensor&), const at::Tensor& x) {
  return spread(shapley(game(model, x, at::full_like(x, 0.4))));
}

}  // namespace

TEST_CASE("exact Shapley values are the mean gain over all orders") {
  for (const auto model : {&linear, &pairwise, &network}) {
    const ShapleyExact method{*model, {.mask = mask, .baseline = baseline}};
    const Attribution a = method(input, ClassIndex{1});
    CHECK(a.values.sizes() == input.sizes());
    for (std::int64_t n = 0; n < 3; ++n) {
      const at::Tensor x = input.narrow(0, n, 1);
      CHECK(distance(a.values.narrow(0, n, 1), of_orders(*model, x)) < 1e-12);
      CHECK(distance(method(x, ClassIndex{1}).values, a.values.narrow(0, n, 1)) < 1e-12);
    }
    CHECK(a.completeness_error.abs().max().item<double>() < 1e-12);
  }
  CHECK(contains(message<ArgumentError>([&] { ShapleyExact{network}(input); }),
                 "takes at most 20 features, and the mask has 48"));
}

TEST_CASE("several baselines are one game, of the mean score") {
  const Baseline two = Baseline::mean_of({Baseline::constant(0.4), Baseline::zero()});
  const at::Tensor x = input.narrow(0, 1, 1);
  std::vector<double> v = game(&network, x, at::full_like(x, 0.4)),
                      other = game(&network, x, at::zeros_like(x));
  for (std::size_t s = 0; s < v.size(); ++s) v[s] = (v[s] + other[s]) / 2.0;
  const at::Tensor truth = spread(shapley(v));
  CHECK(distance(ShapleyExact{network, {.mask = mask, .baseline = two}}(x, ClassIndex{1}).values, truth) <
        1e-12);
  const KernelShapOptions all{.mask = mask, .baseline = two};
  CHECK(distance(KernelShap{network, all}(x, ClassIndex{1}).values, truth) < 1e-11);
  const Attribution sampled =
      ShapleySampling{network, {.mask = mask, .samples = 4000, .baseline = two}}(x, ClassIndex{1});
  CHECK((sampled.values - truth).norm().item<double>() / truth.norm().item<double>() <
        4 * sampled.standard_error.item<double>());
}

TEST_CASE("sampled Shapley values: exact for sums, by pairs of orders also for products of two") {
  for (const bool antithetic : {false, true}) {
    CAPTURE(antithetic);
    const ShapleySamplingOptions options{
        .mask = mask, .samples = 4, .antithetic = antithetic, .baseline = baseline, .seed = 3};
    const Attribution a = ShapleySampling{linear, options}(input, ClassIndex{1});
    const Attribution b = ShapleySampling{pairwise, options}(input, ClassIndex{1});
    for (std::int64_t n = 0; n < 3; ++n) {
      CHECK(distance(a.values.narrow(0, n, 1), of_orders(&linear, input.narrow(0, n, 1))) < 1e-12);
      const double far = distance(b.values.narrow(0, n, 1), of_orders(&pairwise, input.narrow(0, n, 1)));
      CHECK((antithetic ? far < 1e-12 : far > 1e-3));
    }
    CHECK(a.completeness_error.abs().max().item<double>() < 1e-12);
    CHECK(b.completeness_error.abs().max().item<double>() < 1e-12);
    CHECK(a.standard_error.max().item<double>() < 1e-12);
    CHECK(same(a.copies, at::full({3}, 4, at::kLong)));
  }
  // An odd number is filled up to a pair; a single draw says nothing about its error.
  const Attribution one = ShapleySampling{network, {.mask = mask, .samples = 1}}(input);
  CHECK(same(one.copies, at::full({3}, 2, at::kLong)));
  CHECK(one.values_error.isnan().all().item<bool>());
  // Without a mask each element is a feature.
  const Attribution elements =
      ShapleySampling{linear, {.samples = 2, .baseline = baseline}}(input, ClassIndex{1});
  CHECK(distance(elements.values, (input - 0.4) * weights * 2.0) < 1e-12);
}

TEST_CASE("the values do not depend on chunk, batch and layout, and follow the seed") {
  const at::Tensor of_each = at::cat({mask, mask.add(1).clamp_min(-28), mask.mul(0)});  // 6, 5 and 1 features
  const auto check = [&](const auto& make) {
    const Attribution a = make(0, 5, of_each)(input, ClassIndex{1});
    for (const std::int64_t chunk : {1, 3, 1000}) {
      const Attribution b = make(chunk, 5, of_each)(input, ClassIndex{1});
      CHECK(distance(a.values, b.values) < 1e-12);
      CHECK(distance(a.values_error.nan_to_num(0.0), b.values_error.nan_to_num(0.0)) < 1e-12);
    }
    for (std::int64_t n = 0; n < 3; ++n) {
      const Attribution one = make(0, 5, of_each.narrow(0, n, 1))(input.narrow(0, n, 1), ClassIndex{1});
      CHECK(distance(a.values.narrow(0, n, 1), one.values) < 1e-12);
    }
    CHECK(distance(
              make(0, 5, of_each)(input.transpose(2, 3).contiguous().transpose(2, 3), ClassIndex{1}).values,
              a.values) < 1e-12);
    CHECK(distance(make(0, 6, of_each)(input, ClassIndex{1}).values, a.values) > 1e-4);
  };
  check([](std::int64_t chunk, std::uint64_t seed, const at::Tensor& m) {
    return ShapleySampling{network, {.mask = m, .samples = 6, .seed = seed, .chunk = chunk}};
  });
  check([](std::int64_t chunk, std::uint64_t seed, const at::Tensor& m) {
    return KernelShap{network, {.mask = m, .samples = 20, .seed = seed, .chunk = chunk}};
  });
  check([](std::int64_t chunk, std::uint64_t seed, const at::Tensor& m) {
    return Lime{network, {.mask = m, .samples = 60, .seed = seed, .chunk = chunk}};
  });
}

TEST_CASE("the stated standard errors cover the truth over 200 seeds") {
  const at::Tensor x = input.narrow(0, 2, 1), truth = of_orders(&network, x);
  const auto covered = [&](const auto& make, const at::Tensor& right, double most = 1.4) {
    double squares = 0.0, within = 0.0;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      const Attribution a = make(seed)(x, ClassIndex{1});
      const at::Tensor z = (a.values - right).div(a.values_error);
      squares += z.square().mean().item<double>() / 200;
      within += z.abs().lt(1.96).to(at::kDouble).mean().item<double>() / 200;
      CHECK(a.values_error.norm().item<double>() / a.values.norm().item<double>() ==
            doctest::Approx(a.standard_error.item<double>()));
    }
    CAPTURE(within);
    CAPTURE(squares);
    CHECK(within > 0.90);  // 0.95, of correlated values
    CHECK(within < 0.99);
    CHECK(squares > 0.75);
    CHECK(squares < most);
  };
  covered(
      [](std::uint64_t seed) {
        return ShapleySampling{
            network, {.mask = mask, .samples = 50, .antithetic = false, .baseline = baseline, .seed = seed}};
      },
      truth);
  covered(
      [](std::uint64_t seed) {
        return ShapleySampling{network, {.mask = mask, .samples = 80, .baseline = baseline, .seed = seed}};
      },
      truth);
  for (const bool paired : {false, true}) {
    // 60 of the 62 would be taken once each; these are draws.
    covered(
        [&](std::uint64_t seed) {
          return KernelShap{
              network, {.mask = mask, .samples = 60, .paired = paired, .baseline = baseline, .seed = seed}};
        },
        truth);
  }
  // LIME's truth is the fit to many.
  const auto lime = [](std::uint64_t seed, std::int64_t samples, LimeFit fit) {
    return Lime{network, {.mask = mask, .samples = samples, .fit = fit, .baseline = baseline, .seed = seed}};
  };
  for (const LimeFit fit : {LimeFit::lasso, LimeFit::ridge}) {
    const at::Tensor many = lime(1000, 20000, fit)(x, ClassIndex{1}).values;
    // Near 0 the lasso jumps, and the jackknife does not see it.
    covered([&](std::uint64_t seed) { return lime(seed, 300, fit); }, many,
            fit == LimeFit::lasso ? 3.0 : 1.4);
  }
}

TEST_CASE("antithetic orders and paired coalitions lower the error") {
  // As networks do: mostly single features and pairs.
  const auto mostly = [](const at::Tensor& v) { return pairwise(v) + 0.1 * network(v); };
  const at::Tensor x = input.narrow(0, 0, 1);
  const at::Tensor truth =
      ShapleyExact{mostly, {.mask = mask, .baseline = baseline}}(x, ClassIndex{1}).values;
  const auto error = [&](const auto& make) {
    double squares = 0.0;
    for (std::uint64_t seed = 0; seed < 40; ++seed)
      squares += (make(seed)(x, ClassIndex{1}).values - truth).square().sum().template item<double>();
    return std::sqrt(squares);
  };
  const auto sampled = [&](bool antithetic) {
    return [mostly, antithetic](std::uint64_t seed) {
      return ShapleySampling{
          mostly,
          {.mask = mask, .samples = 20, .antithetic = antithetic, .baseline = baseline, .seed = seed}};
    };
  };
  const auto fitted = [&](bool paired) {
    return [mostly, paired](std::uint64_t seed) {
      return KernelShap{mostly,
                        {.mask = mask, .samples = 40, .paired = paired, .baseline = baseline, .seed = seed}};
    };
  };
  CHECK(error(sampled(true)) < 0.8 * error(sampled(false)));
  CHECK(error(fitted(true)) < 0.8 * error(fitted(false)));
}

TEST_CASE("Kernel SHAP of all coalitions is exact; its values sum to the change of the score always") {
  const Attribution a =
      KernelShap{network, {.mask = mask, .samples = 62, .baseline = baseline}}(input, ClassIndex{1});
  for (std::int64_t n = 0; n < 3; ++n)
    CHECK(distance(a.values.narrow(0, n, 1), of_orders(&network, input.narrow(0, n, 1))) < 1e-11);
  CHECK(a.values_error.abs().max().item<double>() == 0.0);
  CHECK(same(a.copies, at::full({3}, 62, at::kLong)));
  const KernelShap few{network, {.mask = mask, .samples = 3, .baseline = baseline}};
  const Attribution b = few(input, ClassIndex{1});
  CHECK(b.completeness_error.abs().max().item<double>() < 1e-12);
  CHECK(b.values_error.isnan().all().item<bool>());
  CHECK(same(b.copies, at::full({3}, 4, at::kLong)));  // two pairs
  CHECK(distance(KernelShap{linear, {.mask = mask, .samples = 40, .baseline = baseline}}(input, ClassIndex{1})
                     .values,
                 ShapleyExact{linear, {.mask = mask, .baseline = baseline}}(input, ClassIndex{1}).values) <
        1e-11);
  // 48 features, whose coalitions nobody counts.
  const Attribution elements =
      KernelShap{linear, {.samples = 300, .baseline = baseline}}(input, ClassIndex{1});
  CHECK(distance(elements.values, (input - 0.4) * weights * 2.0) < 1e-9);
  CHECK(contains(
      message<ArgumentError>([&] {
        KernelShap{[](const at::Tensor& v) { return v.sum({1}); }}(normal({1, 2001}, at::kDouble, 1));
      }),
      "takes at most 2000 features, and the mask has 2001"));
}

TEST_CASE("a tolerance ends the work where it is met") {
  const auto check = [&](const auto& make) {
    const Attribution a = make(0.05)(input, ClassIndex{1});
    CHECK(a.standard_error.max().item<double>() <= 0.05);
    CHECK(a.converged.all().item<bool>());
    CHECK(a.copies.max().item<std::int64_t>() < 20000);
    const Attribution strict = make(1e-9)(input.narrow(0, 0, 1), ClassIndex{1});
    CHECK_FALSE(strict.converged.item<bool>());
  };
  check([](double tolerance) {
    return ShapleySampling{network, {.mask = mask, .samples = 4000, .tolerance = tolerance}};
  });
  check([](double tolerance) {
    return Lime{network, {.mask = mask, .samples = 4000, .tolerance = tolerance}};
  });
  const at::Tensor elements = at::arange(24, at::kLong).view({1, 1, 4, 6});
  check([&](double tolerance) {
    return KernelShap{network, {.mask = elements, .samples = 20000, .tolerance = tolerance}};
  });
}

TEST_CASE("LIME's fit is the best one, under either penalty") {
  const at::Tensor x = input.narrow(0, 1, 1), b = at::full_like(x, 0.4);
  constexpr std::int64_t draws = 50;
  for (const LimeDistance distance : {LimeDistance::cosine, LimeDistance::euclidean}) {
    const double width = distance == LimeDistance::cosine ? 1.0 : 5.0;
    const auto fit = [&](LimeFit kind, double alpha) {
      const Lime method{network,
                        {.mask = mask,
                         .samples = draws,
                         .fit = kind,
                         .alpha = alpha,
                         .distance = distance,
                         .kernel_width = width,
                         .baseline = baseline,
                         .seed = 11}};
      const at::Tensor map = method(x, ClassIndex{1}).values;
      at::Tensor beta = at::zeros({features}, at::kDouble);
      for (std::int64_t i = 0; i < features; ++i) beta[i] = map.masked_select(mask.eq(-35 + 7 * i))[0];
      return beta;
    };
    // The perturbations, scored and weighed one by one.
    at::Tensor z = at::zeros({draws, features}, at::kDouble), s = at::zeros({draws}, at::kDouble),
               w = s.clone();
    for (std::int64_t draw = 0; draw < draws; ++draw) {
      std::int64_t coalition = 0;
      const salience::detail::HashedDraw bits(11, draw);
      for (std::size_t i = 0; i < features; ++i)
        coalition |= static_cast<std::int64_t>(bits.bits(i) >> 63) << i;
      for (std::int64_t i = 0; i < features; ++i) z[draw][i] = static_cast<double>(coalition >> i & 1);
      const at::Tensor p = composed(x, coalition, b);
      s[draw] = network(p)[0][1];
      const double d = distance == LimeDistance::cosine
                           ? 1.0 - (p * x).sum().item<double>() / (p.norm() * x.norm()).item<double>()
                           : (p - x).norm().item<double>();
      w[draw] = std::exp(-d * d / (2 * width * width));
    }
    CHECK(w.min().item<double>() < 0.95);
    const auto centred = [&](const at::Tensor& t) { return t - (w.unsqueeze(1) * t).sum(0, true) / w.sum(); };
    const at::Tensor zc = centred(z), sc = centred(s.unsqueeze(1));
    // The gradient of the squares is the penalty's.
    const at::Tensor ridge = fit(LimeFit::ridge, 0.3);
    const at::Tensor pull = (zc * w.unsqueeze(1)).t().matmul(sc.select(1, 0) - zc.matmul(ridge));
    CHECK(support::distance(pull, ridge * 0.3) < 1e-10);
    const at::Tensor lasso = fit(LimeFit::lasso, 0.02);
    const at::Tensor slope = (zc * w.unsqueeze(1)).t().matmul(sc.select(1, 0) - zc.matmul(lasso)) / w.sum();
    for (std::int64_t i = 0; i < features; ++i) {
      const double value = lasso[i].item<double>(), force = slope[i].item<double>();
      if (value == 0.0) CHECK(std::abs(force) <= 0.02 + 1e-12);
      if (value != 0.0) CHECK(force == doctest::Approx(std::copysign(0.02, value)).epsilon(1e-9));
    }
    CHECK(lasso.ne(0.0).any().item<bool>());
    CHECK(fit(LimeFit::lasso, 100.0).abs().max().item<double>() == 0.0);
  }
}

TEST_CASE("a permuted feature comes from another sample of the batch") {
  const at::Tensor orders = at::tensor(std::vector<std::int64_t>{1, 2, 0, 2, 1, 0}).view({2, 3});
  const FeaturePermutation method{network, {.mask = mask, .permutations = orders}};
  const Attribution a = method(input, ClassIndex{1});
  at::Tensor truth = at::zeros_like(input);
  for (std::int64_t p = 0; p < 2; ++p) {
    for (int i = 0; i < features; ++i) {
      const at::Tensor here = mask.eq(-35 + 7 * i);
      const at::Tensor mixed = at::where(here, input.index_select(0, orders[p]), input);
      const at::Tensor change = (network(input) - network(mixed)).select(1, 1).view({3, 1, 1, 1}) / 2.0;
      truth += here.to(at::kDouble) * change;
    }
  }
  CHECK(distance(a.values, truth) < 1e-12);
  CHECK(a.values[1].sub(truth[1]).abs().max().item<double>() < 1e-12);
  CHECK(a.values_error.defined());
  const Attribution drawn = FeaturePermutation{network, {.mask = mask, .samples = 3, .seed = 2}}(input);
  CHECK(same(drawn.values,
             FeaturePermutation{network, {.mask = mask, .samples = 3, .seed = 2, .chunk = 2}}(input).values));
  CHECK(distance(drawn.values, FeaturePermutation{network, {.mask = mask, .samples = 3}}(input).values) >
        1e-6);
  CHECK(contains(message<ArgumentError>([&] { FeaturePermutation{network}(input.narrow(0, 0, 1)); }),
                 "at least 2 samples"));
  CHECK(contains(message<ArgumentError>([&] {
                   FeaturePermutation{
                       network,
                       {.permutations = at::tensor(std::vector<std::int64_t>{0, 3, 1}).view({1, 3})}}(input);
                 }),
                 "below 3"));
}

TEST_CASE("a stop leaves what there is") {
  const auto check = [&](const auto& make) {
    for (const std::int64_t after : {1, 7, 40}) {
      CAPTURE(after);
      std::int64_t told = 0;
      const Attribution a = make([&](const Progress& p) {
        CHECK(p.done == told + 1);
        CHECK(p.total >= p.done);
        return ++told < after;
      })(input, ClassIndex{1});
      CHECK(told == after);
      CHECK(a.stopped);
      CHECK(a.values.sizes() == input.sizes());
      CHECK(a.values.isfinite().all().item<bool>());
    }
    std::int64_t told = 0, total = 0;
    const Attribution whole = make([&](const Progress& p) {
      total = p.total;
      ++told;
      return true;
    })(input, ClassIndex{1});
    CHECK_FALSE(whole.stopped);
    CHECK(told == total);
  };
  check([](const ProgressCallback& progress) {
    return ShapleySampling{network, {.mask = mask, .samples = 10, .progress = progress}};
  });
  check([](const ProgressCallback& progress) {
    return ShapleyExact{network, {.mask = mask, .progress = progress}};
  });
  check([](const ProgressCallback& progress) {
    return KernelShap{network, {.mask = mask, .samples = 30, .progress = progress}};
  });
  check([](const ProgressCallback& progress) {
    return Lime{network, {.mask = mask, .samples = 30, .progress = progress}};
  });
  check([](const ProgressCallback& progress) {
    return FeaturePermutation{network, {.mask = mask, .samples = 3, .progress = progress}};
  });
}

TEST_CASE("a grid has cells of equal size along the places, all channels together") {
  const at::Tensor cells = FeatureMask::grid({2, 3})(input);
  CHECK(same(cells, mask.div(-7, "floor")));
  CHECK(same(FeatureMask::grid({4, 4})(normal({1, 3, 2, 9}, at::kDouble, 1)).view({-1}),
             at::tensor(std::vector<std::int64_t>{0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 7})));
  CHECK(same(FeatureMask::grid({2})(normal({1, 3, 5}, at::kDouble, 1)),
             at::tensor(std::vector<std::int64_t>{0, 0, 0, 1, 1}).view({1, 1, 5})));
  CHECK(same(FeatureMask::grid({2})(normal({4, 3}, at::kDouble, 1)),
             at::tensor(std::vector<std::int64_t>{0, 0, 1}).view({1, 3})));
  CHECK(FeatureMask::grid({2})(normal({1, 1, 4, 4, 4}, at::kDouble, 1)).max().item<std::int64_t>() == 7);
  CHECK(contains(message<ArgumentError>([] { FeatureMask::grid({2, 2, 2})(input); }), "(3, 2, 4, 6)"));
  CHECK(contains(message<ArgumentError>([] { FeatureMask::grid({0}); }), "at least 1"));
  CHECK(contains(message<ArgumentError>([] { FeatureMask::grid({2})(at::zeros({4}, at::kDouble)); }),
                 "(N, D)"));
  CHECK(contains(
      message<ArgumentError>([] {
        Lime{network, {.mask = mask, .distance = LimeDistance::euclidean, .kernel_width = 1e-3}}(input);
      }),
      "give a wider one"));
  // A mask of each input's own.
  const FeatureMask own(FeatureMask::Function([](const at::Tensor& x) { return x.gt(0.0).to(at::kLong); }));
  const Attribution a = ShapleyExact{linear, {.mask = own, .baseline = baseline}}(input, ClassIndex{0});
  const at::Tensor gain = (input - 0.4) * weights;
  for (std::int64_t n = 0; n < 3; ++n) {
    const at::Tensor positive = input[n].gt(0.0);
    const at::Tensor truth = at::where(positive, gain[n].masked_select(positive).sum(),
                                       gain[n].masked_select(positive.logical_not()).sum());
    CHECK(distance(a.values[n], truth) < 1e-12);
  }
}

TEST_CASE("several baselines are taken as often, so that the values sum to the mean change") {
  const Baseline three =
      Baseline::mean_of({Baseline::zero(), Baseline::constant(3.0), Baseline::constant(-1.0)});
  const Attribution exact = ShapleyExact{linear, {.mask = mask, .baseline = three}}(input, ClassIndex{1});
  for (const std::int64_t samples : {1, 5, 7}) {
    const Attribution a =
        ShapleySampling{linear, {.mask = mask, .samples = samples, .baseline = three}}(input, ClassIndex{1});
    CHECK(distance(a.values, exact.values) < 1e-12);
    CHECK(a.completeness_error.abs().max().item<double>() < 1e-12);
    CHECK(same(a.copies, at::full({3}, samples == 7 ? 12 : 6, at::kLong)));
  }
}

TEST_CASE("what a stop leaves is not called exact, and NaN scores are not hidden") {
  for (const std::int64_t after : {3, 9}) {
    std::int64_t told = 0;
    const KernelShapOptions options{
        .mask = mask, .tolerance = 0.01, .progress = [&](const Progress&) { return ++told < after; }};
    const Attribution a = KernelShap{network, options}(input.narrow(0, 0, 1));
    CHECK(a.values_error.isnan().all().item<bool>());
    CHECK_FALSE(a.converged.item<bool>());
  }
  // NaN only where the first pixel is gone and the last is there.
  const auto broken = [](const at::Tensor& x) {
    const at::Tensor first = x.select(3, 0).select(2, 0).select(1, 0),
                     last = x.select(3, 5).select(2, 3).select(1, 0);
    const at::Tensor y = network(x);
    return at::where(first.eq(0.0).logical_and(last.ne(0.0)).unsqueeze(1), at::full_like(y, NAN), y);
  };
  const auto hidden = [](const Attribution& a) { return a.values.isfinite().all().item<bool>(); };
  CHECK_FALSE(hidden(FeatureAblation{broken, {.mask = mask}}(input, ClassIndex{1})));
  CHECK_FALSE(hidden(ShapleyExact{broken, {.mask = mask}}(input, ClassIndex{1})));
  CHECK_FALSE(hidden(ShapleySampling{broken, {.mask = mask, .samples = 20}}(input, ClassIndex{1})));
  CHECK_FALSE(hidden(KernelShap{broken, {.mask = mask}}(input, ClassIndex{1})));
  const Attribution lime = Lime{broken, {.mask = mask, .samples = 100}}(input, ClassIndex{1});
  CHECK_FALSE(hidden(lime));
  CHECK(lime.values_error.isnan().any().item<bool>());
}

TEST_CASE("nothing is recorded of an input that requires a gradient") {
  const at::Tensor wanted = input.clone().requires_grad_(true);
  bool attached = false;
  const auto watched = [&attached](const at::Tensor& x) {
    attached = attached || x.requires_grad();
    return network(x);
  };
  const auto check = [&](const auto& method) {
    attached = false;
    CHECK_FALSE(method(wanted, ClassIndex{1}).values.requires_grad());
    CHECK_FALSE(attached);
  };
  check(FeatureAblation{watched, {.mask = mask}});
  check(FeaturePermutation{watched, {.mask = mask}});
  check(ShapleySampling{watched, {.mask = mask, .samples = 2}});
  check(KernelShap{watched, {.mask = mask}});
  check(Lime{watched, {.mask = mask, .samples = 50}});
  check(Occlusion{watched});
}

TEST_CASE("a tolerance looks at each sample by itself, and at what is known exactly") {
  // 6 features and 24.
  const at::Tensor both = at::cat({mask, at::arange(24, at::kLong).view({1, 1, 4, 6})});
  const at::Tensor two = input.slice(0, 0, 2);
  const auto check = [&](const auto& make) {
    const Attribution a = make(both)(two, ClassIndex{1});
    for (std::int64_t n = 0; n < 2; ++n) {
      const Attribution one = make(both.narrow(0, n, 1))(two.narrow(0, n, 1), ClassIndex{1});
      CHECK(same(one.copies, a.copies.narrow(0, n, 1)));
      CHECK(distance(one.values, a.values.narrow(0, n, 1)) < 1e-10);
    }
  };
  check([](const at::Tensor& m) { return Lime{network, {.mask = m, .samples = 3000, .tolerance = 0.15}}; });
  check([](const at::Tensor& m) {
    return KernelShap{network, {.mask = m, .samples = 60, .tolerance = 0.15}};
  });
  const auto constant = [](const at::Tensor& x) { return at::full({x.size(0), 2}, 3.0, at::kDouble); };
  const Attribution nothing =
      ShapleySampling{constant, {.mask = mask, .samples = 100, .tolerance = 0.01}}(input, ClassIndex{1});
  CHECK(nothing.converged.all().item<bool>());
  CHECK(nothing.standard_error.abs().max().item<double>() == 0.0);
  CHECK(nothing.copies.max().item<std::int64_t>() == 20);
}

TEST_CASE("a mask of each sample's own goes with its sample inside of other methods") {
  const at::Tensor of_each = at::cat({mask, mask.add(1).clamp_min(-28), mask.mul(0)});
  const auto smooth = [](const at::Tensor& m, std::int64_t chunk) {
    return SmoothGrad{FeatureAblation{network, {.mask = m}}, {.samples = 5, .chunk = chunk}};
  };
  const at::Tensor whole = smooth(of_each, 0)(input, ClassIndex{1}).values;
  for (const std::int64_t chunk : {1, 2, 3, 4})
    CHECK(distance(smooth(of_each, chunk)(input, ClassIndex{1}).values, whole) < 1e-12);
  for (std::int64_t n = 0; n < 3; ++n) {
    const at::Tensor one = smooth(of_each.narrow(0, n, 1), 0)(input.narrow(0, n, 1), ClassIndex{1}).values;
    CHECK(distance(one, whole.narrow(0, n, 1)) < 1e-12);
  }
  CHECK(contains(message<ArgumentError>([&] {
                   SmoothGrad{FeaturePermutation{network, {.mask = mask}}, {.samples = 2}}(input);
                 }),
                 "no other method can wrap it"));
}

TEST_CASE("options out of range and masks that do not fit are errors") {
  CHECK(contains(message<ArgumentError>([] { ShapleySampling{network, {.samples = 0}}; }), "samples"));
  CHECK(contains(message<ArgumentError>([] { KernelShap{network, {.tolerance = -1.0}}; }), "tolerance"));
  CHECK(contains(message<ArgumentError>([] { Lime{network, {.alpha = -1.0}}; }), "alpha"));
  CHECK(contains(message<ArgumentError>([] { Lime{network, {.kernel_width = 0.0}}; }), "kernel_width"));
  CHECK(contains(message<ArgumentError>([] {
                   ShapleySampling{network, {.mask = at::zeros({5}, at::kLong)}}(input);
                 }),
                 "a mask of features of shape (5)"));
  CHECK(contains(message<ArgumentError>([] {
                   KernelShap{network, {.mask = at::zeros({1})}}(input);
                 }),
                 "whole numbers"));
}

TEST_CASE("float32 and bfloat16 stay what they are") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto model = [](const at::Tensor& x) { return network(x.to(at::kDouble)).to(x.scalar_type()); };
    const at::Tensor x = input.to(type);
    const Attribution a = ShapleyExact{model, {.mask = mask}}(x, ClassIndex{1});
    CHECK((a.values.scalar_type() == type));
    const Attribution right = ShapleyExact{network, {.mask = mask}}(x.to(at::kDouble), ClassIndex{1});
    CHECK(distance(a.values.to(at::kDouble), right.values) / right.values.norm().item<double>() <
          (type == at::kFloat ? 1e-5 : 0.05));
  }
}
