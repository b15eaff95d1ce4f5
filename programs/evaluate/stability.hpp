// How much a method's map depends on its seed.
#pragma once

#include <salience/method/attribution.hpp>
#include <salience/metric/pixel_map.hpp>

#include <vector>

struct Stability {
  /// The mean of Pearson's correlation over all pairs of seeds, of the maps of pixels: in [-1, 1]. NaN where
  /// a map is not finite.
  double similarity;
  /// The spread that the values have between the seeds over the one that the method states (`values_error`,
  /// whose size over the map's is `standard_error`), each as the root of the sum over all values of the
  /// variance. NaN where the method states none of its values, or nothing above 0.
  double error_ratio;
};

/// Of one picture: `by_seed` has its attribution (N = 1) with each seed, two at least.
Stability stability(const std::vector<salience::Attribution>& by_seed, const salience::PixelMapOptions& map);
