// The registry: every method that gives a map of the input, by its name.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <salience/error.hpp>
#include <salience/method/ablation_cam.hpp>
#include <salience/method/any_attributor.hpp>
#include <salience/method/attention_rollout.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/chefer.hpp>
#include <salience/method/deep_lift.hpp>
#include <salience/method/extremal_perturbation.hpp>
#include <salience/method/feature_ablation.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/full_grad.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/gradient_shap.hpp>
#include <salience/method/gradient_shap_options.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/guided_grad_cam.hpp>
#include <salience/method/hsic.hpp>
#include <salience/method/idgi.hpp>
#include <salience/method/input_x_gradient.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/integrated_gradients_options.hpp>
#include <salience/method/kernel_shap.hpp>
#include <salience/method/lime.hpp>
#include <salience/method/lrp.hpp>
#include <salience/method/occlusion.hpp>
#include <salience/method/path.hpp>
#include <salience/method/rise.hpp>
#include <salience/method/score_cam.hpp>
#include <salience/method/shapley_exact.hpp>
#include <salience/method/shapley_sampling.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/method/sobol.hpp>
#include <salience/method/xrai.hpp>
#include <salience/model/any_model.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/tensor/composite.hpp>

namespace salience {

/// What the methods of the registry can be told. Each heeds what MethodEntry::options names of it; the
/// defaults and ranges are those of its own options.
struct MethodOptions {
  std::optional<std::int64_t> samples{};  ///< draws, at most; by default the class's own, of gradient_shap 50
  double noise = 0.15;                    ///< of noisy copies, as a fraction of the input's range
  std::uint64_t seed = 0;                 ///< of the draws
  std::optional<std::int64_t>
      steps{};  ///< gradients along a path or of an ascent; by default the class's own
  Baseline baseline = Baseline::zero();  ///< where the path begins, or what replaces a part of the input
  /// The features of methods that take some away; by default a grid of 7 cells along each place, of 3 for
  /// shapley_exact.
  std::optional<FeatureMask> segments{};
  std::vector<std::int64_t> window{};  ///< see OcclusionOptions
  std::vector<std::int64_t> stride{};  ///< see OcclusionOptions
  double tolerance = 0.0;              ///< above 0: as many `steps`, or as few `samples`, as it takes
  at::Tensor low{};        ///< black, as the network gets it, which broadcasts to the input; see lrp::ZBox
  at::Tensor high{};       ///< white
  LayerNames layer{};      ///< which class activation maps look at; the last convolution
  std::int64_t chunk = 0;  ///< evaluations at once; 0: chosen by memory
  ProgressCallback progress{};  ///< told by methods of many evaluations, after each
};

/// A method of the registry.
struct MethodEntry {
  std::string_view name;       ///< on the command line: "grad_cam"
  std::string_view title;      ///< in a text: "Grad-CAM"
  std::string_view summary;    ///< what it gives, in half a sentence
  std::string_view reference;  ///< the paper: authors and year
  std::string_view options;    ///< the members of MethodOptions that it heeds, parted by spaces
  // Its row in docs/methods/README.md, in Markdown.
  std::string_view page;                 ///< the name of its page there
  std::string_view class_name;           ///< the class in the library
  std::string_view is_signed;            ///< whether values have a sign
  std::string_view tells_classes_apart;  ///< whether the map changes with the class
  std::string_view complete;             ///< whether the values sum to the score's difference
  std::string_view cost;                 ///< in forward passes; n is the number of `samples` or `steps`
  /// Whether it rewrites the graph of the model, which must be a GraphModel. It then makes its own graphs
  /// when `make` is called, and refuses operators that it has no rule for.
  bool needs_graph = false;
  /// Whether it runs what stands behind a layer, so that the model must be a CuttableModel, as a GraphModel.
  bool cuts = false;
  /// The method of a model. What is wrong with an option is thrown here, as the method's class says.
  AnyAttributor (*make)(const AnyModel& model, const MethodOptions& options);

  /// Does it heed this member of MethodOptions?
  constexpr bool takes(std::string_view option) const {
    for (std::string_view rest = options; !rest.empty();) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      if (rest.substr(0, end) == option) return true;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return false;
  }
};

namespace detail {

template <SmoothGradType type>
AnyAttributor smoothed(const AnyModel& model, const MethodOptions& options) {
  return AnyAttributor(
      SmoothGrad(GradientAttributor(model), {.samples = options.samples.value_or(SmoothGradOptions{}.samples),
                                             .noise_level = options.noise,
                                             .type = type,
                                             .seed = options.seed,
                                             .tolerance = options.tolerance,
                                             .chunk = options.chunk,
                                             .progress = options.progress}));
}

/// A path of `steps`, whatever the tolerance.
inline IntegratedGradientsOptions path_of_steps(const MethodOptions& options) {
  return {.steps = options.steps,
          .baseline = options.baseline,
          .chunk = options.chunk,
          .progress = options.progress};
}

inline IntegratedGradientsOptions refined_path(const MethodOptions& options) {
  IntegratedGradientsOptions path = path_of_steps(options);
  if (options.tolerance > 0.0) {
    path.steps.reset();
    path.tolerance = options.tolerance;
  }
  return path;
}

/// A method of features.
template <template <class> class Method, class Options, std::int64_t cells = 7>
AnyAttributor of_features(const AnyModel& model, const MethodOptions& options) {
  Options own{.mask = options.segments ? *options.segments : FeatureMask::grid({cells})};
  own.baseline = options.baseline;
  own.chunk = options.chunk;
  own.progress = options.progress;
  if constexpr (requires { own.seed; }) {
    own.samples = options.samples.value_or(own.samples);
    own.seed = options.seed;
    own.tolerance = options.tolerance;
  }
  return AnyAttributor(Method(model, own));
}

/// A method of designs over a grid of cells.
template <template <class> class Method, class Options>
AnyAttributor of_designs(const AnyModel& model, const MethodOptions& options) {
  Options own{.baseline = options.baseline,
              .seed = options.seed,
              .chunk = options.chunk,
              .progress = options.progress};
  own.designs = options.samples.value_or(own.designs);
  return AnyAttributor(Method(model, own));
}

template <Composite (*composite)()>
AnyAttributor relevance(const AnyModel& model, const MethodOptions&) {
  return AnyAttributor(Lrp(model, composite()));
}

}  // namespace detail

/// Every method of the library that gives a map of the input (layer_attribution.hpp has those that give a
/// layer's), in the order in which a reader meets them. The programs, the table of docs/methods/README.md and
/// the contract test are made from it: a new method has its entry here.
///
///     for (const MethodEntry& method : methods()) {
///       Attribution a = method.make(AnyModel{model}, {.steps = 20})(x);
///     }
///
/// A template, so that only a program that asks for the methods compiles them all.
template <class = void>
std::span<const MethodEntry> methods() {
  // clang-format off
  static constexpr auto entries = std::to_array<MethodEntry>({
      {.name = "vanilla", .title = "vanilla gradient",
       .summary = "the gradient of the score at the input",
       .reference = "Simonyan, Vedaldi, Zisserman 2014", .options = "",
       .page = "vanilla_gradient", .class_name = "`GradientAttributor`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "no", .cost = "2",
       .make = [](const AnyModel& model, const MethodOptions&) { return AnyAttributor(GradientAttributor(model)); }},
      {.name = "input_x_gradient", .title = "input x gradient",
       .summary = "each element's first-order share in the score",
       .reference = "Shrikumar et al. 2016", .options = "",
       .page = "input_x_gradient", .class_name = "`InputXGradient`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "ReLU networks without biases", .cost = "2",
       .make = [](const AnyModel& model, const MethodOptions&) { return AnyAttributor(InputXGradient(model)); }},
      {.name = "smooth_grad", .title = "SmoothGrad",
       .summary = "the mean gradient over noisy copies of the input",
       .reference = "Smilkov et al. 2017", .options = "samples noise tolerance seed chunk",
       .page = "smooth_grad", .class_name = "`SmoothGrad`",
       .is_signed = "yes", .tells_classes_apart = "as what it wraps", .complete = "no", .cost = "1 + 2n",
       .make = &detail::smoothed<SmoothGradType::smoothgrad>},
      {.name = "smooth_grad_sq", .title = "SmoothGrad squared",
       .summary = "the mean squared gradient over noisy copies",
       .reference = "Hooker et al. 2019", .options = "samples noise tolerance seed chunk",
       .page = "smooth_grad", .class_name = "`SmoothGrad`, `.type`",
       .is_signed = "no", .tells_classes_apart = "as what it wraps", .complete = "no", .cost = "1 + 2n",
       .make = &detail::smoothed<SmoothGradType::smoothgrad_sq>},
      {.name = "var_grad", .title = "VarGrad",
       .summary = "the variance of the gradient over noisy copies",
       .reference = "Adebayo et al. 2018", .options = "samples noise tolerance seed chunk",
       .page = "smooth_grad", .class_name = "`SmoothGrad`, `.type`",
       .is_signed = "no", .tells_classes_apart = "as what it wraps", .complete = "no", .cost = "1 + 2n",
       .make = &detail::smoothed<SmoothGradType::vargrad>},
      {.name = "integrated_gradients", .title = "Integrated Gradients",
       .summary = "the gradient along a straight path from a baseline; the values sum to the score's difference",
       .reference = "Sundararajan, Taly, Yan 2017", .options = "steps baseline tolerance chunk",
       .page = "integrated_gradients", .class_name = "`IntegratedGradients`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "yes", .cost = "2 + 2n",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(IntegratedGradients(model, detail::refined_path(options)));
       }},
      {.name = "idgi", .title = "IDGI",
       .summary = "each step's change of the score, shared out by the squared gradients",
       .reference = "Yang, Wang, Bilgic 2023", .options = "steps baseline chunk",
       .page = "idgi", .class_name = "`Idgi`",
       .is_signed = "by step", .tells_classes_apart = "yes", .complete = "yes", .cost = "2 + 2n",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(Idgi(model, {.steps = options.steps.value_or(IdgiOptions{}.steps),
                                           .baseline = options.baseline,
                                           .chunk = options.chunk,
                                           .progress = options.progress}));
       }},
      {.name = "guided_ig", .title = "Guided IG",
       .summary = "along a path that goes on where the gradient is smallest",
       .reference = "Kapishnikov et al. 2021", .options = "steps baseline chunk",
       .page = "guided_ig", .class_name = "`IntegratedGradients`, `GuidedPath`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "off by up to half", .cost = "2 + 2n, one after the other",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(IntegratedGradients(model, detail::path_of_steps(options), GuidedPath{}));
       }},
      {.name = "blur_ig", .title = "Blur IG",
       .summary = "along a path from the blurred input, by less and less blur",
       .reference = "Xu, Venugopalan, Sundararajan 2020", .options = "steps tolerance chunk",
       .page = "blur_ig", .class_name = "`IntegratedGradients`, `BlurPath`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "yes, from the blurred input", .cost = "2 + 2n",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         IntegratedGradientsOptions path = detail::refined_path(options);
         path.baseline.reset();  // the blurred input is where it begins
         return AnyAttributor(IntegratedGradients(model, path, BlurPath{}));
       }},
      {.name = "gradient_shap", .title = "Gradient SHAP",
       .summary = "gradients at random places between baselines and the input",
       .reference = "Lundberg, Lee 2017", .options = "samples baseline seed chunk",
       .page = "gradient_shap", .class_name = "`GradientShap`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "on average", .cost = "1 + 2n",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(GradientShap(model, {.samples = options.samples.value_or(50),
                                                   .baseline = options.baseline,
                                                   .seed = options.seed,
                                                   .chunk = options.chunk,
                                                   .progress = options.progress}));
       }},
      {.name = "deep_lift", .title = "DeepLIFT",
       .summary = "the score's change from a baseline, shared out by multipliers, on any graph",
       .reference = "Shrikumar, Greenside, Kundaje 2017", .options = "baseline",
       .page = "deep_lift", .class_name = "`DeepLift`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "yes", .cost = "3 to 4", .needs_graph = true,
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(DeepLift(model, {.baseline = options.baseline}));
       }},
      {.name = "deep_lift_reveal_cancel", .title = "DeepLIFT, RevealCancel",
       .summary = "the same, what rises and what falls in an activation by multipliers of their own",
       .reference = "Shrikumar et al. 2017", .options = "baseline",
       .page = "deep_lift", .class_name = "`DeepLift`, `.rule`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "yes", .cost = "10", .needs_graph = true,
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(
             DeepLift(model, {.baseline = options.baseline, .rule = DeepLiftRule::reveal_cancel}));
       }},
      {.name = "deep_lift_shap", .title = "DeepSHAP",
       .summary = "the mean of DeepLIFT over several baselines",
       .reference = "Lundberg, Lee 2017", .options = "baseline chunk",
       .page = "deep_lift", .class_name = "`DeepLiftShap`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "yes", .cost = "1 + 4 a baseline", .needs_graph = true,
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(DeepLiftShap(model, {.baseline = options.baseline,
                                                   .chunk = options.chunk,
                                                   .progress = options.progress}));
       }},
      {.name = "lrp_epsilon_plus", .title = "LRP, epsilon and z-plus",
       .summary = "relevance: convolutions share it over what speaks for them, linear layers over all",
       .reference = "Bach et al. 2015", .options = "",
       .page = "lrp", .class_name = "`Lrp`, `Composite::epsilon_plus`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "up to biases", .cost = "3 to 4", .needs_graph = true,
       .make = &detail::relevance<&Composite::epsilon_plus>},
      {.name = "lrp_epsilon_plus_flat", .title = "LRP, epsilon and z-plus, flat",
       .summary = "the same, and the first operator shares alike",
       .reference = "Bach et al. 2015", .options = "",
       .page = "lrp", .class_name = "`Lrp`, `Composite::epsilon_plus_flat`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "up to biases", .cost = "3 to 4", .needs_graph = true,
       .make = &detail::relevance<&Composite::epsilon_plus_flat>},
      {.name = "lrp_epsilon_alpha2_beta1", .title = "LRP, epsilon and alpha-beta",
       .summary = "relevance for and against: twice what speaks for a convolution, less what speaks against",
       .reference = "Bach et al. 2015", .options = "",
       .page = "lrp", .class_name = "`Lrp`, `Composite::epsilon_alpha2_beta1`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "up to biases", .cost = "5 to 7", .needs_graph = true,
       .make = &detail::relevance<&Composite::epsilon_alpha2_beta1>},
      {.name = "lrp_epsilon_alpha2_beta1_flat", .title = "LRP, epsilon and alpha-beta, flat",
       .summary = "the same, and the first operator shares alike",
       .reference = "Bach et al. 2015", .options = "",
       .page = "lrp", .class_name = "`Lrp`, `Composite::epsilon_alpha2_beta1_flat`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "up to biases", .cost = "5 to 7", .needs_graph = true,
       .make = &detail::relevance<&Composite::epsilon_alpha2_beta1_flat>},
      {.name = "lrp_epsilon_gamma_box", .title = "LRP, epsilon and gamma, z-box",
       .summary = "convolutions favour what speaks for them, pixels share between black and white",
       .reference = "Montavon et al. 2019", .options = "low high",
       .page = "lrp", .class_name = "`Lrp`, `Composite::epsilon_gamma_box`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "up to biases", .cost = "5 to 9", .needs_graph = true,
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(Lrp(model, Composite::epsilon_gamma_box(options.low, options.high)));
       }},
      {.name = "excitation_backprop", .title = "excitation backpropagation",
       .summary = "the score handed down to what excites, by positive weights alone",
       .reference = "Zhang et al. 2016", .options = "",
       .page = "lrp", .class_name = "`Lrp`, `Composite::excitation_backprop`",
       .is_signed = "yes", .tells_classes_apart = "hardly", .complete = "up to what nothing excites", .cost = "3 to 4", .needs_graph = true,
       .make = &detail::relevance<&Composite::excitation_backprop>},
      {.name = "attn_lrp", .title = "AttnLRP",
       .summary = "relevance through transformers: products halve it, softmax hands on its first-order terms",
       .reference = "Achtibat et al. 2024", .options = "",
       .page = "lrp", .class_name = "`Lrp`, `Composite::attn_lrp`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "up to biases", .cost = "3 to 4", .needs_graph = true,
       .make = &detail::relevance<&Composite::attn_lrp>},
      {.name = "cp_lrp", .title = "CP-LRP",
       .summary = "relevance through transformers, with the attention held fixed",
       .reference = "Ali et al. 2022", .options = "",
       .page = "lrp", .class_name = "`Lrp`, `Composite::cp_lrp`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "up to biases", .cost = "3 to 4", .needs_graph = true,
       .make = &detail::relevance<&Composite::cp_lrp>},
      {.name = "full_grad", .title = "FullGrad",
       .summary = "what the input and every bias contribute to the score, where they stand",
       .reference = "Srinivas, Fleuret 2019", .options = "",
       .page = "full_grad", .class_name = "`FullGrad`",
       .is_signed = "no", .tells_classes_apart = "yes", .complete = "in its figures", .cost = "2 to 3", .needs_graph = true,
       .make = [](const AnyModel& model, const MethodOptions&) { return AnyAttributor(FullGrad(model)); }},
      {.name = "attention_rollout", .title = "attention rollout",
       .summary = "which patches the class token is mixed from, through all layers of a vision transformer",
       .reference = "Abnar, Zuidema 2020", .options = "",
       .page = "attention", .class_name = "`AttentionRollout`",
       .is_signed = "no", .tells_classes_apart = "no", .complete = "no", .cost = "1", .needs_graph = true,
       .make = [](const AnyModel& model, const MethodOptions&) { return AnyAttributor(AttentionRollout(model)); }},
      {.name = "chefer", .title = "Chefer's relevance",
       .summary = "the same by attention that speaks for the class: weights times their positive gradient",
       .reference = "Chefer, Gur, Wolf 2021", .options = "",
       .page = "attention", .class_name = "`Chefer`",
       .is_signed = "no", .tells_classes_apart = "yes", .complete = "no", .cost = "2", .needs_graph = true,
       .make = [](const AnyModel& model, const MethodOptions&) { return AnyAttributor(Chefer(model)); }},
      {.name = "guided_backprop", .title = "guided backpropagation",
       .summary = "the gradient, where rectifiers pass back only its positive part",
       .reference = "Springenberg et al. 2014", .options = "",
       .page = "guided_backprop", .class_name = "`GuidedBackprop`",
       .is_signed = "yes", .tells_classes_apart = "hardly", .complete = "no", .cost = "2",
       .make = [](const AnyModel& model, const MethodOptions&) { return AnyAttributor(GuidedBackprop(model)); }},
      {.name = "deconvnet", .title = "deconvnet",
       .summary = "the same, whatever the rectifiers let through on the way forward",
       .reference = "Zeiler, Fergus 2014", .options = "",
       .page = "deconvnet", .class_name = "`Deconvnet`",
       .is_signed = "yes", .tells_classes_apart = "hardly", .complete = "no", .cost = "2",
       .make = [](const AnyModel& model, const MethodOptions&) { return AnyAttributor(Deconvnet(model)); }},
      {.name = "grad_cam", .title = "Grad-CAM",
       .summary = "the region of a layer that speaks for the class, channels weighted by their mean gradient",
       .reference = "Selvaraju et al. 2017", .options = "layer",
       .page = "grad_cam", .class_name = "`GradCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "yes", .complete = "no", .cost = "1 to 2",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(GradCam(model, {.layer = options.layer}));
       }},
      {.name = "grad_cam_pp", .title = "Grad-CAM++",
       .summary = "the same, with weights from the gradient's positive part",
       .reference = "Chattopadhyay et al. 2018", .options = "layer",
       .page = "other_class_activation_maps", .class_name = "`GradCamPlusPlus`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "yes", .complete = "no", .cost = "1 to 2",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(GradCamPlusPlus(model, {.layer = options.layer}));
       }},
      {.name = "hires_cam", .title = "HiResCAM",
       .summary = "a layer's activations times gradients, place by place",
       .reference = "Draelos, Carin 2020", .options = "layer",
       .page = "other_class_activation_maps", .class_name = "`HiResCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "yes", .complete = "before a linear head", .cost = "1 to 2",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(HiResCam(model, {.layer = options.layer}));
       }},
      {.name = "xgrad_cam", .title = "XGrad-CAM",
       .summary = "channels weighted by gradients normalised with the activations",
       .reference = "Fu et al. 2020", .options = "layer",
       .page = "other_class_activation_maps", .class_name = "`XGradCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "yes", .complete = "no", .cost = "1 to 2",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(XGradCam(model, {.layer = options.layer}));
       }},
      {.name = "layer_cam", .title = "LayerCAM",
       .summary = "a layer's activations times the positive gradients, place by place",
       .reference = "Jiang et al. 2021", .options = "layer",
       .page = "other_class_activation_maps", .class_name = "`LayerCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "yes", .complete = "no", .cost = "1 to 2",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(LayerCam(model, {.layer = options.layer}));
       }},
      {.name = "eigen_cam", .title = "Eigen-CAM",
       .summary = "the first principal component of a layer's activations",
       .reference = "Muhammad, Yeasin 2020", .options = "layer",
       .page = "eigen_cam", .class_name = "`EigenCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "no", .complete = "no", .cost = "1, and an SVD",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(EigenCam(model, {.layer = options.layer}));
       }},
      {.name = "eigen_grad_cam", .title = "EigenGradCAM",
       .summary = "the same of activations times gradients, so for the class",
       .reference = "pytorch-grad-cam", .options = "layer",
       .page = "eigen_cam", .class_name = "`EigenGradCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "yes", .complete = "no", .cost = "1 to 2, and an SVD",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(EigenGradCam(model, {.layer = options.layer}));
       }},
      {.name = "kpca_cam", .title = "KPCA-CAM",
       .summary = "the first component of a kernel PCA of a layer's activations",
       .reference = "Karmani et al. 2024", .options = "layer",
       .page = "eigen_cam", .class_name = "`KpcaCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "no", .complete = "no", .cost = "1, and a decomposition",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(KpcaCam(model, {.layer = options.layer}));
       }},
      {.name = "score_cam", .title = "Score-CAM",
       .summary = "channels weighted by the score of the input seen through each",
       .reference = "Wang et al. 2020", .options = "layer chunk",
       .page = "score_cam", .class_name = "`ScoreCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "yes", .complete = "no", .cost = "1 a channel",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(
             ScoreCam(model, {.layer = options.layer, .chunk = options.chunk, .progress = options.progress}));
       }},
      {.name = "ablation_cam", .title = "Ablation-CAM",
       .summary = "channels weighted by what the score loses without each",
       .reference = "Desai, Ramaswamy 2020", .options = "layer chunk",
       .page = "score_cam", .class_name = "`AblationCam`",
       .is_signed = "no (`.relu`)", .tells_classes_apart = "yes", .complete = "no", .cost = "below 1 a channel", .cuts = true,
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(AblationCam(
             model, {.layer = options.layer, .chunk = options.chunk, .progress = options.progress}));
       }},
      {.name = "guided_grad_cam", .title = "Guided Grad-CAM",
       .summary = "guided backpropagation times Grad-CAM",
       .reference = "Selvaraju et al. 2017", .options = "layer",
       .page = "guided_grad_cam", .class_name = "`GuidedGradCam`",
       .is_signed = "yes", .tells_classes_apart = "by the Grad-CAM in it", .complete = "no", .cost = "2 to 3",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(GuidedGradCam(model, {.layer = options.layer}));
       }},
      {.name = "occlusion", .title = "occlusion",
       .summary = "the score's loss where a window covers the input, on average over windows",
       .reference = "Zeiler, Fergus 2014", .options = "window stride baseline chunk",
       .page = "occlusion", .class_name = "`Occlusion`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "no", .cost = "1 a window",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(Occlusion(model, {.window = options.window,
                                                .stride = options.stride,
                                                .baseline = options.baseline,
                                                .chunk = options.chunk,
                                                .progress = options.progress}));
       }},
      {.name = "feature_ablation", .title = "feature ablation",
       .summary = "the score's loss without each feature, as a cell or a superpixel",
       .reference = "Zeiler, Fergus 2014", .options = "segments baseline chunk",
       .page = "occlusion", .class_name = "`FeatureAblation`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "no", .cost = "1 a feature",
       .make = &detail::of_features<FeatureAblation, FeatureAblationOptions>},
      {.name = "shapley_sampling", .title = "Shapley value sampling",
       .summary = "what each feature adds to the score, on average over random orders",
       .reference = "Castro et al. 2009", .options = "segments samples baseline seed tolerance chunk",
       .page = "shapley", .class_name = "`ShapleySampling`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "over features", .cost = "n a feature",
       .make = &detail::of_features<ShapleySampling, ShapleySamplingOptions>},
      {.name = "shapley_exact", .title = "exact Shapley values",
       .summary = "the same over all orders, of few features",
       .reference = "Shapley 1953", .options = "segments baseline chunk",
       .page = "shapley", .class_name = "`ShapleyExact`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "over features", .cost = "2 to the features",
       .make = &detail::of_features<ShapleyExact, ShapleyExactOptions, 3>},
      {.name = "kernel_shap", .title = "Kernel SHAP",
       .summary = "Shapley values by least squares over random coalitions of features",
       .reference = "Lundberg, Lee 2017", .options = "segments samples baseline seed tolerance chunk",
       .page = "shapley", .class_name = "`KernelShap`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "over features", .cost = "n",
       .make = &detail::of_features<KernelShap, KernelShapOptions>},
      {.name = "lime", .title = "LIME",
       .summary = "a sparse linear function of the features that fits the scores near the input",
       .reference = "Ribeiro, Singh, Guestrin 2016", .options = "segments samples baseline seed tolerance chunk",
       .page = "lime", .class_name = "`Lime`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "no", .cost = "n",
       .make = &detail::of_features<Lime, LimeOptions>},
      {.name = "rise", .title = "RISE",
       .summary = "the mean of random masks, each weighed by the score of what it leaves",
       .reference = "Petsiuk, Das, Saenko 2018", .options = "samples baseline seed tolerance chunk",
       .page = "rise", .class_name = "`Rise`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "no", .cost = "n, n = 8000",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         RiseOptions own{.baseline = options.baseline,
                         .seed = options.seed,
                         .tolerance = options.tolerance,
                         .chunk = options.chunk,
                         .progress = options.progress};
         own.samples = options.samples.value_or(own.samples);
         return AnyAttributor(Rise(model, own));
       }},
      {.name = "sobol", .title = "Sobol' indices",
       .summary = "the share of the score's variance under random masks in which each cell takes part",
       .reference = "Fel et al. 2021", .options = "samples baseline seed chunk",
       .page = "sobol_and_hsic", .class_name = "`Sobol`",
       .is_signed = "no", .tells_classes_apart = "yes", .complete = "no", .cost = "65n, n = 32",
       .make = &detail::of_designs<Sobol, SobolOptions>},
      {.name = "hsic", .title = "HSIC",
       .summary = "how much the score depends on whether each cell is seen",
       .reference = "Novello, Fel, Vigouroux 2022", .options = "samples baseline seed chunk",
       .page = "sobol_and_hsic", .class_name = "`Hsic`",
       .is_signed = "no", .tells_classes_apart = "yes", .complete = "no", .cost = "n, n = 500",
       .make = &detail::of_designs<Hsic, HsicOptions>},
      {.name = "xrai", .title = "XRAI",
       .summary = "regions of the picture, ranked by the mean of integrated gradients in them",
       .reference = "Kapishnikov et al. 2019", .options = "steps chunk",
       .page = "xrai", .class_name = "`Xrai`",
       .is_signed = "yes", .tells_classes_apart = "yes", .complete = "no", .cost = "4n, n = 100",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         return AnyAttributor(Xrai(IntegratedGradients(model, {.steps = options.steps.value_or(100),
                                                               .baseline = xrai_baselines(),
                                                               .chunk = options.chunk,
                                                               .progress = options.progress})));
       }},
      {.name = "extremal_perturbation", .title = "extremal perturbation",
       .summary = "the smooth mask of a tenth of the picture that keeps the score highest",
       .reference = "Fong, Patrick, Vedaldi 2019", .options = "steps chunk",
       .page = "extremal_perturbation", .class_name = "`ExtremalPerturbation`",
       .is_signed = "no", .tells_classes_apart = "yes", .complete = "no", .cost = "2n, n = 800",
       .make = [](const AnyModel& model, const MethodOptions& options) {
         ExtremalPerturbationOptions own{.chunk = options.chunk, .progress = options.progress};
         own.steps = options.steps.value_or(own.steps);
         return AnyAttributor(ExtremalPerturbation(model, own));
       }},
  });
  // clang-format on
  return entries;
}

/// The names of methods(), in their order.
template <class = void>
std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const MethodEntry& entry : methods()) names.emplace_back(entry.name);
  return names;
}

/// The method of that name. Throws ArgumentError, with the nearest names, if there is none.
///
///     const AnyAttributor method = find_method("grad_cam").make(AnyModel{model}, {.layer = "features.28"});
template <class = void>
const MethodEntry& find_method(std::string_view name) {
  const std::span<const MethodEntry> entries = methods();
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [name](const MethodEntry& entry) { return entry.name == name; });
  if (found == entries.end()) {
    throw ArgumentError::unknown_name("method", std::string(name), method_names());
  }
  return *found;
}

}  // namespace salience
