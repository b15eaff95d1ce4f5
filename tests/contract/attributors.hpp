// The list of the library's attributors, for the tests of the promises.
//
// attributors() has the registry's methods, and those that it does not name. check_list.py fails if the
// library has an attributor that is in neither.
#pragma once

#include <salience/method/class_activation_map.hpp>
#include <salience/method/deep_lift.hpp>
#include <salience/method/explanation.hpp>
#include <salience/method/feature_ablation.hpp>
#include <salience/method/gradient_shap.hpp>
#include <salience/method/internal_influence.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/layer_conductance.hpp>
#include <salience/method/lrp.hpp>
#include <salience/method/occlusion.hpp>
#include <salience/method/registry.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace contract {

using namespace salience;

/// An attributor of the library, made for a model. `chunk` is 0 where the method is to choose.
struct Listed {
  std::string name;
  std::function<AnyAttributor(const AnyModel&, std::int64_t chunk)> make;
  bool needs_graph = false;  ///< see MethodEntry
};

inline std::vector<Listed> attributors() {
  std::vector<Listed> all;
  for (const MethodEntry& entry : methods()) {
    MethodOptions options{.samples = 4, .steps = 5, .segments = FeatureMask::grid({2})};
    const auto make = [&entry](MethodOptions with) {
      return [&entry, with](const AnyModel& model, std::int64_t chunk) mutable {
        with.chunk = chunk;
        return entry.make(model, with);
      };
    };
    all.push_back({std::string(entry.name), make(options), entry.needs_graph});
    if (!entry.takes("tolerance")) continue;
    options.tolerance = 0.3;
    options.samples = 12;
    all.push_back({std::string(entry.name) + " to a tolerance", make(options)});
  }
  const auto add = [&all](std::string name, const auto& make, bool needs_graph = false) {
    all.push_back(
        {std::move(name),
         [make](const AnyModel& model, std::int64_t chunk) { return AnyAttributor(make(model, chunk)); },
         needs_graph});
  };
  // What the registry does not name.
  add("LayerActivation", [](const AnyModel& m, std::int64_t) { return LayerActivation(m); });
  add("LayerGradient", [](const AnyModel& m, std::int64_t) { return LayerGradient(m); });
  add("LayerGradXActivation", [](const AnyModel& m, std::int64_t) { return LayerGradXActivation(m); });
  add("InternalInfluence", [](const AnyModel& m, std::int64_t chunk) {
    return InternalInfluence(m, {.steps = 4, .chunk = chunk});
  });
  add("LayerConductance", [](const AnyModel& m, std::int64_t chunk) {
    return LayerConductance(m, {.layer = "features", .steps = 4, .chunk = chunk});
  });
  add("GradientShap with noise", [](const AnyModel& m, std::int64_t chunk) {
    return GradientShap(m, {.samples = 4, .noise = 0.1, .chunk = chunk});
  });
  const auto baselines =
      Baseline::mean_of({Baseline::zero(), Baseline::constant(0.3), Baseline::constant(-1.0)});
  add(
      "DeepLiftShap of several baselines",
      [baselines](const AnyModel& m, std::int64_t chunk) {
        return DeepLiftShap(m, {.baseline = baselines, .chunk = chunk});
      },
      true);
  add(
      "DeepLiftShap of random baselines",
      [baselines](const AnyModel& m, std::int64_t chunk) {
        return DeepLiftShap(m, {.samples = 4, .baseline = baselines, .seed = 3, .chunk = chunk});
      },
      true);
  add(
      "Lrp with every rule",
      [](const AnyModel& m, std::int64_t) {
        return Lrp(
            m, {{{.first = true, .rule = lrp::WSquare{}}, {.kind = LinearKind::linear, .rule = lrp::Flat{}}},
                lrp::Gamma{}});
      },
      true);
  add("Occlusion", [](const AnyModel& m, std::int64_t chunk) {
    return Occlusion(m, {.window = {4, 4}, .stride = {3, 3}, .chunk = chunk});
  });
  add("FeatureAblation", [](const AnyModel& m, std::int64_t chunk) {
    return FeatureAblation(m, {.baseline = Baseline::constant(0.2), .chunk = chunk});
  });
  add("LayerGradientShap", [](const AnyModel& m, std::int64_t chunk) {
    return LayerGradientShap(m, {}, {.samples = 4, .noise = 0.1, .chunk = chunk});
  });
  add("ClassActivationMap",
      [](const AnyModel& m, std::int64_t) { return ClassActivationMap(m, {.relu = false}, MeanGradient{}); });
  add("GradientAttributor by a rule", [](const AnyModel& m, std::int64_t) {
    return GradientAttributor(
        m, [](const at::Tensor& plain, const at::Tensor& incoming) { return plain.mul(incoming.gt(0.0)); });
  });
  add("AnyAttributor", [](const AnyModel& m, std::int64_t) { return AnyAttributor(InputXGradient(m)); });
  add("SmoothGrad of SmoothGrad", [](const AnyModel& m, std::int64_t chunk) {
    return SmoothGrad(SmoothGrad(InputXGradient(m), {.samples = 2, .chunk = chunk}),
                      {.samples = 3, .chunk = chunk});
  });
  add("SmoothGrad of GuidedGradCam", [](const AnyModel& m, std::int64_t chunk) {
    return SmoothGrad(GuidedGradCam(m), {.samples = 3, .chunk = chunk});
  });
  add("Explanation", [](const AnyModel& m, std::int64_t) {
    return [m](const at::Tensor& x, const auto& target) {
      const Explanation explanation(m, x, target, CamOptions{});
      Attribution a = explanation.guided_grad_cam();
      const c10::InferenceMode normal_tensors(false);  // the sum is the test's own
      a.values = a.values.add(explanation.vanilla().values)
                     .add(explanation.input_x_gradient().values)
                     .add(explanation.guided_backprop().values)
                     .add(explanation.deconvnet().values)
                     .add(explanation.grad_cam().values)
                     .add(explanation.cam(PositiveGradient{}).values)
                     .add(explanation.gradient().values);
      return a;
    };
  });
  return all;
}

/// `check` for each, and its name in what doctest says; of a model that shows no graph for those that need
/// none.
inline void for_each_attributor(const std::function<void(const Listed&)>& check, bool with_graph = false) {
  for (const Listed& listed : attributors()) {
    if (listed.needs_graph && !with_graph) continue;
    CAPTURE(listed.name);
    check(listed);
  }
}

/// Everything that an attribution holds.
inline std::vector<at::Tensor> all_of(const Attribution& a) {
  std::vector<at::Tensor> all{a.values, a.target, a.score, a.logits};
  if (a.values_error.defined()) all.push_back(a.values_error);
  for (const Figure& figure : figures(a)) all.push_back(figure.values);
  return all;
}

/// The same bits; NaN is equal to NaN.
inline bool equal(const Attribution& a, const Attribution& b) {
  const std::vector<at::Tensor> left = all_of(a), right = all_of(b);
  bool all = left.size() == right.size();
  for (std::size_t i = 0; all && i < left.size(); ++i) {
    all = left[i].scalar_type() == right[i].scalar_type() && left[i].sizes() == right[i].sizes() &&
          left[i].to(at::kDouble).nan_to_num(-7.0).equal(right[i].to(at::kDouble).nan_to_num(-7.0));
  }
  return all;
}

}  // namespace contract
