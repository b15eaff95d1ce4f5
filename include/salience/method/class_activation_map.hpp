// ClassActivationMap: a layer's activations and gradients become a map, by any weighting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/upsample_bilinear2d_ops.h>
#include <c10/util/Exception.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/cam_weighting.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/token_grid.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// What can be chosen of a class activation map.
struct CamOptions {
  /// The layer to look at, or several; the last convolution by default. Of several, the mean of their maps is
  /// given, each sample's map divided by its largest absolute value before, so that the layers count alike.
  LayerNames layer{};
  bool relu = true;  ///< only what speaks for the target; false: the signed map
  bool upsample =
      true;  ///< bilinearly (align_corners=false) to the input's size; false: the layer's own grid
  /// How the layer's output becomes a grid (N, C, h, w): Tokens, ChannelsFirst, ChannelsLast or any callable,
  /// see token_grid.hpp. By default as the model says where the layer's channels are, which a ScriptModel,
  /// FeaturesHead and LastConvolution see: (N, C, h, w) as it is, (N, h, w, C) turned, tokens (N, T, C) as
  /// h * w of them in the input's aspect or in a square, a class token before them left out, and (N, C, L) as
  /// a line (N, C, 1, L) if the input is no picture or has one row. Where that is not known, the one of these
  /// that has the input's aspect is taken; if two have, it is an error.
  GridReshape reshape{};
};

namespace detail {

/// One layer's map, (N, 1, h, w), and whether nothing in it is above zero, (N) bool.
template <CamWeighting Weighting>
std::pair<at::Tensor, at::Tensor> layer_map(const RecordedPass& pass, std::size_t i,
                                            const at::Tensor& gradient, const Weighting& weighting,
                                            const CamOptions& options) {
  const std::string& name = pass.names[i];
  const at::Tensor layer = pass.layers[i].detach();
  const GridReshape reshape =
      options.reshape ? options.reshape : reshape_for(layer, pass.leaf, name, pass.channels[i]);
  const at::Tensor a = widened(reshape(layer));
  if (a.dim() != 4 || a.size(0) != pass.leaf.size(0)) {
    throw ArgumentError::out_of_range(concat(quoted_layer(name), ", as a grid,"), shape(a),
                                      concat("of shape (", pass.leaf.size(0), ", C, h, w)"));
  }
  at::Tensor g;
  if (gradient.defined()) {
    g = widened(reshape(gradient));
    if (!g.any().template item<bool>()) {
      TORCH_WARN(
          "Salience: the gradient at ", quoted_layer(name),
          " is zero everywhere, and so is the map; in a vision transformer the last block's tokens take "
          "no part in the class: name an earlier layer");
    }
  }
  at::Tensor map = weighting(a, g);
  if (!map.defined() || map.dim() != 4 || map.size(0) != a.size(0) || map.size(1) != 1) {
    throw ArgumentError::out_of_range("the map of a weighting", shape(map),
                                      concat("of shape (", a.size(0), ", 1, h, w)"));
  }
  const at::Tensor nothing_positive = map.flatten(1).amax({1}).le(0.0);
  if (options.relu) map = map.clamp_min(0.0);
  return {map, nothing_positive};
}

/// The mean of the maps of the pass's layers, whose gradients are given if the weighting needs them.
template <CamWeighting Weighting>
Attribution class_activation_map(const RecordedPass& pass, const std::vector<at::Tensor>& gradients,
                                 const Weighting& weighting, const CamOptions& options) {
  const Observing observing;
  if (options.upsample && pass.leaf.dim() != 4) {
    throw ArgumentError::out_of_range("the input of an upsampled map", shape(pass.leaf),
                                      "of shape (N, C, H, W); upsample = false gives the layer's own grid");
  }
  at::Tensor sum, nothing_positive;
  for (std::size_t i = 0; i < pass.layers.size(); ++i) {
    auto [map, nothing_here] =
        layer_map(pass, i, gradients.empty() ? at::Tensor() : gradients[i], weighting, options);
    if (pass.layers.size() > 1) {
      const at::Tensor largest = map.abs().flatten(1).amax({1}).view({-1, 1, 1, 1});
      map = map.div(largest.masked_fill(largest.eq(0.0), 1.0));
    }
    if (options.upsample) {
      map = at::_ops::upsample_bilinear2d::call(map, {pass.leaf.size(2), pass.leaf.size(3)},
                                                /*align_corners=*/false, {}, {});
    }
    if (sum.defined() && sum.sizes() != map.sizes()) {
      throw ArgumentError::out_of_range("the grids of several layers, without upsampling,",
                                        concat(shape(sum), " and ", shape(map)), "the same");
    }
    sum = sum.defined() ? sum.add(map) : map;
    nothing_positive = nothing_positive.defined() ? nothing_positive.logical_and(nothing_here) : nothing_here;
  }
  if (pass.layers.size() > 1) sum = sum.div(static_cast<double>(pass.layers.size()));
  Attribution result = pass.explained_by(as_input(sum, pass.leaf));
  result.values_of = ValuesOf::regions;
  result.nothing_positive = nothing_positive;
  return result;
}

}  // namespace detail

/// A class activation map by any weighting: one of the field's (method/cam_weighting.hpp) or the user's own.
/// GradCam, GradCamPlusPlus, HiResCam, XGradCam, LayerCam and EigenCam are this with theirs.
///
///     struct SignedMean {  // the gradients' signs alone
///       static constexpr bool needs_gradient = true;
///       at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
///         return g.mean({2, 3}, true).sign().mul(a).sum({1}, true);
///       }
///     };
///     ClassActivationMap cam{model, {.layer = "features.28"}, SignedMean{}};
///     Attribution a = cam(x);  // a.values (N,1,H,W)
///
/// Model, options, result and errors are those of GradCam; a weighting whose map has another shape than
/// (N,1,h,w) is an ArgumentError, and what it throws passes through.
template <class M, class Weighting>
class ClassActivationMap {
 public:
  /// `model` is a LayeredModel, `weighting` a CamWeighting.
  explicit ClassActivationMap(M model, CamOptions options = {}, Weighting weighting = {})
      : model_(std::move(model)), options_(std::move(options)), weighting_(std::move(weighting)) {
    detail::require_layered_model<M>();
    detail::require_cam_weighting<Weighting>();
  }

  /// The map for each sample, (N, 1, H, W) of the input's size, or (N, 1, h, w) of the layer's, in the
  /// input's dtype; `nothing_positive` tells of which nothing is above zero. One forward pass and, if the
  /// weighting needs gradients, one backward pass that goes no deeper than the layer.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      if constexpr (Weighting::needs_gradient) {
        const RecordedPass pass = record(model_, input, wanted, *options_.layer);
        return detail::class_activation_map(pass, detail::layer_gradients(pass), weighting_, options_);
      } else {
        return detail::class_activation_map(observe(model_, input, wanted, *options_.layer), {}, weighting_,
                                            options_);
      }
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
  Weighting weighting_;
};

}  // namespace salience
