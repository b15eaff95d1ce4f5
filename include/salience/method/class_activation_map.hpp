// ClassActivationMap: a layer's activations and gradients become a map, by any weighting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/cam_weighting.hpp>
#include <salience/method/detail/upsampled.hpp>
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
  /// To the input's size, linearly for a signal (N, C, L), bilinearly for a picture (N, C, H, W), trilinearly
  /// for a volume (N, C, D, H, W), align_corners=false; false: the layer's own grid.
  bool upsample = true;
  /// How the layer's output becomes channels and places, (N, C, places...): Tokens, ChannelsFirst,
  /// ChannelsLast or any callable, see token_grid.hpp. By default as the model says where the layer's
  /// channels are, which a ScriptModel, FeaturesHead and LastConvolution see: (N, C, places...) as it is, (N,
  /// places..., C) turned. Tokens (N, T, C) of a picture become h * w of them in the input's aspect or in a
  /// square, a class token before them left out; those of a signal its places, if that many patches make it.
  /// A vector (N, C) has no places. Where that is not known, a picture's layer is taken in the way that has
  /// the input's aspect; if two have, or the input is no picture, it is an error.
  GridReshape reshape{};
};

namespace detail {

/// The sizes of the places of (N, C, places...), "8x8".
inline std::string places_of(const at::Tensor& grid) {
  std::string text;
  for (std::int64_t i = 2; i < grid.dim(); ++i) text += concat(i > 2 ? "x" : "", grid.size(i));
  return text.empty() ? "no places" : concat(text, grid.dim() == 3 ? " places" : "");
}

/// A layer's grid must have the input's dimensions, or none.
inline void require_same_places(const at::Tensor& grid, const at::Tensor& layer, const at::Tensor& input,
                                const std::string& name) {
  const std::int64_t own = grid.dim() - 2;
  if (own == 0 || (own == input.dim() - 2 && own <= 3)) return;
  throw ArgumentError(
      concat(quoted_layer(name), " gives ", shape(layer), ", a map of ", places_of(grid),
             ", which cannot be upsampled to an input of ", places_of(input), "; give the option reshape",
             own == 1 && input.dim() == 4 ? ", ChannelsFirst{1} for a line along the width, "
                                            "ChannelsFirst{height, width} for a grid that was flattened"
                                          : "",
             ", or upsample = false for the layer's own grid"));
}

/// As many places as the second dimension of an input of three has, and not the third: it may be a sequence
/// (N, T, C) that the model turned, along whose channels no map must be stretched.
inline void refuse_sequence(const at::Tensor& grid, const at::Tensor& layer, const at::Tensor& input,
                            const std::string& name) {
  const bool line = input.dim() == 3 && grid.dim() == 3;
  if (!line || grid.size(2) != input.size(1) || grid.size(2) == input.size(2)) return;
  throw ArgumentError(
      concat(quoted_layer(name), " gives ", shape(layer), ", as many places as the input ", shape(input),
             " has in its second dimension, so that it may be a sequence (N, T, ",
             "C) and no signal (N, C, L); give the option reshape, ChannelsFirst{} for a signal, ",
             "or upsample = false for the layer's own grid"));
}

/// A layer's activations, or the gradients there, as a weighting is given them: (N, C, h, w).
inline at::Tensor in_four_dimensions(const at::Tensor& grid) {
  if (grid.dim() > 4) return grid.flatten(3);
  if (grid.dim() == 4) return grid;
  return grid.dim() == 3 ? grid.unsqueeze(2) : grid.unsqueeze(2).unsqueeze(3);
}

/// What a layer of a pass gave, as channels and places.
struct LayerGrid {
  at::Tensor layer;     ///< detached
  GridReshape reshape;  ///< what makes the grid of it
  at::Tensor grid;      ///< (N, C, places...), in float32 at least
};

/// Layer i of a pass. Throws ArgumentError if it is no grid, or none that `options` can upsample.
inline LayerGrid layer_grid(const RecordedPass& pass, std::size_t i, const CamOptions& options) {
  const std::string& name = pass.names[i];
  const at::Tensor layer = pass.layers[i].detach();
  const GridReshape reshape =
      options.reshape ? options.reshape : reshape_for(layer, pass.leaf, name, pass.channels[i]);
  const at::Tensor grid = widened(reshape(layer));
  if (grid.dim() < 2 || grid.size(0) != pass.leaf.size(0)) {
    throw ArgumentError::out_of_range(concat(quoted_layer(name), ", as a grid,"), shape(grid),
                                      concat("of shape (", pass.leaf.size(0), ", C, places...)"));
  }
  if (options.upsample) require_same_places(grid, layer, pass.leaf, name);
  if (options.upsample && !options.reshape) refuse_sequence(grid, layer, pass.leaf, name);
  return {layer, reshape, grid};
}

/// All layers of a pass.
inline std::vector<LayerGrid> layer_grids(const RecordedPass& pass, const CamOptions& options) {
  std::vector<LayerGrid> grids;
  grids.reserve(pass.layers.size());
  for (std::size_t i = 0; i < pass.layers.size(); ++i) grids.push_back(layer_grid(pass, i, options));
  return grids;
}

/// The gradient at a layer as a weighting is given it.
inline at::Tensor gradient_grid(const LayerGrid& grid, const at::Tensor& gradient, const std::string& name) {
  at::Tensor g = in_four_dimensions(widened(grid.reshape(gradient)));
  if (!g.any().template item<bool>()) {
    TORCH_WARN("Salience: the gradient at ", quoted_layer(name),
               " is zero everywhere, and so is the map; in a vision transformer the last block's tokens take "
               "no part in the class: name an earlier layer");
  }
  return g;
}

/// The mean of the maps of a pass's layers, as the options say, and whether nothing in them is above zero.
/// `signed_map(i)` gives the one of layer i, (N, 1, h, w); undefined: of this layer and those behind it there
/// is none.
template <class SignedMap>
Attribution mean_of_maps(const RecordedPass& pass, const std::vector<LayerGrid>& grids,
                         const CamOptions& options, const SignedMap& signed_map) {
  at::Tensor sum, nothing_positive;
  double count = 0.0;
  for (std::size_t i = 0; i < grids.size(); ++i) {
    at::Tensor map = signed_map(i);
    if (!map.defined()) break;
    const at::Tensor nothing_here = map.flatten(1).amax({1}).le(0.0);
    if (options.relu) map = map.clamp_min(0.0);
    if (grids.size() > 1) {
      const at::Tensor largest = map.abs().flatten(1).amax({1}).view({-1, 1, 1, 1});
      map = map.div(largest.masked_fill(largest.eq(0.0), 1.0));
    }
    if (grids[i].grid.dim() != 4) {
      std::vector<std::int64_t> sizes = grids[i].grid.sizes().vec();
      sizes[1] = 1;
      map = map.reshape(sizes);
    }
    if (options.upsample) map = upsampled(map, pass.leaf);
    if (sum.defined() && sum.sizes() != map.sizes()) {
      throw ArgumentError::out_of_range("the grids of several layers, without upsampling,",
                                        concat(shape(sum), " and ", shape(map)), "the same");
    }
    sum = sum.defined() ? sum.add(map) : map;
    nothing_positive = nothing_positive.defined() ? nothing_positive.logical_and(nothing_here) : nothing_here;
    count += 1.0;
  }
  if (count > 1.0) sum = sum.div(count);
  Attribution result = pass.explained_by(as_input(sum, pass.leaf));
  result.values_of = ValuesOf::regions;
  result.nothing_positive = nothing_positive;
  return result;
}

/// The mean of the maps of the pass's layers, whose gradients are given if the weighting needs them.
template <CamWeighting Weighting>
Attribution class_activation_map(const RecordedPass& pass, const std::vector<at::Tensor>& gradients,
                                 const Weighting& weighting, const CamOptions& options) {
  const Observing observing;
  const std::vector<LayerGrid> grids = layer_grids(pass, options);
  return mean_of_maps(pass, grids, options, [&](std::size_t i) {
    const at::Tensor a = in_four_dimensions(grids[i].grid);
    at::Tensor g;
    if (!gradients.empty()) g = gradient_grid(grids[i], gradients[i], pass.names[i]);
    at::Tensor map = weighting(a, g);
    if (!map.defined() || map.dim() != 4 || map.size(0) != a.size(0) || map.size(1) != 1) {
      throw ArgumentError::out_of_range("the map of a weighting", shape(map),
                                        concat("of shape (", a.size(0), ", 1, h, w)"));
    }
    return map;
  });
}

}  // namespace detail

/// A class activation map by any weighting: one of the field's (method/cam_weighting.hpp) or the user's own.
/// GradCam, GradCamPlusPlus, HiResCam, XGradCam, LayerCam, EigenCam, EigenGradCam and KpcaCam are this with
/// theirs.
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
/// The weighting is given four dimensions, whatever the input is: see CamWeighting. Model, options, result
/// and errors are those of GradCam; a weighting whose map has another shape than (N,1,h,w) is an
/// ArgumentError, and what it throws passes through.
template <class M, class Weighting>
class ClassActivationMap {
 public:
  /// `model` is a LayeredModel, `weighting` a CamWeighting.
  explicit ClassActivationMap(M model, CamOptions options = {}, Weighting weighting = {})
      : model_(std::move(model)), options_(std::move(options)), weighting_(std::move(weighting)) {
    detail::require_layered_model<M>();
    detail::require_cam_weighting<Weighting>();
  }

  /// The map for each sample, of the input's size or of the layer's, as GradCam says, in the input's dtype
  /// (of integers, see LayerGradient, in a floating one); `nothing_positive` tells of which nothing is above
  /// zero. One forward pass and, if the weighting needs gradients, one backward pass that goes no deeper than
  /// the layer.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter([&] {
      const auto& wanted = as_target(target);
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
