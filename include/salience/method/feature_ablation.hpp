// FeatureAblation: what happens to the score when a feature of the input is replaced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/ablation.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of FeatureAblation.
struct FeatureAblationOptions {
  /// Which feature each element belongs to: whole numbers, which broadcast to the input (N, ...); elements
  /// with one number are one feature of their sample. Undefined: each element is a feature.
  at::Tensor mask{};
  Baseline baseline = Baseline::zero();  ///< what replaces a feature; of several, the mean of the changes
  std::int64_t chunk = 0;                ///< evaluations at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};           ///< told after each feature; false stops and gives what there is
};

/// Feature ablation: each element of a feature gets \f$ s_c(x) - s_c(x_i) \f$, where x_i is x with feature i
/// as in the baseline. The same as Captum's FeatureAblation.
///
///     FeatureAblation method{model, {.mask = superpixels}};  // (1, 1, H, W), whole numbers
///     Attribution a = method(x);
///
/// It is a forward pass for each feature, of which nothing is recorded: any model will do, and the target
/// needs no gradient. The class is chosen once, on the input. What a run that is stopped did not reach is 0.
/// Throws ArgumentError for options out of range, a mask or a baseline that does not fit, and what the model
/// throws.
template <class M>
class FeatureAblation {
 public:
  /// `model` is any Model.
  explicit FeatureAblation(M model, FeatureAblationOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
  }

  /// The change for each element of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      const std::vector<std::vector<at::Tensor>> features = features_of(input);
      std::vector<std::int64_t> counts;
      counts.reserve(features.size());
      for (const std::vector<at::Tensor>& sample : features)
        counts.push_back(options_.mask.defined() ? static_cast<std::int64_t>(sample.size())
                                                 : input[0].numel());
      const auto run = detail::AblationRun{options_.baseline, options_.chunk, options_.progress};
      return detail::ablated(model_, input, wanted, run, counts,
                             [&](std::int64_t n, std::int64_t feature, const at::Tensor& row) {
                               return Covered{features.at(static_cast<std::size_t>(n)), feature, row};
                             });
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// The elements of a feature in a row.
  struct Covered {
    const std::vector<at::Tensor>& places;  ///< of each feature in the flat row; empty: one element each
    std::int64_t feature;
    const at::Tensor& row;

    at::Tensor places_here() const { return places.at(static_cast<std::size_t>(feature)).to(row.device()); }
    void copy_(const Covered& from) const {
      if (places.empty()) {
        row.view({-1})[feature].copy_(from.row.reshape({-1})[feature]);
      } else {
        row.view({-1}).index_copy_(0, places_here(),
                                   from.row.reshape({-1}).index_select(0, from.places_here()));
      }
    }
    void add_(double value) const {
      if (places.empty()) {
        row.view({-1})[feature].add_(value);
      } else {
        const at::Tensor here = places_here();
        row.view({-1}).index_add_(0, here, row.new_full({here.numel()}, value));
      }
    }
  };

  /// For each sample the places of each feature; none without a mask.
  std::vector<std::vector<at::Tensor>> features_of(const at::Tensor& input) const {
    std::vector<std::vector<at::Tensor>> features(static_cast<std::size_t>(input.size(0)));
    if (!options_.mask.defined()) return features;
    if (!detail::holds_integers(options_.mask)) {
      throw ArgumentError::out_of_range("the mask of FeatureAblation", options_.mask.scalar_type(),
                                        "of whole numbers");
    }
    at::Tensor mask;
    try {
      mask = options_.mask.to(at::kCPU, at::kLong).expand_as(input).contiguous();
    } catch (const c10::Error&) {
      std::throw_with_nested(
          ArgumentError(detail::concat("a mask of shape ", detail::shape(options_.mask),
                                       " does not fit an input of shape ", detail::shape(input))));
    }
    const std::int64_t size = input[0].numel();
    for (std::size_t n = 0; n < features.size(); ++n) {
      std::map<std::int64_t, std::vector<std::int64_t>> places;
      const std::int64_t* numbers = mask.data_ptr<std::int64_t>() + static_cast<std::int64_t>(n) * size;
      for (std::int64_t i = 0; i < size; ++i) places[numbers[i]].push_back(i);
      for (const auto& [number, own] : places)
        features[n].push_back(detail::vector_tensor<std::int64_t>(own));
    }
    return features;
  }

  mutable M model_;  // a model's call operator may be non-const
  FeatureAblationOptions options_;
};

}  // namespace salience
