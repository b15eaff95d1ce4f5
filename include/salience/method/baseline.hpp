// Baseline: where a path to the input begins.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/detail/blur.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// The input that stands for the absence of what is to be explained, from which Integrated Gradients goes to
/// the input. An attribution says what changed between the two, so what the baseline shares with the input
/// (black in a black picture) gets nothing. Several baselines are averaged over.
///
///     Baseline::zero()                               // the default: the mean colour, after normalisation
///     Baseline::mean()                               // the mean colour of each picture
///     Baseline::inpainted()                          // what is removed is filled from what stays around it
///     Baseline::tensor(preprocess(Image(224, 224, 3)))  // a black picture
///     Baseline::each(photos)                         // (B, C, H, W): expected gradients (Erion et al. 2021)
///     Baseline{[](const at::Tensor& x) { return x.flip({3}); }}
class Baseline {
 public:
  /// From the input (N, ...) to what broadcasts to its shape.
  using Function = std::function<at::Tensor(const at::Tensor&)>;

  /// One of the user's own: from the input (N, ...) to what broadcasts to its shape. A method that wraps the
  /// one with the baseline gives it rows of its own, so what it gives may depend on a row's values alone.
  explicit Baseline(Function function)
      : functions_{[function = std::move(function)](const at::Tensor& input, const at::Tensor&) {
          return function(input);
        }} {}

  /// Anything else does not compile, and is told why.
  template <class F>
  requires(!std::convertible_to<F, Function>) explicit Baseline(const F&) {
    static_assert(std::convertible_to<F, Function>,
                  "Salience: a baseline of one's own must take a const at::Tensor&, the input, and return an "
                  "at::Tensor; Baseline::constant and Baseline::tensor take values");
  }

  /// Zero everywhere.
  static Baseline zero() { return constant(0.0); }
  /// `value` everywhere.
  static Baseline constant(double value) {
    return Baseline([value](const at::Tensor& input) { return input.detach().new_full({}, value); });
  }
  /// A tensor that broadcasts to the input: (N, C, H, W), (1, C, H, W), (C, 1, 1), ... One of N rows has a
  /// row for each sample, also inside of a method that evaluates a sample many times.
  static Baseline tensor(at::Tensor values) {
    Baseline made = zero();
    made.functions_ = {[values = std::move(values)](const at::Tensor& input, const at::Tensor& samples) {
      const bool a_row_each = values.defined() && values.dim() == input.dim() && values.size(0) != 1;
      if (!samples.defined() || !a_row_each) return values;
      if (samples.max().item<std::int64_t>() >= values.size(0)) {
        throw ArgumentError(detail::concat("a baseline of shape ", detail::shape(values),
                                           " has no row for sample ", samples.max().item<std::int64_t>()));
      }
      return values.index_select(0, samples.to(values.device()));
    }};
    return made;
  }
  /// The input under a Gaussian blur of `sigma` pixels along all its places: a signal (N, C, L), a picture
  /// (N, C, H, W), a volume (N, C, D, H, W); 10 as Fong and Vedaldi (2017) take it for pictures.
  static Baseline blurred(double sigma = 10.0) {
    if (!(sigma > 0.0 && std::isfinite(sigma))) {
      throw ArgumentError::out_of_range("the blur of a baseline", sigma, "above 0 pixels");
    }
    return Baseline([sigma](const at::Tensor& input) {
      if (input.dim() < 3 || input.dim() > 5) {
        throw ArgumentError::out_of_range(
            "the input of a blurred baseline", detail::shape(input),
            "a batch of signals (N, C, L), pictures (N, C, H, W) or volumes (N, "
            "C, D, H, W)");
      }
      return detail::blur(detail::widened(input), sigma, detail::Border::nearest, input.dim() - 2);
    });
  }
  /// Each sample's own mean of each channel over its places, of (N, C, places...); of (N, D) its mean over D.
  static Baseline mean() {
    return Baseline([](const at::Tensor& input) {
      if (input.dim() < 2) {
        throw ArgumentError::out_of_range("the input of a mean baseline", detail::shape(input),
                                          "a batch (N, D) or (N, C, places...)");
      }
      const std::int64_t first = input.dim() > 2 ? 2 : 1;
      std::vector<std::int64_t> places(static_cast<std::size_t>(input.dim() - first));
      std::iota(places.begin(), places.end(), first);
      return detail::widened(input.detach()).mean(places, /*keepdim=*/true);
    });
  }
  /// What is missing of a picture (N, C, H, W) is filled from what stays around it, by the linear imputation
  /// of ROAD (Rong et al. 2022): each missing pixel is the weighted mean of its neighbours, 1/6 for the
  /// direct and 1/12 for the diagonal ones, solved for all missing pixels at once. Other than ROAD it adds no
  /// noise, so that the same input gives the same values. Where no pixel stays, each channel is filled with
  /// its mean over the picture. Float64 on the CPU, wherever the input is.
  ///
  /// What is filled in depends on what is missing. So this is for methods that remove whole pixels, all
  /// channels together: Occlusion, FeatureAblation, ShapleySampling, ShapleyExact, KernelShap and Lime. Any
  /// other throws ArgumentError, as those do for an input that is no picture and for a part that covers only
  /// some channels of a pixel.
  static Baseline inpainted() {
    Baseline made = zero();
    made.functions_ = {OfRows{}};
    return made;
  }
  /// Each entry of the first dimension, one after the other, for every sample.
  static Baseline each(const at::Tensor& baselines) {
    if (!baselines.defined() || baselines.dim() < 1 || baselines.size(0) < 1) {
      throw ArgumentError::out_of_range("baselines", detail::shape(baselines), "a batch of at least one");
    }
    std::vector<Baseline> single;
    for (std::int64_t i = 0; i < baselines.size(0); ++i) single.push_back(tensor(baselines[i]));
    return mean_of(single);
  }
  /// The attributions from each of these are averaged.
  static Baseline mean_of(const std::vector<Baseline>& baselines) {
    if (baselines.empty()) throw ArgumentError("there are no baselines to average over");
    Baseline all = baselines.front();
    for (std::size_t i = 1; i < baselines.size(); ++i) {
      const auto& more = baselines[i].functions_;
      all.functions_.insert(all.functions_.end(), more.begin(), more.end());
    }
    return all;
  }

  /// How many there are.
  std::size_t count() const { return functions_.size(); }
  /// Whether the i-th is `inpainted`, which has no values of its own.
  bool inpaints(std::size_t i = 0) const { return !functions_.at(i); }

  /// The i-th baseline of an input, in its shape, dtype and device. `samples` says which samples of the
  /// user's batch the rows are, (rows) int64, as FixedTarget::samples; undefined: row n is sample n. Throws
  /// ArgumentError if it does not broadcast to the input, and for one that is `inpainted`.
  at::Tensor operator()(const at::Tensor& input, std::size_t i = 0, const at::Tensor& samples = {}) const {
    if (inpaints(i)) {
      throw ArgumentError(
          "an in-painted baseline fills what is missing from what stays, so it needs a method that removes "
          "whole pixels: Occlusion, FeatureAblation, ShapleySampling, ShapleyExact, KernelShap or Lime");
    }
    const at::Tensor values = functions_.at(i)(input, samples);
    if (!values.defined()) throw ArgumentError("the baseline is an undefined tensor");
    try {
      return values.detach().to(input.device(), input.scalar_type()).expand_as(input);
    } catch (const c10::Error& error) {
      std::throw_with_nested(
          ArgumentError(detail::concat("a baseline of shape ", detail::shape(values),
                                       " does not fit an input of shape ", detail::shape(input))));
    }
  }

 private:
  /// From the input and the samples that its rows are.
  using OfRows = std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>;

  std::vector<OfRows> functions_;  // an empty one: inpainted
};

}  // namespace salience
