#include <salience/method/variant_scores.hpp>

#include <c10/core/InferenceMode.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "../metric/pictures.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;
using support::tensor;

namespace {

const at::Tensor input = tensor({3, 1, 2, 10, 30, 20}, {2, 3});
const auto logits = [](const at::Tensor& x) { return x.mul(1.0); };
const TargetSelector<> predicted;

/// The step's number times 100 is added.
const auto shifted = [](const salience::Variant& row, const at::Tensor& out) {
  out.copy_(input[row.sample].add(100.0 * static_cast<double>(row.step)));
};

at::Tensor classes(std::vector<double> indices) { return tensor(indices, {2}).to(at::kLong); }

}  // namespace

TEST_CASE("each variant is scored for its own sample's class: the given one, else the clean prediction") {
  salience::VariantScores given(logits, input, classes({1, 2}), predicted);
  CHECK(same(given.clean(), tensor({1, 20}, {2})));
  CHECK(same(given(3, 0, shifted), tensor({1, 101, 201, 20, 120, 220}, {2, 3})));
  salience::VariantScores chosen(logits, input, at::Tensor(), predicted);
  CHECK(same(chosen.clean(), tensor({3, 30}, {2})));
  const auto reversed = [](const salience::Variant& row, const at::Tensor& out) {
    out.copy_(input[row.sample].neg());
  };
  CHECK(same(chosen(1, 0, reversed), tensor({-3, -30}, {2, 1})));
}

TEST_CASE("a score function has no classes") {
  const auto target = as_target([](const at::Tensor& output) { return output.sum(1); });
  salience::VariantScores scores(logits, input, at::Tensor(), target);
  CHECK(same(scores(2, 0, shifted), tensor({6, 306, 60, 360}, {2, 2})));
}

TEST_CASE("no more variants than the chunk are in flight, and any chunk gives the same") {
  std::int64_t largest = 0, rows = 0;
  const auto counting = [&](const at::Tensor& x) {
    largest = std::max(largest, x.size(0));
    rows += x.size(0);
    return x.mul(1.0);
  };
  const salience::VariantScores scores(counting, input, at::Tensor(), predicted);
  const at::Tensor all = scores(5, 0, shifted);
  for (const std::int64_t chunk : {1, 3, 7}) {
    largest = rows = 0;
    CHECK(same(scores(5, chunk, shifted), all));
    CHECK(largest == chunk);
    CHECK(rows == 10);
  }
}

TEST_CASE("progress is told after each variant, whatever the chunk; where it stops, the rest is NaN") {
  const salience::VariantScores scores(logits, input, at::Tensor(), predicted);
  const at::Tensor all = scores(3, 0, shifted);
  for (const std::int64_t chunk : {1, 4, 100}) {
    std::vector<std::int64_t> done;
    const auto tell = [&](const Progress& told) {
      CHECK(told.total == 6);
      CHECK(told.error < 0.0);
      return done.push_back(told.done), true;
    };
    CHECK(same(scores(3, chunk, shifted, tell), all));
    CHECK(done == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});

    const at::Tensor part = scores(3, chunk, shifted, pictures::stop_after(3));  // two of the first sample's
    CHECK(same(part.isnan(), tensor({0, 0, 1, 0, 1, 1}, {2, 3}).to(at::kBool)));
    CHECK(same(part.nan_to_num(0.0), all.mul(part.isnan().logical_not())));
  }
  const auto broken = [](const Progress&) -> bool { throw TargetError("from the callback"); };
  CHECK(message<TargetError>([&] { scores(3, 0, shifted, broken); }) == "from the callback");
}

TEST_CASE("the caller may be in inference mode") {
  const c10::InferenceMode inference;
  const at::Tensor x = input.clone();
  const salience::VariantScores scores(logits, x, at::Tensor(), predicted);
  CHECK(same(scores(2, 0, shifted), tensor({3, 103, 30, 130}, {2, 2})));
}

TEST_CASE("metrics take one baseline and no negative chunk") {
  CHECK(same(salience::only_baseline(Baseline::constant(2.0), input), input.mul(0.0).add(2.0)));
  CHECK(contains(message<ArgumentError>([] { salience::only_baseline(Baseline::each(input), input); }),
                 "must be 1, got 2"));
  CHECK(contains(message<ArgumentError>([] { salience::require_chunk(-1); }), "chunk must be at least 0"));
}
