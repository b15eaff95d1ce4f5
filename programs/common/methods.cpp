#include "methods.hpp"

#include <salience/method/grad_cam.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/method/idgi.hpp>
#include <salience/method/input_x_gradient.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/model/script_model.hpp>

#include <algorithm>
#include <utility>

#include "network.hpp"

namespace sal = salience;

namespace {

/// The class that is given, else the largest logit.
struct GivenOrPredicted {
  const Classes& classes;

  at::Tensor choose(const at::Tensor& logits) const {
    const bool given = std::ranges::all_of(classes, [](const auto& index) { return index.has_value(); });
    std::vector<std::int64_t> indices;
    const at::Tensor predicted = given ? at::Tensor() : sal::ArgMax{}.choose(logits).cpu();
    for (std::size_t i = 0; i < classes.size(); ++i) {
      indices.push_back(classes[i] ? *classes[i]
                                   : predicted[static_cast<std::int64_t>(i)].item<std::int64_t>());
    }
    return sal::PerSample{indices}.choose(logits);
  }
};

template <class A>
Method with_target(A attributor, sal::OutputType type) {
  return [attributor, type](const at::Tensor& input, const Classes& classes) {
    return attributor(input, sal::TargetSelector{GivenOrPredicted{classes}, sal::Logit{}, type});
  };
}

}  // namespace

std::map<std::string, Method> methods(const sal::ScriptModel& model, const Settings& settings,
                                      const sal::Baseline& baseline, const sal::ProgressCallback& progress) {
  const auto with_target = [type = output_type(settings)](auto attributor) {
    return ::with_target(std::move(attributor), type);
  };
  const sal::GradientAttributor vanilla(model);
  const auto smooth = [&](sal::SmoothGradType type) {
    return with_target(sal::SmoothGrad(vanilla, {.samples = settings.samples,
                                                 .noise_level = settings.noise,
                                                 .type = type,
                                                 .seed = settings.seed,
                                                 .tolerance = settings.tolerance,
                                                 .chunk = settings.chunk,
                                                 .progress = progress}));
  };
  const sal::IntegratedGradientsOptions steps{
      .steps = settings.steps, .baseline = baseline, .chunk = settings.chunk, .progress = progress};
  sal::IntegratedGradientsOptions refined = steps;
  if (settings.tolerance > 0.0) {
    refined.steps.reset();
    refined.tolerance = settings.tolerance;
  }
  const sal::CamOptions cam{.layer = settings.layers.empty() ? sal::LayerNames() : settings.layers};
  return {
      {"vanilla", with_target(vanilla)},
      {"input_x_gradient", with_target(sal::InputXGradient(model))},
      {"smooth_grad", smooth(sal::SmoothGradType::smoothgrad)},
      {"smooth_grad_sq", smooth(sal::SmoothGradType::smoothgrad_sq)},
      {"var_grad", smooth(sal::SmoothGradType::vargrad)},
      {"integrated_gradients", with_target(sal::IntegratedGradients(model, refined))},
      {"guided_ig", with_target(sal::IntegratedGradients(model, steps, sal::GuidedPath{}))},
      {"blur_ig", with_target(sal::IntegratedGradients(model, refined, sal::BlurPath{}))},
      {"idgi",
       with_target(sal::Idgi(
           model,
           {.steps = settings.steps, .baseline = baseline, .chunk = settings.chunk, .progress = progress}))},
      {"guided_backprop", with_target(sal::GuidedBackprop(model))},
      {"deconvnet", with_target(sal::Deconvnet(model))},
      {"grad_cam", with_target(sal::GradCam(model, cam))},
      {"grad_cam_pp", with_target(sal::GradCamPlusPlus(model, cam))},
      {"hires_cam", with_target(sal::HiResCam(model, cam))},
      {"xgrad_cam", with_target(sal::XGradCam(model, cam))},
      {"layer_cam", with_target(sal::LayerCam(model, cam))},
      {"eigen_cam", with_target(sal::EigenCam(model, cam))},
      {"guided_grad_cam", with_target(sal::GuidedGradCam(model, cam))},
  };
}
