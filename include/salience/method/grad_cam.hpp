// GradCam, GradCamPlusPlus, HiResCam, XGradCam, LayerCam, EigenCam, EigenGradCam and KpcaCam: class
// activation maps.
#pragma once

#include <utility>

#include <salience/method/cam_weighting.hpp>
#include <salience/method/class_activation_map.hpp>

namespace salience {

/// Grad-CAM (Selvaraju et al.: "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
/// Localization", 2017): where the layer's features speak for the target, \f$ \max(0, \sum_k w_k A^k) \f$
/// with the spatial means of the gradients as weights. The same as Captum's LayerGradCam with
/// relu_attributions, interpolated linearly, bilinearly or trilinearly.
///
///     GradCam cam{model, {.layer = "features.28"}};
///     Attribution a = cam(x, ClassIndex{5});  // a.values (N,1,H,W), a.nothing_positive (N)
///
/// | input                    | layer             | map          | with `upsample = false` |
/// |--------------------------|-------------------|--------------|-------------------------|
/// | a signal (N,C,L)         | (N,K,l), Conv1d   | (N,1,L)      | (N,1,l)                 |
/// | a picture (N,C,H,W)      | (N,K,h,w), Conv2d | (N,1,H,W)    | (N,1,h,w)               |
/// | a volume (N,C,D,H,W)     | (N,K,d,h,w), Conv3d | (N,1,D,H,W) | (N,1,d,h,w)            |
/// | any of them              | a vector (N,K)    | one number in all places | (N,1)       |
///
/// `model` is a LayeredModel: a ScriptModel, FeaturesHead{features, head} or LastConvolution{model}. A map
/// with nothing above zero is zeros with `relu`, and flagged in `a.nothing_positive` either way.
/// `cam.predict(x, target)` gives what is explained, by the forward pass alone. A gradient that is zero
/// everywhere is told by LibTorch's warning handler. Several threads may call it at once if they may call the
/// model at once.
///
/// @throws ArgumentError for a layer that the model does not have or whose output is no grid of
///         the input's dimensions, and for an input or options out of range; ModelError for a layer that this
///         input does not reach or on which the score does not depend; what GradientAttributor throws.
template <class M>
class GradCam : public ClassActivationMap<M, MeanGradient> {
 public:
  /// `model` is a LayeredModel.
  explicit GradCam(M model, CamOptions options = {})
      : ClassActivationMap<M, MeanGradient>(std::move(model), std::move(options), {}) {}
};

/// Grad-CAM++ (Chattopadhyay et al.: "Grad-CAM++: Generalized Gradient-based Visual Explanations", 2018): the
/// positive gradients, weighted so that several occurrences count alike; see PlusPlus for its epsilon.
/// Otherwise as GradCam.
template <class M>
class GradCamPlusPlus : public ClassActivationMap<M, PlusPlus> {
 public:
  /// `model` is a LayeredModel.
  explicit GradCamPlusPlus(M model, CamOptions options = {}, PlusPlus weighting = {})
      : ClassActivationMap<M, PlusPlus>(std::move(model), std::move(options), weighting) {}
};

/// HiResCAM (Draelos and Carin: "Use HiResCAM instead of Grad-CAM", 2020): each place with its own gradient.
/// If only a linear layer follows, the map sums to the score less the bias. Otherwise as GradCam.
template <class M>
class HiResCam : public ClassActivationMap<M, Elementwise> {
 public:
  /// `model` is a LayeredModel.
  explicit HiResCam(M model, CamOptions options = {})
      : ClassActivationMap<M, Elementwise>(std::move(model), std::move(options), {}) {}
};

/// XGrad-CAM (Fu et al.: "Axiom-based Grad-CAM", 2020): gradients weighted by the channel's activations.
/// Otherwise as GradCam.
template <class M>
class XGradCam : public ClassActivationMap<M, NormalisedActivation> {
 public:
  /// `model` is a LayeredModel.
  explicit XGradCam(M model, CamOptions options = {})
      : ClassActivationMap<M, NormalisedActivation>(std::move(model), std::move(options), {}) {}
};

/// LayerCAM (Jiang et al.: "LayerCAM: Exploring Hierarchical Class Activation Maps", 2021): each place with
/// its own positive gradient; fit for early layers. Otherwise as GradCam.
template <class M>
class LayerCam : public ClassActivationMap<M, PositiveGradient> {
 public:
  /// `model` is a LayeredModel.
  explicit LayerCam(M model, CamOptions options = {})
      : ClassActivationMap<M, PositiveGradient>(std::move(model), std::move(options), {}) {}
};

/// Eigen-CAM (Muhammad and Yeasin: "Eigen-CAM: Class Activation Map using Principal Components", 2020): what
/// the layer sees most of, for no class in particular; one forward pass and no backward pass. See
/// FirstComponent for its option. Otherwise as GradCam.
template <class M>
class EigenCam : public ClassActivationMap<M, FirstComponent> {
 public:
  /// `model` is a LayeredModel.
  explicit EigenCam(M model, CamOptions options = {}, FirstComponent weighting = {})
      : ClassActivationMap<M, FirstComponent>(std::move(model), std::move(options), weighting) {}
};

/// EigenGradCAM: the first principal component of activations times gradients, so for the target; see
/// FirstGradientComponent. Otherwise as GradCam.
template <class M>
class EigenGradCam : public ClassActivationMap<M, FirstGradientComponent> {
 public:
  /// `model` is a LayeredModel.
  explicit EigenGradCam(M model, CamOptions options = {})
      : ClassActivationMap<M, FirstGradientComponent>(std::move(model), std::move(options), {}) {}
};

/// KPCA-CAM: the first component of a kernel PCA of the layer's activations, for no class in particular; see
/// FirstKernelComponent for its option. Otherwise as GradCam.
template <class M>
class KpcaCam : public ClassActivationMap<M, FirstKernelComponent> {
 public:
  /// `model` is a LayeredModel.
  explicit KpcaCam(M model, CamOptions options = {}, FirstKernelComponent weighting = {})
      : ClassActivationMap<M, FirstKernelComponent>(std::move(model), std::move(options), weighting) {}
};

}  // namespace salience
