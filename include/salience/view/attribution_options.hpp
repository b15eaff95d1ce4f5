// The options of AttributionProcessor.
#pragma once

#include <optional>
#include <string>

namespace salience {

/// How a value that is NaN or infinite is treated.
enum class NonFinite {
  error,  ///< an ArgumentError that says how many there are
  zero,   ///< it is taken as 0; count_non_finite says how many there are
};

/// What is kept of a signed value x. The sign modes of other libraries are the same four under other names.
enum class Activation {
  none,      ///< x
  abs,       ///< |x|
  relu,      ///< max(x, 0)
  negative,  ///< max(-x, 0), the size of what speaks against the target
  all = none,
  absolute = abs,
  positive = relu,
};

/// How the channels of one pixel become one value. l2 is the square root of the sum of squares.
enum class ChannelReduction { mean, max, sum, l2 };

/// A scale that several pictures share.
struct ValueRange {
  double minimum;  ///< what is shown as 0
  double maximum;  ///< what is shown as 1
};

/// The steps are taken in this order, which is also that of designated initialisers; the outer braces are the
/// processor's: `AttributionProcessor view{{.activation = Activation::abs, .skew = 0.5}};`. The defaults
/// are those of the first of the four views (docs/methods/vanilla_gradient.md).
struct AttributionProcessorOptions {
  /// What NaN and infinities are, before all else.
  NonFinite non_finite = NonFinite::error;
  /// Value by value: see Activation.
  Activation activation = Activation::none;
  /// Below 100: values whose magnitude is above this percentile of all magnitudes (linearly interpolated, as
  /// numpy) are clipped to it. PAIR uses 99. In (0, 100].
  double percentile = 100.0;
  /// Take the channels together before normalising, not after.
  bool reduce_first = false;
  /// Subtract the minimum, then divide by the maximum if it is above 0; over all values of a picture
  /// together.
  bool normalize = true;
  /// The minimum and the maximum to normalise by, instead of the picture's own; what lies outside is clipped.
  std::optional<ValueRange> range{};
  /// After normalising: x to this power, above 0. Below 1 brings out small values. Only with `normalize`.
  std::optional<double> skew{};
  /// For a grayscale picture or a colour map.
  ChannelReduction channels = ChannelReduction::mean;
  /// uint8(255 * clip(x, 0, 1)) in three equal channels; wins over a colour map, with a warning (TORCH_WARN).
  bool grayscale = false;
  /// A name of colormap_names(); empty for none.
  std::string colormap{};
  /// The picture's share over a background, in [0, 1]. Half is pytorch-grad-cam's choice.
  double opacity = 0.5;
};

}  // namespace salience
