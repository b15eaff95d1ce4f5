// AttentionOptions: what can be chosen of methods that read attention.
#pragma once

#include <optional>

#include <salience/method/token_grid.hpp>

namespace salience {

/// What can be chosen of methods that read attention.
struct AttentionOptions {
  /// Which tokens are patches of the input, behind the class token and others: Tokens{height, width,
  /// leading}, of a signal with the height 1, of a volume with a depth. Not set, of a picture: all tokens but
  /// the first 1, 2 or 5 (a class token; and a distillation token; and four registers), whichever leaves a
  /// grid in the picture's aspect, or a square. The class token is the first of all.
  std::optional<Tokens> grid{};
  bool upsample = true;  ///< to the input's size, as CamOptions says; false: the grid
};

}  // namespace salience
