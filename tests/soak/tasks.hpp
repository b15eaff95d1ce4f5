// What the soak calls: every kind of method on a model, calls that throw or stop, and views.
#pragma once

#include <salience/method/explanation.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/method/input_x_gradient.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>
#include <salience/view/attribution_processor.hpp>

#include <ATen/ops/conv2d.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "soak.hpp"

namespace soak {

using namespace salience;

inline std::string bytes(const at::Tensor& tensor) {
  if (!tensor.defined()) return "";
  const at::Tensor dense = tensor.detach().contiguous();
  return {static_cast<const char*>(dense.data_ptr()), dense.nbytes()};
}

inline std::string bytes(const Attribution& a) {
  std::string all = a.stopped ? "stopped" : "whole";
  for (const at::Tensor& tensor : {a.values, a.target, a.score, a.logits}) all += bytes(tensor);
  for (const Figure& figure : figures(a)) all.append(figure.name) += bytes(figure.values);
  return all;
}

inline std::string bytes(const Image& image) { return {image.pixels().begin(), image.pixels().end()}; }

/// One attributor and one target, which all threads share.
template <class A, class T = TargetSelector<>>
Task task(std::string name, A attributor, at::Tensor input, T target = T{}) {
  return {std::move(name), [attributor = std::move(attributor), input = std::move(input),
                            target = std::move(target)] { return bytes(attributor(input, target)); }};
}

/// The methods that any model has, and calls that end before their time.
template <class M>
void add_methods(std::vector<Task>& tasks, const std::string& model_name, const M& model,
                 const at::Tensor& x) {
  const auto add = [&](const char* method, auto attributor, auto target) {
    tasks.push_back(task(model_name + ", " + method, std::move(attributor), x, std::move(target)));
  };
  const auto stop = [](const Progress& progress) { return progress.done < 2; };
  const auto throws = [](const Progress&) -> bool { throw std::runtime_error("from the progress callback"); };
  const auto bad_rule = [](const at::Tensor&, const at::Tensor&) -> at::Tensor {
    throw std::domain_error("from the rule, inside of the backward pass");
  };
  const GradientAttributor vanilla(model);
  const TargetSelector predicted;

  add("vanilla", vanilla, predicted);
  add("vanilla of a probability", vanilla, TargetSelector{ClassIndex{1}, Probability{}});
  add("Input x Gradient", InputXGradient(model), predicted);
  add("guided", GuidedBackprop(model), predicted);
  add("SmoothGrad", SmoothGrad(vanilla, {.samples = 3, .seed = 5}), predicted);
  add("VarGrad, guided, chunk 1",
      SmoothGrad(GuidedBackprop(model), {.samples = 3, .type = SmoothGradType::vargrad, .chunk = 1}),
      predicted);
  add("Integrated Gradients", IntegratedGradients(model, {.steps = 4}), predicted);
  add("Integrated Gradients to a tolerance",
      IntegratedGradients(model, {.tolerance = 0.05, .max_evaluations = 12}), predicted);
  add("Guided IG", IntegratedGradients(model, {.steps = 3}, GuidedPath{}), predicted);

  add("Integrated Gradients, stopped", IntegratedGradients(model, {.steps = 9, .chunk = 1, .progress = stop}),
      predicted);
  add("SmoothGrad, stopped", SmoothGrad(vanilla, {.samples = 9, .chunk = 1, .progress = stop}), predicted);
  add("no such class", vanilla, ClassIndex{99});
  add("a progress callback that throws", SmoothGrad(vanilla, {.samples = 9, .progress = throws}), predicted);
  add("a rule that throws", GradientAttributor(model, bad_rule), predicted);
}

/// The methods that look at the layer, the last convolution by default.
template <LayeredModel M>
void add_layer_methods(std::vector<Task>& tasks, const std::string& model_name, const M& model,
                       const at::Tensor& x, const CamOptions& options = {}) {
  const auto add = [&](const char* method, auto attributor) {
    tasks.push_back(task(model_name + ", " + method, std::move(attributor), x));
  };
  add("Grad-CAM", GradCam(model, options));
  add("Guided Grad-CAM", GuidedGradCam(model, options));
  add("LayerCAM", LayerCam(model, options));
  add("Eigen-CAM", EigenCam(model, options));
  add("KPCA-CAM", KpcaCam(model, options));
  tasks.push_back({model_name + ", an Explanation", [model, x, options] {
                     const Explanation explanation(model, x, TargetSelector{}, options);
                     return bytes(explanation.guided_grad_cam()) + bytes(explanation.gradient());
                   }});
  CamOptions unknown = options;
  unknown.layer = "no such layer";
  add("no such layer", GradCam(model, unknown));
}

/// Pictures of a float32 map (N, C, H, W).
inline void add_views(std::vector<Task>& tasks, const at::Tensor& map) {
  for (const char* colormap : {"viridis", "coolwarm", "jet_r", "twilight", ""}) {
    const AttributionProcessor view{{.activation = Activation::abs,
                                     .percentile = 99,
                                     .skew = 0.5,
                                     .grayscale = !*colormap,
                                     .colormap = colormap}};
    tasks.push_back({std::string("a view: ") + colormap, [view, map] { return bytes(view(map)); }});
  }
}

/// Two convolutions with ReLUs, and a linear head: the parts of a callable model.
struct Features {
  at::Tensor first = support::normal({4, 3, 3, 3}, at::kFloat, 1).mul(0.2);
  at::Tensor second = support::normal({8, 4, 3, 3}, at::kFloat, 2).mul(0.2);
  at::Tensor operator()(const at::Tensor& x) const {
    return at::conv2d(at::conv2d(x, first, {}, 1, 1).relu(), second, {}, 2, 1).relu_();
  }
};
struct Head {
  at::Tensor weight = support::normal({8, 5}, at::kFloat, 3);
  at::Tensor operator()(const at::Tensor& features) const { return features.mean({2, 3}).matmul(weight); }
};

/// Callable and layered models that need no TorchScript.
inline void add_callables(std::vector<Task>& tasks) {
  const auto lambda = [features = Features(), head = Head()](const at::Tensor& x) {
    return head(features(x));
  };
  const auto failing = [features = Features()](const at::Tensor& x) -> at::Tensor {
    features(x);
    throw std::domain_error("from inside the model");
  };
  const at::Tensor small = support::normal({1, 3, 17, 23}, at::kFloat, 4);
  const at::Tensor batch = support::normal({3, 3, 32, 32}, at::kFloat, 5);
  add_methods(tasks, "a lambda, 17x23", lambda, small);
  add_methods(tasks, "a lambda, three of 32x32", lambda, batch);
  add_layer_methods(tasks, "features and head, 17x23", FeaturesHead(Features(), Head()), small);
  add_layer_methods(tasks, "a lambda's last convolution, three of 32x32", LastConvolution(lambda), batch);
  tasks.push_back(task("a model that throws", GradientAttributor(failing), small));
  tasks.push_back(task("a model that throws, layers", GradCam(LastConvolution(failing)), small));
  add_views(tasks, support::normal({1, 3, 24, 40}, at::kFloat, 6));
}

}  // namespace soak
