// DeepLiftRule: by which of its rules DeepLIFT shares out what an activation changes.
#pragma once

namespace salience {

/// The rules of the paper for a nonlinearity y = f(u) between an input and a baseline (Shrikumar, Greenside,
/// Kundaje 2017).
enum class DeepLiftRule {
  rescale,  ///< one multiplier, \f$ \Delta y / \Delta u \f$
  /// What rises in u and what falls have multipliers of their own: each part's effect, as the mean of what it
  /// adds before the other part and behind it. So parts that cancel in u are still seen.
  reveal_cancel,
};

}  // namespace salience
