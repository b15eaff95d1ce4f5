// The promises of contract_test.cpp, for every metric of the library:
//
//   1  the model, the input and the map are untouched, bit for bit, also if the model throws
//   2  whatever modes the caller's thread is in (inference mode, no_grad, autocast), and these stay
//   3  a batch gives what its samples give one by one, in chunks of any size
//   4  several threads may call one metric at once
//   5  float64 or bool on the CPU, detached
//
// metrics() is the list. check_list.py fails if the library has a metric that it does not name.
#include <salience/metric/completeness.hpp>
#include <salience/metric/complexity.hpp>
#include <salience/metric/confidence.hpp>
#include <salience/metric/deletion_insertion.hpp>
#include <salience/metric/infidelity.hpp>
#include <salience/metric/localisation.hpp>
#include <salience/metric/pixel_map.hpp>
#include <salience/metric/randomization.hpp>
#include <salience/metric/road.hpp>
#include <salience/metric/sensitivity.hpp>
#include <salience/metric/similarity.hpp>

#include <salience/method/gradient_attributor.hpp>

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "network.hpp"

using namespace salience;
using namespace contract;
using support::distance;

namespace {

/// What a metric says: tensors with a row for each sample.
using Tensors = std::vector<at::Tensor>;
using Metric = std::function<Tensors(const at::Tensor& input, const Attribution&)>;

/// A metric of the library, made for a model. `chunk` is 0 where the metric is to choose.
struct Listed {
  std::string name;
  std::function<Metric(const AnyModel&, std::int64_t chunk)> make;
};

Tensors figures_of(const at::Tensor& figure) { return {figure}; }
Tensors figures_of(const PerturbationCurve& curve) { return {curve.score, curve.area}; }
Tensors figures_of(const ConfidenceChange& change) { return {change.drop, change.increase}; }
Tensors figures_of(const CompletenessError& error) { return {error.absolute, error.relative}; }
Tensors figures_of(const Sensitivity& sensitivity) { return {sensitivity.maximum, sensitivity.mean}; }
Tensors figures_of(const RoadCurves& curves) {
  return {curves.most_relevant_first, curves.least_relevant_first, curves.gap};
}
Tensors figures_of(const RandomizationSimilarity& alike) {
  return {alike.spearman, alike.spearman_abs, alike.ssim};
}

std::vector<Listed> metrics() {
  std::vector<Listed> all;
  // A metric of an attribution.
  const auto add = [&all](std::string name, const auto& make) {
    all.push_back({std::move(name), [make](const AnyModel& model, std::int64_t chunk) -> Metric {
                     return [metric = make(model, chunk)](const at::Tensor& x, const Attribution& a) {
                       return figures_of(metric(x, a));
                     };
                   }});
  };
  add("Deletion",
      [](const AnyModel& m, std::int64_t chunk) { return Deletion(m, {.steps = 6, .chunk = chunk}); });
  add("Insertion",
      [](const AnyModel& m, std::int64_t chunk) { return Insertion(m, {.steps = 6, .chunk = chunk}); });
  add("Road", [](const AnyModel& m, std::int64_t chunk) {
    return Road(m, {.fractions = {0.2, 0.7}, .chunk = chunk});
  });
  add("Confidence", [](const AnyModel& m, std::int64_t chunk) { return Confidence(m, {.chunk = chunk}); });
  add("Infidelity",
      [](const AnyModel& m, std::int64_t chunk) { return Infidelity(m, {.samples = 5, .chunk = chunk}); });
  add("Infidelity at its best scale", [](const AnyModel& m, std::int64_t chunk) {
    return Infidelity(m, {.samples = 5, .normalize = true, .chunk = chunk});
  });
  add("Completeness", [](const AnyModel& m, std::int64_t) { return Completeness(m); });
  // A metric of a method.
  const auto add_of_method = [&add](std::string name, const auto& make) {
    add(std::move(name), [make](const AnyModel& model, std::int64_t chunk) {
      return [metric = make(model, chunk)](const at::Tensor& x, const Attribution&) { return metric(x); };
    });
  };
  add_of_method("MaxSensitivity", [](const AnyModel& m, std::int64_t chunk) {
    return MaxSensitivity(GradientAttributor(m), {.samples = 3, .chunk = chunk});
  });
  add_of_method("RandomizationCheck", [](const AnyModel& m, std::int64_t) {
    const auto random = [m](std::int64_t level) {
      const auto other = [m, level](const at::Tensor& x) {
        return m(x.mul(static_cast<double>(level) - 0.5).sin());
      };
      return GradientAttributor(AnyModel(other));
    };
    return [check = RandomizationCheck(GradientAttributor(m), random)](const at::Tensor& x) {
      return check(x, 2);
    };
  });
  // A metric of maps, which asks no model.
  const auto add_of_maps = [&add](std::string name, const auto& figure) {
    add(std::move(name), [figure](const AnyModel&, std::int64_t) {
      return [figure](const at::Tensor& x, const Attribution& a) { return figure(a.values, x); };
    });
  };
  const Region region(Box{.top = 2, .left = 1, .height = 4, .width = 3});
  add_of_maps("gini", [](const auto& values, const auto&) { return gini(values); });
  add_of_maps("entropy", [](const auto& values, const auto&) { return entropy(values); });
  add_of_maps("pixel_map", [](const auto& values, const auto&) { return pixel_map(values); });
  add_of_maps("pointing_game", [region](const auto& values, const auto&) {
    return pointing_game(values, region, {.tolerance = 1.0});
  });
  add_of_maps("energy", [region](const auto& values, const auto&) { return energy(values, region); });
  add_of_maps("iou", [region](const auto& values, const auto&) { return iou(values, region); });
  add_of_maps("pearson", [](const auto& values, const auto& other) { return pearson(values, other); });
  add_of_maps("spearman", [](const auto& values, const auto& other) { return spearman(values, other); });
  add_of_maps("top_k_overlap",
              [](const auto& values, const auto& other) { return top_k_overlap(values, other, 9); });
  add_of_maps("ssim", [](const auto& values, const auto& other) { return ssim(values, other); });
  return all;
}

/// `check` for each, and its name in what doctest says.
void for_each_metric(const std::function<void(const Listed&)>& check) {
  for (const Listed& listed : metrics()) {
    CAPTURE(listed.name);
    check(listed);
  }
}

/// A map of the batch, whose class the metric has to find.
Attribution map_of_batch(at::ScalarType dtype = at::kDouble) {
  return {{}, normal({3, 3, 9, 8}, at::kDouble, 5).to(dtype)};
}

/// The same bits; NaN is equal to NaN.
bool equal(const Tensors& a, const Tensors& b) {
  bool all = a.size() == b.size();
  for (std::size_t i = 0; all && i < a.size(); ++i) {
    all = a[i].scalar_type() == b[i].scalar_type() && a[i].sizes() == b[i].sizes() &&
          a[i].to(at::kDouble).nan_to_num(-7.0).equal(b[i].to(at::kDouble).nan_to_num(-7.0));
  }
  return all;
}

void check_close(const Tensors& a, const Tensors& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].sizes() == b[i].sizes());
    CHECK(distance(a[i].to(at::kDouble).nan_to_num(-7.0), b[i].to(at::kDouble).nan_to_num(-7.0)) < 1e-10);
  }
}

}  // namespace

TEST_CASE("metrics, promise 1: model, input and map are untouched, also when the model throws") {
  for_each_metric([](const Listed& listed) {
    // 0: it does not throw; 1: in the first pass; 2 and 3: in a later one, if there are so many.
    for (const int throws_at : {0, 1, 2, 3}) {
      Network network;
      network.throws_at = throws_at;
      at::Tensor input = batch();
      input.requires_grad_(true);
      input.mutable_grad() = input.detach().mul(2.0);
      const Attribution attribution = map_of_batch();
      std::vector<Snapshot> snapshots{Snapshot(input), Snapshot(attribution.values)};
      for (const at::Tensor& weight : network.weights->all) snapshots.emplace_back(weight);
      bool thrown = false;
      try {
        listed.make(network.model(), 2)(input, attribution);
      } catch (const std::domain_error&) {
        thrown = true;
      }
      CHECK(thrown == (throws_at > 0 && network.calls->load() >= throws_at));
      for (const Snapshot& snapshot : snapshots) CHECK(snapshot.untouched());
      CHECK(c10::GradMode::is_enabled());
      CHECK_FALSE(c10::InferenceMode::is_enabled());
      CHECK(autocast_is_excluded());
    }
  });
}

TEST_CASE("metrics, promise 2: in inference mode, under no_grad and in autocast the same bits") {
  for_each_metric([](const Listed& listed) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const Network network(dtype);
      const Metric metric = listed.make(network.model(), 2);
      const at::Tensor input = batch(dtype);
      const Attribution attribution = map_of_batch(dtype);
      const Tensors expected = metric(input, attribution);
      {
        const c10::InferenceMode inference;
        CHECK(equal(metric(input, attribution), expected));
        const at::Tensor own = batch(dtype);
        REQUIRE(own.is_inference());
        const Tensors figures = metric(own, map_of_batch(dtype));
        CHECK(equal(figures, expected));
        if (network.calls->load() > 0) {
          for (const at::Tensor& figure : figures) CHECK_FALSE(figure.is_inference());
        }
        CHECK(c10::InferenceMode::is_enabled());
      }
      {
        const c10::NoGradGuard no_grad;
        CHECK(equal(metric(input, attribution), expected));
        CHECK_FALSE(c10::GradMode::is_enabled());
      }
      {
        const Autocast autocast;
        const at::Tensor narrow = normal({2, 2}, at::kFloat).matmul(normal({2, 2}, at::kFloat));
        REQUIRE((narrow.scalar_type() == at::kBFloat16));  // or this test would show nothing
        CHECK(equal(metric(input, attribution), expected));
        CHECK_FALSE(autocast_is_excluded());
      }
    }
  });
}

TEST_CASE("metrics, promise 3: a batch gives what its samples give one by one, in chunks of any size") {
  for_each_metric([](const Listed& listed) {
    const Network network;
    const at::Tensor input = batch();
    const Attribution attribution = map_of_batch();
    const Tensors whole = listed.make(network.model(), 0)(input, attribution);
    for (std::int64_t n = 0; n < input.size(0); ++n) {
      Tensors rows;
      for (const at::Tensor& figure : whole) rows.push_back(figure.slice(0, n, n + 1));
      check_close(rows, listed.make(network.model(), 0)(input.slice(0, n, n + 1), attribution.sample(n)));
    }
    for (const std::int64_t chunk : {1, 2, 5}) {
      check_close(whole, listed.make(network.model(), chunk)(input, attribution));
    }
  });
}

TEST_CASE("metrics, promise 4: two threads on one metric, the same bits") {
  for_each_metric([](const Listed& listed) {
    const Network network;
    const Metric metric = listed.make(network.model(), 2);
    const at::Tensor input = batch();
    const Attribution attribution = map_of_batch();
    const Tensors expected = metric(input, attribution);
    std::atomic<int> right = 0;
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < 4; ++i) right += equal(metric(input, attribution), expected) ? 1 : 0;
        });
      }
    }
    CHECK(right == 8);
  });
}

TEST_CASE("metrics, promise 5: float64 or bool, a row for each sample, and nothing requires a gradient") {
  for_each_metric([](const Listed& listed) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
      const Network network(dtype);
      const Attribution attribution{{}, map_of_batch(dtype).values.requires_grad_(true)};
      const at::Tensor input = batch(dtype).requires_grad_(true);
      for (const at::Tensor& figure : listed.make(network.model(), 0)(input, attribution)) {
        CHECK((figure.scalar_type() == at::kDouble || figure.scalar_type() == at::kBool));
        CHECK(figure.device().is_cpu());
        CHECK(figure.size(0) == input.size(0));
        CHECK(figure.isfinite().all().item<bool>());
        CHECK_FALSE(figure.requires_grad());
      }
    }
  });
}
