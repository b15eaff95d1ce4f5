// ScoreCam: a class activation map whose weights are the scores of the input seen through each channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
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
#include <salience/model/layered_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of ScoreCam.
struct ScoreCamOptions {
  LayerNames layer{};     ///< as in CamOptions: one or several, the last convolution by default
  bool relu = true;       ///< only what is above zero; false: the signed map
  bool upsample = true;   ///< the map to the input's size, as in CamOptions; false: the layer's own grid
  GridReshape reshape{};  ///< as in CamOptions
  /// Whether a softmax over the channels makes weights of the scores, as in the paper's algorithm and in
  /// pytorch-grad-cam. false: the scores are the weights, as in the authors' code, whose scores are
  /// probabilities: call it with the score Probability.
  bool softmax = true;
  std::int64_t chunk = 0;       ///< channels evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each channel; false stops and gives what there is
};

/// Score-CAM (Wang et al.: "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks",
/// 2020): \f$ \max(0, \sum_k w_k A^k) \f$, where the weights are the softmax over the channels k of the
/// scores \f$ s_c(x \odot m_k) \f$. The mask m_k is the channel itself, brought to the input's size and
/// scaled to [0, 1] by its least and its largest value there.
///
///     ScoreCam cam{model, {.layer = "features.28"}};
///     Attribution a = cam(x, ClassIndex{5});  // a.values (N,1,H,W), a.nothing_positive (N)
///
/// It is a forward pass for each channel, of which nothing is recorded; the target needs no gradient. The
/// score is the one that the target gives, the logit by default, as in the paper's algorithm. The paper takes
/// the score of a baseline off, which is the same for all channels and so has no effect on a softmax. Masks
/// are brought to the input's size as maps are, with align_corners=false, as in the authors' code;
/// pytorch-grad-cam does that with align_corners=true. A channel that has one value everywhere masks all of
/// the input, so that all of these are evaluated once a sample. The class is chosen once, on the input.
///
/// Layers, shapes and `nothing_positive` are those of GradCam; but the layer needs places, more than one. The
/// result of a run that is stopped is that of the channels which were evaluated, in the order of the layers.
///
/// @throws ArgumentError for a layer without places, or whose grid does not have the input's dimensions, and
///         an input or options out of range; what GradCam throws for a layer, and what the model throws
template <class M>
class ScoreCam {
 public:
  /// `model` is a LayeredModel. Throws ArgumentError for an option out of range.
  explicit ScoreCam(M model, ScoreCamOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_layered_model<M>();
    require_chunk(options_.chunk);
  }

  /// The map for each sample of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      const CamOptions options{.layer = options_.layer,
                               .relu = options_.relu,
                               .upsample = options_.upsample,
                               .reshape = options_.reshape};
      const RecordedPass pass = observe(model_, input, wanted, *options_.layer);
      const std::vector<detail::LayerGrid> grids = detail::layer_grids(pass, options);
      detail::ChannelRun run(options_.chunk, options_.progress);
      std::vector<at::Tensor> constant;
      constant.reserve(grids.size());
      for (std::size_t i = 0; i < grids.size(); ++i) {
        require_places(grids[i], pass, pass.names[i]);
        const at::Tensor flat = grids[i].grid.flatten(2);
        constant.push_back(flat.amax({2}).eq(flat.amin({2})).to(at::kCPU).contiguous());
        run.add(constant[i].logical_and(constant[i].cumsum(1).gt(1)).logical_not());  // one of them a sample
      }
      const VariantScores scores(model_, pass.leaf, wanted, pass);
      Attribution result = detail::mean_of_maps(pass, grids, options, [&](std::size_t i) {
        if (run.stopped()) return at::Tensor();
        const at::Tensor& grid = grids[i].grid;
        const auto masked = [&](const Variant& variant, const at::Tensor& out) {
          out.copy_(pass.leaf[variant.sample].mul(mask(grid, variant.sample, variant.step, pass.leaf)));
        };
        detail::ChannelScores of = run(i, scores, chunk_size(0, input), masked);
        share(of, constant[i]);
        return detail::weighted_sum(grid, weights(of));
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
  static void require_places(const detail::LayerGrid& grid, const RecordedPass& pass,
                             const std::string& name) {
    if (grid.grid.dim() < 3 || grid.grid[0][0].numel() < 2) {
      throw ArgumentError(detail::concat(detail::quoted_layer(name), " gives ", detail::shape(grid.layer),
                                         ", whose channels have no places that could mask the input: name a "
                                         "layer before the pooling"));
    }
    detail::require_same_places(grid.grid, grid.layer, pass.leaf, name);
  }

  /// Channel k of sample n in the input's size, (1, places...), from 0 to 1; 0 where it is constant.
  static at::Tensor mask(const at::Tensor& grid, std::int64_t n, std::int64_t k, const at::Tensor& input) {
    const at::Tensor channel = grid[n].narrow(0, k, 1).unsqueeze(0);
    const at::Tensor large = detail::upsampled(channel, input)[0], least = large.min();
    const at::Tensor range = large.max().sub(least);
    // A constant channel may have rounding in it by now, which must not be spread over [0, 1].
    const bool constant = channel.eq(channel.flatten()[0]).all().template item<bool>();
    if (constant || range.template item<double>() == 0.0) return large.mul(0.0);
    return large.sub(least).div(range);
  }

  /// Gives all constant channels of a sample the score of the one that was evaluated.
  static void share(detail::ChannelScores& of, const at::Tensor& constant) {
    const std::int64_t channels = constant.size(1);
    const bool* same = constant.data_ptr<bool>();
    double* scores = of.scores.data_ptr<double>();
    bool* evaluated = of.evaluated.data_ptr<bool>();
    for (std::int64_t first = 0; first < constant.numel(); first += channels) {
      std::int64_t known = -1;
      for (std::int64_t i = first; i < first + channels; ++i) {
        if (!same[i]) continue;
        if (known < 0) known = i;
        scores[i] = scores[known];
        evaluated[i] = evaluated[known];
      }
    }
  }

  /// (N, C), of the channels that were evaluated; of the others 0.
  at::Tensor weights(const detail::ChannelScores& of) const {
    if (!options_.softmax) return of.scores;
    const at::Tensor left_out = of.evaluated.logical_not();
    return of.scores.masked_fill(left_out, -std::numeric_limits<double>::infinity())
        .softmax(1)
        .masked_fill(left_out, 0.0);
  }

  mutable M model_;  // a model's call operator may be non-const
  ScoreCamOptions options_;
};

}  // namespace salience
