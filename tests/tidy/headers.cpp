// For clang-tidy: every header, and its templates at work.
#include <string>
#include <vector>

#include <salience/fwd.hpp>
#include <salience/salience.hpp>

namespace sal = salience;

std::vector<sal::Attribution> of_any_model(const at::Tensor& x) {
  const auto model = [](const at::Tensor& t) { return t.mean({2, 3}); };
  const sal::FeaturesHead layered{[](const at::Tensor& t) { return t; }, model};
  const sal::LastConvolution convolutions{model};
  const sal::GradientAttributor vanilla{model};
  return {vanilla(x, sal::TargetSelector{sal::ClassName{"star", {}}, sal::Probability{}}),
          vanilla(x, sal::PerSample{{1, 2}}),
          vanilla(x, [](const at::Tensor& output) { return output.select(1, 0); }),
          sal::InputXGradient{model}(x),
          sal::SmoothGrad{vanilla}(x),
          sal::IntegratedGradients{model}(x),
          sal::IntegratedGradients{model, {}, sal::BlurPath{}}(x),
          sal::IntegratedGradients{model, {}, sal::GuidedPath{}}(x),
          sal::GradientShap{model}(x),
          sal::LayerGradientShap{layered, sal::LayerOptions{}}(x),
          sal::InternalInfluence{layered}(x),
          sal::LayerConductance{layered, {.layer = "features"}}(x),
          sal::LayerActivation{layered}(x),
          sal::LayerGradient{layered}(x),
          sal::LayerGradXActivation{convolutions}(x),
          sal::GradCam{layered}(x),
          sal::GradCamPlusPlus{layered}(x),
          sal::HiResCam{layered}(x),
          sal::XGradCam{layered}(x),
          sal::LayerCam{layered}(x),
          sal::EigenCam{convolutions}(x),
          sal::EigenGradCam{convolutions}(x),
          sal::KpcaCam{convolutions}(x)};
}

std::vector<sal::Attribution> of_a_script(const sal::ScriptModel& model, const at::Tensor& x) {
  const sal::Explanation one{model, x, sal::ArgMax{}, sal::CamOptions{}};
  return {one.vanilla(),
          one.guided_backprop(),
          one.deconvnet(),
          one.guided_grad_cam(),
          sal::GuidedBackprop{model}(x),
          sal::Deconvnet{model}(x),
          sal::GuidedGradCam{model}(x),
          sal::IntegratedGradients{model.from({"a", "b:input"}, x)}(model.until({"a", "b:input"})(x)),
          sal::LayerConductance{model, {.layer = "a"}}(x, sal::Neuron{1}),
          sal::DeepLift{model}(x),
          sal::DeepLift{model, {.rule = sal::DeepLiftRule::reveal_cancel}}(x),
          sal::FullGrad{model}(x),
          sal::AttentionRollout{model}(x),
          sal::Chefer{model}(x),
          sal::DeepLiftShap{model}(x),
          sal::Lrp{model, sal::Composite::epsilon_gamma_box()}(x),
          sal::GradientAttributor{model}(x, sal::SegmentationTarget{1}),
          sal::GradientAttributor{model}(x, sal::DetectionTarget{1})};
}

std::vector<sal::Image> pictures(const std::vector<sal::Image>& images) {
  const auto preprocess = sal::imagenet_crop_preprocessor();
  const at::Tensor batch = preprocess(images);
  std::vector<sal::Image> seen = sal::AttributionProcessor{}.images(batch);
  seen.push_back(preprocess.picture(batch[0]));
  const sal::AttributionProcessor view{{.colormap = "viridis"}};
  seen.push_back(sal::signal_plot(batch[0][0], batch[0][0], view));
#if __has_include(<stb/stb_easy_font.h>) || __has_include(<stb_easy_font.h>)
  seen.push_back(sal::volume_sheet(batch, batch, view));
  const std::vector<std::string> words{"a"};
  seen.push_back(sal::token_picture(words, std::vector<double>{1.0}));
#endif
  seen.push_back(sal::colormap("viridis")(sal::Heatmap(2, 2)));
  seen.push_back(sal::grayscale(sal::BasicHeatmap<double>(2, 2)));
  return seen;
}
