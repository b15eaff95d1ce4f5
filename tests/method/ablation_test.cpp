// Occlusion and FeatureAblation against their definitions, element by element, and closed forms of linear
// models.
#include <ATen/ATen.h>
#include <salience/method/feature_ablation.hpp>
#include <salience/method/occlusion.hpp>
#include <salience/target/class_score.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

const at::Tensor weights = normal({2, 5, 7}, at::kDouble, 3);

/// Two channels of 5 x 7; not linear.
at::Tensor network(const at::Tensor& x) {
  const at::Tensor y = (x * weights).sum({1, 2, 3});
  return at::stack({y, (x * x * weights).sum({1, 2, 3}) + y.tanh(), -y}, 1);
}
const at::Tensor input = normal({3, 2, 5, 7}, at::kDouble, 4);

/// f(x) - f(x with what the window covers replaced by b), for class 1 of a sample.
double change(const at::Tensor& x, const at::Tensor& covered, const at::Tensor& b) {
  return (network(x) - network(at::where(covered, b, x)))[0][1].item<double>();
}

/// Occlusion by its definition: for each element the mean over the windows that cover it.
at::Tensor by_hand(const at::Tensor& x, std::vector<std::int64_t> window, std::vector<std::int64_t> stride,
                   const at::Tensor& b) {
  at::Tensor sum = at::zeros_like(x), count = at::zeros_like(x);
  const std::int64_t h = x.size(2), w = x.size(3);
  const std::int64_t rows = (h - window[0] + stride[0] - 1) / stride[0] + 1,
                     columns = (w - window[1] + stride[1] - 1) / stride[1] + 1;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      at::Tensor covered = at::zeros_like(x, at::kBool);
      covered.slice(2, i * stride[0], i * stride[0] + window[0])
          .slice(3, j * stride[1], j * stride[1] + window[1])
          .fill_(true);
      sum += covered.to(at::kDouble) * change(x, covered, b);
      count += covered;
    }
  }
  return sum / count;
}

}  // namespace

TEST_CASE("Occlusion by its definition, windows and strides of every kind") {
  const at::Tensor b = at::full({1, 2, 5, 7}, 0.3, at::kDouble);
  struct Case {
    std::vector<std::int64_t> window, stride;
  };
  for (const Case& one :
       {Case{{2, 3}, {1, 1}}, Case{{2, 3}, {2, 2}}, Case{{1, 1}, {1, 1}}, Case{{5, 7}, {1, 1}},
        Case{{3, 3}, {2, 3}}, Case{{4, 6}, {3, 5}}, Case{{2, 2}, {1, 2}}}) {
    CAPTURE(one.window[0]);
    CAPTURE(one.stride[0]);
    const Occlusion method{network,
                           {.window = one.window, .stride = one.stride, .baseline = Baseline::constant(0.3)}};
    const Attribution a = method(input, ClassIndex{1});
    CHECK(a.values.sizes() == input.sizes());
    CHECK(same(a.score, network(input).select(1, 1)));
    for (std::int64_t n = 0; n < 3; ++n) {
      const at::Tensor x = input.narrow(0, n, 1);
      const at::Tensor truth = by_hand(x, one.window, one.stride, b);
      CHECK(distance(a.values.narrow(0, n, 1), truth) < 1e-12);
      CHECK(distance(method(x, ClassIndex{1}).values, a.values.narrow(0, n, 1)) < 1e-12);
    }
  }
  // A window over all dimensions, channels too; and one along the last alone.
  const Attribution channels = Occlusion{network, {.window = {1, 5, 7}}}(input, ClassIndex{1});
  const at::Tensor x = input.narrow(0, 0, 1);
  at::Tensor covered = at::zeros_like(x, at::kBool);
  covered.select(1, 1).fill_(true);
  CHECK(distance(channels.values[0][1],
                 at::full({5, 7}, change(x, covered, at::zeros_like(x)), at::kDouble)) < 1e-12);
  const Attribution columns = Occlusion{network, {.window = {7}}}(input, ClassIndex{1});
  CHECK(distance(columns.values.select(3, 0), columns.values.select(3, 6)) == 0.0);
  // Without a window a fifteenth of each place, by half of it.
  const auto sums = [](const at::Tensor& v) { return v.flatten(1).sum(1, true); };
  const at::Tensor large = normal({2, 3, 32, 46}, at::kDouble, 5), line = normal({2, 3, 31}, at::kDouble, 5);
  CHECK(same(Occlusion{sums}(large).values,
             Occlusion{sums, {.window = {3, 4}, .stride = {2, 2}}}(large).values));
  CHECK(same(Occlusion{sums}(line).values, Occlusion{sums, {.window = {3}, .stride = {2}}}(line).values));
  const at::Tensor row = normal({2, 16}, at::kDouble, 6);
  CHECK(same(Occlusion{sums}(row).values, Occlusion{sums, {.window = {2}, .stride = {1}}}(row).values));
  // Stride 1 where none is given.
  CHECK(same(Occlusion{network, {.window = {2, 3}}}(input).values,
             Occlusion{network, {.window = {2, 3}, .stride = {1, 1}}}(input).values));
}

TEST_CASE("FeatureAblation by its definition, with a mask for all samples or for each, and without") {
  const at::Tensor b = at::full_like(input, -0.5);
  const auto truth = [&](const at::Tensor& masks) {
    at::Tensor values = at::zeros_like(input);
    for (std::int64_t n = 0; n < 3; ++n) {
      const at::Tensor x = input.narrow(0, n, 1), own = masks.narrow(0, n, 1);
      for (std::int64_t id = own.min().item<std::int64_t>(); id <= own.max().item<std::int64_t>(); ++id) {
        const at::Tensor covered = own.eq(id);
        if (covered.any().item<bool>())
          values.narrow(0, n, 1).add_(covered.to(at::kDouble) * change(x, covered, b.narrow(0, n, 1)));
      }
    }
    return values;
  };
  const at::Tensor of_all = at::arange(35, at::kLong).div(6, "floor").view({1, 1, 5, 7});
  const at::Tensor of_each =
      (normal({3, 2, 5, 7}, at::kDouble, 9) * 2).round().to(at::kLong);  // others have other numbers
  for (const at::Tensor& mask : {of_all, of_each}) {
    for (const std::int64_t chunk : {0, 1, 4}) {
      const FeatureAblation method{network,
                                   {.mask = mask, .baseline = Baseline::constant(-0.5), .chunk = chunk}};
      CHECK(distance(method(input, ClassIndex{1}).values, truth(mask.expand_as(input))) < 1e-12);
    }
  }
  const at::Tensor each = at::arange(input[0].numel(), at::kLong).view({1, 2, 5, 7});
  const FeatureAblation elements{network, {.baseline = Baseline::constant(-0.5)}};
  CHECK(distance(elements(input, ClassIndex{1}).values, truth(each.expand_as(input))) < 1e-12);
  // Of a linear function that is weight times difference.
  CHECK(distance(elements(input, ClassIndex{0}).values, (input + 0.5) * weights) < 1e-12);
  // And the windows of Occlusion that do not overlap are features.
  const at::Tensor windows = at::arange(5, at::kLong).view({1, 1, 5, 1});
  CHECK(distance(Occlusion{network, {.window = {1, 7}}}(input).values,
                 FeatureAblation{network, {.mask = windows}}(input).values) < 1e-13);
}

TEST_CASE(
    "Occlusion and FeatureAblation: chunks, dtypes, several baselines, a target without a gradient, and "
    "stopping") {
  const OcclusionOptions options{.window = {2, 3}, .stride = {2, 2}};
  const at::Tensor whole = Occlusion{network, options}(input).values;
  for (const std::int64_t chunk : {1, 2, 5, 1000}) {
    OcclusionOptions chunked = options;
    chunked.chunk = chunk;
    CHECK(distance(Occlusion{network, chunked}(input).values, whole) < 1e-13);
  }
  CHECK((
      Occlusion{[](const at::Tensor& x) { return network(x.to(at::kDouble)); }, options}(input.to(at::kFloat))
          .values.scalar_type() == at::kFloat));
  CHECK((Occlusion{[](const at::Tensor& x) { return network(x.to(at::kDouble)); },
                   options}(input.to(at::kBFloat16))
             .values.scalar_type() == at::kBFloat16));

  OcclusionOptions several = options, one = options, two = options;
  one.baseline = Baseline::constant(1.0);
  two.baseline = Baseline::blurred(2.0);
  several.baseline = Baseline::mean_of({one.baseline, two.baseline});
  CHECK(distance(Occlusion{network, several}(input).values,
                 (Occlusion{network, one}(input).values + Occlusion{network, two}(input).values) / 2) <
        1e-13);

  const auto signs = [](const at::Tensor& output) { return output.select(1, 0).sign(); };
  CHECK(Occlusion{network, {.window = {5, 7}}}(input, signs).values.abs().max().item<double>() == 1.0);

  // Stopped after 7 of 3 x 9 evaluations: two windows of each sample and one more of the first.
  OcclusionOptions stopped = options;
  std::int64_t told = 0;
  stopped.progress = [&told](const Progress& progress) {
    CHECK(progress.done == ++told);
    CHECK(progress.total == 27);
    return progress.done < 7;
  };
  const Attribution part = Occlusion{network, stopped}(input);
  CHECK(part.stopped);
  CHECK(told == 7);
  CHECK(part.values.slice(2, 2).abs().max().item<double>() == 0.0);
  CHECK(part.values.slice(2, 0, 2).slice(3, 0, 2).abs().min().item<double>() > 0.0);
  CHECK(!Occlusion{network, options}(input).stopped);
}

TEST_CASE("Occlusion and FeatureAblation: what is wrong is told") {
  const auto occlusion = [](OcclusionOptions options) {
    return message<ArgumentError>([&] { Occlusion{network, options}(input); });
  };
  CHECK(contains(occlusion({.window = {6, 3}}),
                 "a size of the window of Occlusion must be at least 1 and at most the input's, 5, got 6"));
  CHECK(contains(occlusion({.window = {0}}), "at least 1"));
  CHECK(contains(occlusion({.stride = {2}}), "give its sizes, too"));
  CHECK(contains(occlusion({.window = {2, 2}, .stride = {1}}), "has 2 sizes, and there are 1 strides"));
  CHECK(contains(occlusion({.window = {2, 2}, .stride = {1, 0}}),
                 "a stride of Occlusion must be at least 1 and at most the window's size, 2, got 0"));
  CHECK(contains(occlusion({.window = {2, 2}, .stride = {1, 3}}), "got 3"));  // it would leave places out
  CHECK(contains(occlusion({.window = {1, 1, 1, 1}}), "fewer than the dimensions of the input"));
  CHECK(contains(occlusion({.window = {2, 2}, .chunk = -1}), "chunk"));
  const auto ablation = [](FeatureAblationOptions options) {
    return message<ArgumentError>([&] { FeatureAblation{network, options}(input); });
  };
  CHECK(contains(ablation({.mask = at::zeros({5, 7}, at::kDouble)}), "of whole numbers"));
  CHECK(contains(ablation({.mask = at::zeros({5, 6}, at::kLong)}),
                 "does not fit an input of shape (3, 2, 5, 7)"));
}
