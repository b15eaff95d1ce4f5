// FeaturePermutation: what happens to the score when a feature comes from another sample.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/hashed_draw.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/feature_ablation.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of FeaturePermutation.
struct FeaturePermutationOptions {
  FeatureMask mask{};        ///< which feature each element belongs to: see FeatureMask
  std::int64_t samples = 1;  ///< how many permutations of the batch are averaged over; Captum takes one
  std::uint64_t seed = 0;    ///< the same seed gives the same permutations
  at::Tensor
      permutations{};      ///< (P, N) whole numbers, to take these instead: row n gets sample p[n]'s feature
  std::int64_t chunk = 0;  ///< evaluations at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each evaluation; false stops and gives what there is
};

/// Permutation feature importance of each sample (Fisher, Rudin, Dominici: "All Models are Wrong, but Many
/// are Useful", 2019; Captum's FeaturePermutation): \f$ s_c(x) - s_c(x_i) \f$, where x_i has feature i of
/// another sample of the batch, so that it is replaced by what does occur.
///
///     FeaturePermutation method{model, {.mask = superpixels, .samples = 10}};
///     Attribution a = method(photos);  // (N, ...), N at least 2
///
/// The samples of a batch are each other's baselines, so they belong together: unlike every other method, a
/// sample's values depend on the batch. A permutation is the same for all features, and may leave a sample in
/// its place, where the change is 0. Of several permutations, `values_error` and `standard_error` are those
/// of the mean. Otherwise as FeatureAblation. Throws ArgumentError for a batch of one.
template <class M>
class FeaturePermutation {
 public:
  /// `model` is any Model.
  explicit FeaturePermutation(M model, FeaturePermutationOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
    if (options_.samples < 1) throw ArgumentError::out_of_range("samples", options_.samples, "at least 1");
  }

  /// The change for each element of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      if (detail::samples_of(wanted).defined()) {
        throw ArgumentError(
            "FeaturePermutation is for a whole batch, whose samples lend each other their features: no other "
            "method "
            "can wrap it");
      }
      std::vector<Baseline> others;
      for (const at::Tensor& permutation : permutations(input.size(0))) {
        others.push_back(Baseline([order = permutation.to(input.device())](const at::Tensor& x) {
          return x.detach().index_select(0, order);
        }));
      }
      return detail::ablate_features(
          model_, input, wanted,
          {options_.mask, Baseline::mean_of(others), options_.chunk, options_.progress});
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  std::vector<at::Tensor> permutations(std::int64_t count) const {
    if (count < 2) {
      throw ArgumentError::out_of_range("the batch of FeaturePermutation", count,
                                        "of at least 2 samples, which lend each other their features");
    }
    std::vector<at::Tensor> all;
    if (!options_.permutations.defined()) {
      for (std::int64_t draw = 0; draw < options_.samples; ++draw) {
        all.push_back(
            detail::vector_tensor<std::int64_t>(detail::HashedDraw(options_.seed, draw).permutation(count)));
      }
      return all;
    }
    const at::Tensor& given = options_.permutations;
    if (!detail::holds_integers(given) || given.dim() != 2 || given.size(0) < 1 || given.size(1) != count ||
        given.min().template item<std::int64_t>() < 0 || given.max().template item<std::int64_t>() >= count) {
      throw ArgumentError::out_of_range(
          "the permutations", detail::shape(given),
          detail::concat("(P, ", count, ") whole numbers of at least 0 and below ", count));
    }
    for (std::int64_t p = 0; p < given.size(0); ++p) all.push_back(given[p].to(at::kLong));
    return all;
  }

  mutable M model_;  // a model's call operator may be non-const
  FeaturePermutationOptions options_;
};

}  // namespace salience
