// A model that holds something for each sample gives in a batch what its samples give alone, in every method
// and metric, however these regroup the rows.
#include <salience/method/gradient_shap.hpp>
#include <salience/method/internal_influence.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/layer_conductance.hpp>
#include <salience/method/registry.hpp>
#include <salience/metric/completeness.hpp>
#include <salience/metric/confidence.hpp>
#include <salience/metric/deletion_insertion.hpp>
#include <salience/metric/infidelity.hpp>
#include <salience/metric/randomization.hpp>
#include <salience/metric/road.hpp>
#include <salience/metric/sensitivity.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>

#include <ATen/ops/conv2d_ops.h>
#include <c10/core/InferenceMode.h>
#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::distance;
using support::normal;
using support::same;

namespace {

const at::Tensor kernel = normal({4, 3, 3, 3}, at::kDouble, 1), weight = normal({4, 5}, at::kDouble, 2);
const at::Tensor input = normal({3, 3, 8, 8}, at::kDouble, 3);
const at::Tensor conditions = normal({3, 3, 1, 1}, at::kDouble, 4).add(0.5);  // a row for each sample

/// Features that look at the input times a tensor of their own for each sample.
struct Conditioned {
  at::Tensor condition;
  at::Tensor operator()(const at::Tensor& x) const {
    if (x.size(0) != condition.size(0)) throw std::logic_error("as many rows as conditions");
    return at::_ops::conv2d::call(x.mul(condition.to(x)), kernel.to(x), {}, {1, 1}, {1, 1}, {1, 1}, 1).relu();
  }
  Conditioned for_samples(const at::Tensor& samples) const { return {condition.index_select(0, samples)}; }
};
struct Head {
  at::Tensor operator()(const at::Tensor& a) const {
    return a.square().mean({2, 3}).add(a.mean({2, 3})).matmul(weight.to(a));
  }
};
struct Network {
  Conditioned features;
  at::Tensor operator()(const at::Tensor& x) const { return Head{}(features(x)); }
  at::Tensor forward(const at::Tensor& x) const { return (*this)(x); }  // so that a pointer to it is a model
  Network for_samples(const at::Tensor& samples) const { return {features.for_samples(samples)}; }
};

static_assert(SampleAwareModel<Network> && SampleAwareModel<std::shared_ptr<Network>>);
static_assert(SampleAwareModel<std::reference_wrapper<const Network>> && SampleAwareModel<const Network*>);
static_assert(SampleAwareModel<FeaturesHead<Conditioned, Head>>);
static_assert(SampleAwareModel<FeaturesHead<Head, Conditioned>>);
static_assert(SampleAwareModel<LastConvolution<Network>> && SampleAwareModel<AnyModel>);
static_assert(!SampleAwareModel<Head> && !SampleAwareModel<FeaturesHead<Head, Head>>);

/// `attribute(model, x)` for the batch, and for each sample with its own condition.
template <class Make>
void check(const std::string& name, const Make& make, const auto& attribute) {
  CAPTURE(name);
  const std::vector<at::Tensor> batch = attribute(make(conditions), input);
  for (std::int64_t n = 0; n < input.size(0); ++n) {
    const std::vector<at::Tensor> one =
        attribute(make(conditions.slice(0, n, n + 1)), input.slice(0, n, n + 1));
    REQUIRE(batch.size() == one.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
      CHECK(distance(batch[i].slice(0, n, n + 1), one[i]) < 1e-10);
    }
  }
}

/// Values, figures and what was explained.
std::vector<at::Tensor> all_of(const Attribution& a) {
  std::vector<at::Tensor> all{a.values, a.score, a.logits};
  // Of few draws there is no standard error.
  for (const Figure& figure : figures(a)) all.push_back(figure.values.to(at::kDouble).nan_to_num(-7.0));
  return all;
}

const auto network = [](const at::Tensor& condition) { return Network{{condition}}; };
const auto layered = [](const at::Tensor& condition) { return FeaturesHead(Conditioned{condition}, Head{}); };

}  // namespace

TEST_CASE("rows that are regrouped keep their samples: every method of the registry") {
  for (const MethodEntry& entry : methods()) {
    if (entry.needs_graph) continue;  // tests/script/cut_contract_test.cpp has those
    for (const std::int64_t chunk : {1, 4, 0}) {
      MethodOptions options{.samples = 5, .steps = 5, .segments = FeatureMask::grid({2}), .chunk = chunk};
      const auto attribute = [&](const auto& model, const at::Tensor& x) {
        return all_of(entry.make(AnyModel(model), options)(x));
      };
      check(std::string(entry.name), layered, attribute);
      if (!entry.takes("tolerance")) continue;
      options.tolerance = 0.2;
      check(std::string(entry.name) + " to a tolerance", layered, attribute);
    }
  }
}

TEST_CASE(
    "rows that are regrouped keep their samples: methods around methods, layers, and all kinds of holders") {
  const SmoothGradOptions some{.samples = 4, .chunk = 7}, few{.samples = 3, .chunk = 2};
  const auto attribute = [](const auto& method) {
    return [method](const auto& model, const at::Tensor& x) { return all_of(method(model)(x)); };
  };
  check("x gradient", network, attribute([&](const auto& m) { return SmoothGrad(InputXGradient(m), some); }));
  check("twice", network,
        attribute([&](const auto& m) { return SmoothGrad(SmoothGrad(GradientAttributor(m), some), few); }));
  check("three times", network, attribute([&](const auto& m) {
          return SmoothGrad(AnyAttributor(SmoothGrad(SmoothGrad(InputXGradient(m), few), few)), few);
        }));
  check("of a path", network, attribute([&](const auto& m) {
          return SmoothGrad(IntegratedGradients(m, {.steps = 3, .chunk = 2}), few);
        }));
  check("of a walk", network, attribute([&](const auto& m) {
          return SmoothGrad(IntegratedGradients(m, {.steps = 3, .chunk = 2}, GuidedPath{}), few);
        }));
  check("of a map", layered, attribute([&](const auto& m) { return SmoothGrad(GuidedGradCam(m), some); }));
  check("of a layer", layered, attribute([&](const auto& m) { return SmoothGrad(LayerGradient(m), some); }));
  const LayerConductanceOptions conductance{.layer = "features", .steps = 4, .chunk = 3};
  const GradientShapOptions draws{.samples = 4, .noise = 0.1, .chunk = 3};
  check("influence", layered,
        attribute([&](const auto& m) { return InternalInfluence(m, {.steps = 4, .chunk = 3}); }));
  check("conductance", layered, attribute([&](const auto& m) { return LayerConductance(m, conductance); }));
  check("conductance of any model", layered,
        attribute([&](const auto& m) { return LayerConductance(AnyModel(m), conductance); }));
  check("of a conductance", layered,
        attribute([&](const auto& m) { return SmoothGrad(LayerConductance(m, conductance), few); }));
  check("SHAP", network, attribute([&](const auto& m) { return GradientShap(m, draws); }));
  check("of SHAP", network,
        attribute([&](const auto& m) { return SmoothGrad(GradientShap(m, draws), few); }));
  check("SHAP at a layer", layered,
        attribute([&](const auto& m) { return LayerGradientShap(m, {}, draws); }));
  check("of one's own", network, attribute([&](const auto& m) {
          const auto own = [m](const at::Tensor& x, const auto& target) {
            return gradient_at_input(m, x, target);
          };
          return SmoothGrad(own, some);
        }));
  check(
      "convolution", [](const at::Tensor& c) { return LastConvolution(Network{{c}}); },
      attribute([&](const auto& m) { return SmoothGrad(GradCam(m), some); }));
  check(
      "shared", [](const at::Tensor& c) { return std::make_shared<Network>(Network{{c}}); },
      attribute([&](const auto& m) { return SmoothGrad(GradientAttributor(m), some); }));
  check("the class of each", network, [&](const auto& m, const at::Tensor& x) {
    return all_of(
        SmoothGrad(SmoothGrad(GradientAttributor(m), some), few)(x, TargetSelector{ArgMax{}, Probability{}}));
  });
}

TEST_CASE("rows that are regrouped keep their samples: a baseline with a row for each sample") {
  const at::Tensor starts = normal({3, 3, 8, 8}, at::kDouble, 9);
  const auto check_baseline = [&](const auto& method) {
    const auto values = [&](const at::Tensor& x, const at::Tensor& start) {
      return method(Network{{conditions.slice(0, 0, 1).expand_as(conditions.slice(0, 0, x.size(0)))}},
                    Baseline::tensor(start))(x)
          .values;
    };
    const at::Tensor batch = values(input, starts);
    for (std::int64_t n = 0; n < input.size(0); ++n) {
      const at::Tensor one = values(input.slice(0, n, n + 1), starts.slice(0, n, n + 1));
      CHECK(distance(batch.slice(0, n, n + 1), one) < 1e-10);
    }
  };
  // Chunks of as many rows as there are samples, and of others.
  for (const std::int64_t chunk : {2, 3, 7}) {
    check_baseline([chunk](const Network& m, const Baseline& baseline) {
      return SmoothGrad(IntegratedGradients(m, {.steps = 3, .baseline = baseline}),
                        {.samples = 4, .chunk = chunk});
    });
    check_baseline([chunk](const Network& m, const Baseline& baseline) {
      return SmoothGrad(Idgi(m, {.steps = 3, .baseline = baseline}),
                        {.samples = 40, .tolerance = 0.3, .chunk = chunk});
    });
  }
  const SmoothGrad lacking(
      IntegratedGradients([](const at::Tensor& x) { return x.flatten(1); },
                          {.steps = 3, .baseline = Baseline::tensor(starts.slice(0, 0, 2))}),
      {.samples = 2, .chunk = 3});
  CHECK(support::message<ArgumentError>([&] { lacking(input); }) ==
        "a baseline of shape (2, 3, 8, 8) has no row for sample 2");
}

TEST_CASE("rows that are regrouped keep their samples: every metric") {
  const auto over_maps = [](const auto& figures_of) {
    return [figures_of](const auto& model, const at::Tensor& x) {
      return figures_of(model, x, GradientAttributor(model)(x));
    };
  };
  using Tensors = std::vector<at::Tensor>;
  const auto own = [](const at::Tensor& sample, std::int64_t k) {
    return sample.mul(0.1 * static_cast<double>(k + 1));
  };
  check("deletion", network, over_maps([](const auto& m, const auto& x, const auto& a) {
          return Tensors{Deletion(m, {.steps = 6, .chunk = 4})(x, a).score};
        }));
  check("insertion", network, over_maps([](const auto& m, const auto& x, const auto& a) {
          return Tensors{Insertion(m, {.steps = 6, .chunk = 5})(x, a).score};
        }));
  check("road", network, over_maps([](const auto& m, const auto& x, const auto& a) {
          const RoadCurves curves = Road(m, {.fractions = {0.2, 0.7}, .chunk = 4})(x, a);
          return Tensors{curves.most_relevant_first, curves.least_relevant_first};
        }));
  check("confidence", network, over_maps([](const auto& m, const auto& x, const auto& a) {
          return Tensors{Confidence(m, {.chunk = 2})(x, a).drop};
        }));
  check("completeness", network, over_maps([](const auto& m, const auto& x, const auto& a) {
          return Tensors{Completeness(m)(x, a).absolute};
        }));
  check("infidelity", network, over_maps([&](const auto& m, const auto& x, const auto& a) {
          return Tensors{Infidelity(m, {.samples = 5, .perturbation = own, .chunk = 4})(x, a)};
        }));
  check("sensitivity", network, [](const auto& m, const at::Tensor& x) {
    return Tensors{
        MaxSensitivity(SmoothGrad(GradientAttributor(m), {.samples = 2}), {.samples = 3, .chunk = 4})(x)
            .mean};
  });
  check("randomization", network, [](const auto& m, const at::Tensor& x) {
    const auto random = [m](std::int64_t) { return SmoothGrad(GradientAttributor(m), {.samples = 2}); };
    return Tensors{RandomizationCheck(GradientAttributor(m), random)(x, 1).spearman};
  });
}

TEST_CASE(
    "a sample-aware model is asked for its rows only where these are regrouped, also in inference mode") {
  struct Told {
    std::vector<std::vector<std::int64_t>>* asked;
    at::Tensor operator()(const at::Tensor& x) const { return x.square().flatten(1); }
    Told for_samples(const at::Tensor& samples) const {
      CHECK((samples.scalar_type() == at::kLong));
      CHECK_FALSE(c10::InferenceMode::is_enabled());
      asked->emplace_back(samples.data_ptr<std::int64_t>(),
                          samples.data_ptr<std::int64_t>() + samples.numel());
      return *this;
    }
  };
  using Rows = std::vector<std::vector<std::int64_t>>;
  Rows asked;
  const Told model{&asked};
  const at::Tensor x = normal({3, 4});
  const c10::InferenceMode inference;
  GradientAttributor{model}(x);
  GradientAttributor{model}.predict(x);
  CHECK(asked.empty());
  SmoothGrad{GradientAttributor{model}, {.samples = 2, .chunk = 4}}(x);
  CHECK((asked == Rows{{0, 1, 2}, {0, 1, 2}}));  // as many draws as fill a chunk: one
  asked.clear();
  IntegratedGradients{model, {.steps = 2, .chunk = 4}}(x);
  CHECK((asked == Rows{{0, 1, 2, 0}, {1, 2}}));
  asked.clear();
  // A target that says which samples the rows are is composed with what regroups them.
  const FixedTarget rows{TargetSelector{}, at::Tensor(), support::tensor({7, 5, 5}, {3}).to(at::kLong)};
  IntegratedGradients{model, {.steps = 2, .chunk = 4}}(
      x, FixedTarget{rows, support::tensor({0, 1, 2}, {3}).to(at::kLong)});
  CHECK((asked == Rows{{7, 5, 5}, {7, 5, 5}, {7, 5, 5, 7}, {5, 5}}));
}
