// FullGrad: the score as what the input and every bias contribute.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/class_activation_map.hpp>
#include <salience/method/detail/by_samples.hpp>
#include <salience/method/detail/completeness.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/model/relevance_model.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/ledger.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

namespace detail {

/// The post-processing of FullGrad: of (N, C, places...) the absolute values of each channel, from 0 to 1, in
/// the input's size, summed over the channels: (N, 1, places...).
inline at::Tensor full_grad_map(const at::Tensor& terms, const at::Tensor& input) {
  const at::Tensor channels = widened(terms).abs().flatten(2);
  const at::Tensor least = channels.amin(at::IntArrayRef{2}, true);
  const at::Tensor range = channels.amax(at::IntArrayRef{2}, true).sub_(least);
  const at::Tensor scaled = channels.sub(least).div_(range.masked_fill(range.eq(0.0), 1.0));
  // Interpolation is linear: the sum can be taken before.
  std::vector<std::int64_t> sizes = terms.sizes().vec();
  sizes[1] = 1;
  return upsampled(scaled.sum(at::IntArrayRef{1}, true).reshape(sizes), input);
}

}  // namespace detail

/// FullGrad (Srinivas, Fleuret: "Full-Gradient Representation for Neural Network Visualization", NeurIPS
/// 2019). A network of rectifiers, convolutions, BatchNorm and linear layers is linear around the input, so
/// that \f$ s_c(x) = \sum_i x_i \, \partial s_c / \partial x_i + \sum_b b \, \partial s_c / \partial b \f$
/// over all its biases b, at all their places. The map is \f$ \sum \psi(x \odot \nabla_x s_c) + \sum_l \sum_k
/// \psi(b^l_k \odot \nabla s_c) \f$ over the channels of the input and those of all convolutions
/// and norms l; \f$ \psi \f$ takes absolute values, scales from 0 to 1 and interpolates linearly to the
/// input's size, align_corners=false.
///
///     FullGrad method{model};
///     Attribution a = method(x);  // a.values (N,1,H,W), at least 0; a.completeness_error, a.bias_share
///
/// A bias is what a convolution, a linear layer or a norm adds, and a constant in a sum; in BatchNorm it is
/// \f$ \beta - \mu \gamma / \sqrt{\sigma^2 + \epsilon} \f$. In the map are those of convolutions and norms,
/// which belong to channels; the others count in the figures alone. `bias_share` is what all biases
/// contribute, over the score, and `completeness_error` the right side of the equation minus the score: zero,
/// up to rounding, if the network is of that kind (a sigmoid or GELU is not). Samples are taken one by one;
/// each costs one gradient. Throws ArgumentError for an input without places, and what GradientAttributor
/// throws.
template <class M>
class FullGrad {
 public:
  /// `model` is a BiasTermsModel: a ScriptModel, an ExportedModel, a GraphModel.
  explicit FullGrad(const M& model) : model_(told(model)) {}

  /// The map for each sample of `input`, (N, C, places...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      if (input.dim() < 3 || input.dim() > 5) {
        throw ArgumentError::out_of_range("the input of FullGrad", detail::shape(input),
                                          "of shape (N, C, L), (N, C, H, W) or (N, C, D, H, W)");
      }
      if (input.size(0) == 1) return full_gradient(input, wanted);
      // Inside of a model the samples may be in any dimension, so that what its biases add cannot be shared
      // out.
      Attribution result{observe(model_, input, wanted).explained()};
      const std::vector<Attribution> samples = detail::by_samples(
          input, wanted, result.target,
          [&](const at::Tensor& sample, const auto& fixed) { return full_gradient(sample, fixed); });
      result.values = detail::joined(samples, &Attribution::values);
      result.values_of = ValuesOf::regions;
      result.bias_share = detail::joined(samples, &Attribution::bias_share);
      result.completeness_error = detail::joined(samples, &Attribution::completeness_error);
      result.relative_completeness_error = detail::joined(samples, &Attribution::relative_completeness_error);
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// Of one sample.
  template <class T>
  Attribution full_gradient(const at::Tensor& input, const T& target) const {
    at::Tensor map;
    const auto take = [&](const at::Tensor& constant, const at::Tensor& gradient) {
      if (gradient.dim() != input.dim()) return;
      const at::Tensor others = gradient.narrow(0, 1, gradient.size(0) - 1);
      // A program of a fixed batch is filled up with rows on which the score does not depend. Others are
      // windows.
      if (others.any().item<bool>()) return;
      const at::Tensor own = detail::full_grad_map(gradient.narrow(0, 0, 1).mul(constant), input);
      map = map.defined() ? map.add(own) : own;
    };
    const auto ledger = std::make_shared<detail::Ledger>(1, take);
    const RecordedPass pass = [&] {
      const detail::OpenLedger open(ledger);
      return record(model_, input, target);
    }();
    const at::Tensor gradient = pass.gradient();
    const detail::Observing observing;
    const at::Tensor terms = gradient.mul(input.detach());
    const at::Tensor own = detail::full_grad_map(terms, input);
    Attribution result = pass.explained_by(detail::as_input(map.defined() ? map.add(own) : own, input));
    result.values_of = ValuesOf::regions;
    const at::Tensor bias = ledger->bias(), score = result.score.to(at::kCPU, at::kDouble);
    result.bias_share = bias.div(score);
    const double whole = terms.sum(at::kDouble).item<double>() + bias.item<double>();
    detail::fill_in_completeness(result, {whole}, {score.item<double>()});
    return result;
  }

  static auto told(const M& model) {
    detail::require_bias_terms_model<M>();
    if constexpr (BiasTermsModel<M>) {
      return model.with_bias_terms();
    } else {
      return model;
    }
  }

  mutable decltype(told(std::declval<const M&>())) model_;
};

}  // namespace salience
