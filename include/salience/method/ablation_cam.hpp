// AblationCam: a class activation map whose weights are what the score loses without each channel.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/class_activation_map.hpp>
#include <salience/method/detail/channel_weights.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/method/token_grid.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/model/concepts.hpp>
#include <salience/model/cuttable_model.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/layer.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of AblationCam.
struct AblationCamOptions {
  LayerNames layer{};    ///< as in CamOptions: one or several, the last convolution by default
  bool relu = true;      ///< only what speaks for the target; false: the signed map
  bool upsample = true;  ///< the map to the input's size, as in CamOptions; false: the layer's own grid
  /// As in CamOptions. It must leave each channel in one place of a dimension of the layer, where it can be
  /// set to 0.
  GridReshape reshape{};
  std::int64_t chunk = 0;       ///< channels evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each channel; false stops and gives what there is
};

/// Ablation-CAM (Desai, Ramaswamy: "Ablation-CAM: Visual Explanations for Deep Convolutional Network via
/// Gradient-free Localization", 2020): \f$ \max(0, \sum_k w_k A^k) \f$ with \f$ w_k = (s_c - s_c^k) / |s_c|
/// \f$, where \f$ s_c^k \f$ is the score when the layer's channel k is set to 0, the share of the score that
/// goes with the channel.
///
///     AblationCam cam{model, {.layer = "features.29"}};
///     Attribution a = cam(x, ClassIndex{5});  // a.values (N,1,H,W), a.nothing_positive (N)
///
/// The paper divides by the score itself. That is the same where the score is above zero; below, it would
/// turn the sign of every weight, and the map would show what speaks against the target. The quotient only
/// scales a sample's map; where the score is exactly 0, the losses themselves are the weights. A channel is
/// set to 0 whatever the layer's values are, as in the paper; pytorch-grad-cam does so where the layer's
/// least value is 0, behind a ReLU, and else sets it to the least value - 1e7. Of tokens the channel is set
/// to 0 in all of them, also in those of no place, such as the class token.
///
/// For each channel the model behind the layer runs once, and nothing is recorded; the target needs no
/// gradient. A channel that is 0 everywhere costs nothing. The class is chosen once, on the input, which may
/// hold integers. Shapes and `nothing_positive` are those of GradCam. The result of a run that is stopped is
/// that of the channels which were evaluated, in the order of the layers.
///
/// @throws ArgumentError for an input or options out of range; ModelError for a model behind an AnyModel that
///         cannot be cut, and for a last convolution that is no layer of a model which lists its layers;
///         what GradCam and GraphModel::from throw for a layer, and what the model throws
template <class M>
class AblationCam {
 public:
  /// `model` is a LayeredModel and a CuttableModel: a ScriptModel, an ExportedModel, FeaturesHead. Throws
  /// ArgumentError for an option out of range.
  explicit AblationCam(M model, AblationCamOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_layered_model<M>();
    detail::require_cuttable_model<M>();
    require_chunk(options_.chunk);
  }

  /// The map for each sample of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter([&] {
      const auto& wanted = as_target(target);
      const CamOptions options{.layer = options_.layer,
                               .relu = options_.relu,
                               .upsample = options_.upsample,
                               .reshape = options_.reshape};
      const RecordedPass pass = observe(model_, input, wanted, *options_.layer);
      const std::vector<detail::LayerGrid> grids = detail::layer_grids(pass, options);
      detail::ChannelRun run(options_.chunk, options_.progress);
      std::vector<std::int64_t> dimensions;
      dimensions.reserve(grids.size());
      for (std::size_t i = 0; i < grids.size(); ++i) {
        dimensions.push_back(channel_dimension(grids[i], pass.names[i]));
        const at::Tensor channels = grids[i].layer.movedim(dimensions[i], 1);
        run.add(channels.reshape({channels.size(0), channels.size(1), -1}).ne(0.0).any(2).to(at::kCPU));
      }
      const at::Tensor clean = pass.score.reshape({-1, 1}).to(at::kCPU, at::kDouble);
      Attribution result = detail::mean_of_maps(pass, grids, options, [&](std::size_t i) {
        if (run.stopped()) return at::Tensor();
        const at::Tensor& layer = grids[i].layer;
        const auto without = [&](const Variant& variant, const at::Tensor& out) {
          out.copy_(layer[variant.sample]).select(dimensions[i] - 1, variant.step).zero_();
        };
        const std::int64_t chunk = std::max(chunk_size(0, layer), chunk_size(0, pass.leaf));
        detail::ChannelScores of;
        behind(pass, i, wanted, [&](const auto& scores) { of = run(i, scores, chunk, without); });
        const at::Tensor scale = clean.abs().masked_fill(clean.eq(0.0), 1.0);
        return detail::weighted_sum(grids[i].grid,
                                    clean.sub(of.scores).div(scale).mul(of.evaluated.to(at::kDouble)));
      });
      result.stopped = run.stopped();
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// The dimension of the layer's output in which the channels of its grid are.
  static std::int64_t channel_dimension(const detail::LayerGrid& grid, const std::string& name) {
    for (std::int64_t d = 1; d < grid.layer.dim(); ++d) {
      if (grid.layer.size(d) != grid.grid.size(1)) continue;
      // Each element holds its position along d.
      std::vector<std::int64_t> along(static_cast<std::size_t>(grid.layer.dim()), 1);
      along[static_cast<std::size_t>(d)] = grid.layer.size(d);
      const at::Tensor positions = positions_of(grid.layer.size(d));
      const at::Tensor moved = grid.reshape(positions.view(along).expand_as(grid.layer).contiguous());
      std::vector<std::int64_t> of_grid(static_cast<std::size_t>(grid.grid.dim()), 1);
      of_grid[1] = grid.layer.size(d);
      if (moved.eq(positions.view(of_grid)).all().template item<bool>()) return d;
    }
    throw ArgumentError(detail::concat("the option reshape makes a grid ", detail::shape(grid.grid), " of ",
                                       detail::quoted_layer(name), ", ", detail::shape(grid.layer),
                                       ", in which no dimension has its channels, so that none of them can "
                                       "be set to 0"));
  }

  static at::Tensor positions_of(std::int64_t count) {
    std::vector<double> positions(static_cast<std::size_t>(count));
    std::iota(positions.begin(), positions.end(), 0.0);
    return detail::vector_tensor<double>(positions);
  }

  /// `work` with the scores of the model behind layer i.
  template <class T, class Work>
  void behind(const RecordedPass& pass, std::size_t i, const T& target, const Work& work) const {
    const std::string name = cut_name(pass, i, target);
    const auto cut = [&](const auto& model) {
      auto rest = model.from(name, pass.leaf);
      // The rows of what the rest holds are those of this batch, wherever the target says that they are from.
      const FixedTarget here{detail::read_as(target, pass.output_type), pass.chosen,
                             positions_of(pass.leaf.size(0)).to(at::kLong)};
      const at::Tensor layer = pass.layers[i].detach();
      work(VariantScores(rest, layer, here, pass));
    };
    const at::Tensor samples = detail::samples_of(target);
    if (samples.defined()) {
      cut(detail::part_for_samples(model_, samples.to(pass.leaf.device())));
    } else {
      cut(model_);
    }
  }

  /// The name of layer i for `from`. The last convolution of a model that lists its layers is one of these,
  /// which the first sample shows.
  template <class T>
  std::string cut_name(const RecordedPass& pass, std::size_t i, const T& target) const {
    if constexpr (detail::ListsLayers<M>) {
      const std::vector<Layer> layers = model_.layers();
      if (!pass.names[i].empty() || layers.empty()) return pass.names[i];
      std::vector<std::string> names;
      for (const Layer& layer : layers) {
        if (layer.type.starts_with("Conv")) names.push_back(layer.path);
      }
      const at::Tensor first = positions_of(1).to(pass.leaf.device(), at::kLong);
      const auto wanted = detail::fixed_for(target, pass.chosen, first);
      std::string found = last_of(names, [&](const std::vector<std::string>& asked) {
        return observe(model_, pass.leaf.narrow(0, 0, 1), wanted, asked).layers;
      });
      if (!found.empty()) return found;
      throw ModelError(
          "the last convolution is none of the layers that this model lists, so the model cannot be cut "
          "there: name a layer");
    }
    return pass.names[i];
  }

  /// Which of these layers is the last convolution; empty: none. `given` runs the model.
  template <class Given>
  static std::string last_of(const std::vector<std::string>& names, const Given& given) {
    const auto among = [&given](std::vector<std::string> asked) -> std::string {
      asked.insert(asked.begin(), "");
      const std::vector<at::Tensor> layers = given(asked);
      for (std::size_t k = asked.size(); k-- > 1;) {
        if (layers[k].equal(layers[0])) return asked[k];
      }
      return "";
    };
    const auto one_of = [&among](const std::string& name) -> std::string {
      try {
        return among({name});
      } catch (const ModelError&) {  // it gives no tensor, or is not reached, as in an auxiliary head
        return "";
      }
    };
    try {
      if (std::string found = among(names); !found.empty()) return found;
    } catch (const ModelError&) {
      for (std::size_t k = names.size(); k-- > 0;) {
        if (std::string found = one_of(names[k]); !found.empty()) return found;
      }
    }
    try {  // in a layer of another kind: a GraphModel knows each by its number
      for (int number = 0; number < 10000; ++number) {
        std::string found = one_of(detail::concat("convolution.", number));
        if (!found.empty()) return found;
      }
    } catch (const ArgumentError&) {  // there is none of that number
    }
    return "";
  }

  M model_;
  AblationCamOptions options_;
};

}  // namespace salience
