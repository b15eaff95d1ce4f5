// GradientShapOptions: what can be chosen of Gradient SHAP.
#pragma once

#include <cstdint>
#include <optional>

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>

namespace salience {

/// What can be chosen of GradientShap and LayerGradientShap.
struct GradientShapOptions {
  std::int64_t samples = 5;  ///< draws for each sample, at least 1; Captum's default
  double noise = 0.0;  ///< standard deviation of what is added to the input, at least 0; Captum's default
  /// Where the lines begin: of several, Baseline::each, one is drawn at a time. Not set: zero.
  std::optional<Baseline> baseline{};
  std::uint64_t seed = 0;       ///< the same seed gives the same draws, bit for bit
  std::int64_t chunk = 0;       ///< draws evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each draw; false stops and gives what there is
};

}  // namespace salience
