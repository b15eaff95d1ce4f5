// GuidedGradCam: guided backpropagation times Grad-CAM.
#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/explanation.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

/// Guided Grad-CAM (Selvaraju et al. 2017): guided backpropagation times the upsampled Grad-CAM, in
/// the shape of the input: a signal (N, C, L), a picture (N, C, H, W) or a volume (N, C, D, H, W). One
/// forward pass, and two backward passes over its graph.
///
///     GuidedGradCam method{model, {.layer = "features.28"}};
///     Attribution a = method(x, ClassIndex{5});
///
/// The region depends on the class; the fine structures are the guided gradient's and hardly do (Adebayo et
/// al. 2018). `nothing_positive` tells where Grad-CAM has nothing above zero, and the values are zero.
/// Captum's GuidedGradCam is this with interpolate_mode = "linear", "bilinear" or "trilinear"; its default is
/// "nearest". Model, options and errors are those of GradCam, and those of GuidedBackprop for the rectifiers;
/// the map must be upsampled.
template <class M>
class GuidedGradCam {
 public:
  /// `model` is a LayeredModel. Throws ArgumentError if the map is not to be upsampled.
  explicit GuidedGradCam(M model, CamOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_layered_model<M>();
    detail::require_upsampling(options_);
  }

  /// The product for each sample of `input`, in its shape.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      return Explanation(model_, input, wanted, options_).guided_grad_cam();
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target, detail::no_layers).explained();
  }

 private:
  M model_;
  CamOptions options_;
};

}  // namespace salience
