// FeaturesHead: a model of two parts, with the output of the first as its layer.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/model/concepts.hpp>
#include <salience/model/detail/channel_recorder.hpp>
#include <salience/model/layered_model.hpp>

namespace salience {

/// The model head(features(x)), of any two Models, as a LayeredModel with one layer: the output of
/// `features`, which has the names "features" and "".
///
///     GradCam cam{FeaturesHead{net->features, [net](const at::Tensor& x) { return net->head(x.flatten(1));
///     }}};
///
/// It tells where the channels of the features are, as far as the operators that run on the calling thread
/// show it; pictures (N, C, H, W) and volumes (N, C, D, H, W) have them first.
///
/// It holds copies of both: module holders and shared pointers copy cheaply, and std::ref shares any
/// callable. Several threads may use it at once if they may call both parts at once. The head may write into
/// its input.
template <class Features, class Head>
class FeaturesHead {
 public:
  /// Of two Models, the second of which takes what the first gives.
  FeaturesHead(Features features, Head head) : features_(std::move(features)), head_(std::move(head)) {
    detail::require_model<Features>();
    detail::require_model<Head>();
  }

  /// head(features(input))
  at::Tensor operator()(const at::Tensor& input) const {
    return detail::call(head_, detail::call(features_, input));
  }

  /// The features, and the head: see CuttableModel. Throws ArgumentError for another name.
  const Features& until(const std::string& layer) const {
    require_name(layer);
    return features_;
  }
  /// The head, which looks at nothing but the features.
  const Head& from(const std::string& layer, const at::Tensor& /*input*/) const {
    require_name(layer);
    return head_;
  }

  /// Throws ArgumentError for another name.
  Tapped tapped(const at::Tensor& input, std::span<const std::string> layers) const {
    for (const std::string& layer : layers) require_name(layer);
    if (layers.empty()) return {(*this)(input), {}};
    Tapped result;
    at::Tensor between;
    {
      const detail::ChannelRecorder recorder(input);
      between = detail::call(features_, input);
      result.channels.assign(layers.size(), recorder.axis(between));
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
      result.layers.push_back(between);
      between = between.clone();  // the head may write into what it is given
    }
    result.output = detail::call(head_, between);
    return result;
  }

  /// See SampleAwareModel.
  auto for_samples(const at::Tensor& samples) const requires SampleAwareModel<Features> ||
      SampleAwareModel<Head> {
    return salience::FeaturesHead(detail::part_for_samples(features_, samples),
                                  detail::part_for_samples(head_, samples));
  }

 private:
  static void require_name(const std::string& layer) {
    static const std::array<std::string, 1> names{"features"};
    if (!layer.empty() && layer != names[0]) throw ArgumentError::unknown_name("layer", layer, names);
  }

  mutable Features features_;  // a model's call operator may be non-const
  mutable Head head_;
};

}  // namespace salience
