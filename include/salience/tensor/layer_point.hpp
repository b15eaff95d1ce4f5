// LayerPoint: where a model can be cut.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <salience/error.hpp>

namespace salience {

/// A tensor that a layer gives or takes. As text it is the layer's name, and behind that, where it is needed:
///
/// | text | meaning |
/// |---|---|
/// | `features.10` | what the layer gives |
/// | `features.10:input` | what it takes, the first tensor that its forward is given |
/// | `attention:input[1]` | the second one |
/// | `lstm[0]` | of a tuple that it gives the first |
/// | `lstm[1][0]` | of the tuple in the second place the first |
/// | `relu#0`, `relu#0:input` | of a layer that is used several times the first use; default: the last |
///
/// A file that was traced or exported does not say what else a layer took or gave in Python: positions count
/// what is used, as the file has it. So `lstm[0]` is `lstm` where Python's forward reads nothing else of it,
/// and of arguments the first is the one that the layer uses first.
struct LayerPoint {
  std::string layer;                    ///< its name in Python
  std::optional<std::size_t> use{};     ///< which use, from 0; default: the last
  bool input = false;                   ///< what it takes, not what it gives
  std::vector<std::size_t> position{};  ///< in the tuple that it gives, or among what it takes

  /// From a text as above. Throws ArgumentError if it is none.
  LayerPoint(const std::string& text) {
    std::string_view rest = text;
    const std::size_t end = std::min(rest.find_first_of("#:["), rest.size());
    layer = rest.substr(0, end);
    rest.remove_prefix(end);
    const auto fail = [&] {
      return ArgumentError(
          detail::concat("'", text,
                         "' is no place in a model: write the layer's name, and behind it #0 for its "
                         "first use, :input for what it takes, [0] for a position in a tuple"));
    };
    const auto number = [&] {
      std::size_t value = 0, digits = 0;
      for (; !rest.empty() && std::isdigit(static_cast<unsigned char>(rest.front())) != 0; ++digits) {
        value = value * 10 + static_cast<std::size_t>(rest.front() - '0');
        rest.remove_prefix(1);
      }
      if (digits == 0 || digits > 9) throw fail();
      return value;
    };
    const auto taken = [&rest](std::string_view word) {
      const bool there = rest.starts_with(word);
      if (there) rest.remove_prefix(word.size());
      return there;
    };
    if (taken("#")) use = number();
    input = taken(":input");
    while (taken("[")) {
      position.push_back(number());
      if (!taken("]")) throw fail();
    }
    if (layer.empty() || !rest.empty() || (input && position.size() > 1)) throw fail();
  }
  /// The same.
  LayerPoint(const char* text) : LayerPoint(std::string(text)) {}

  /// The text that it can be made from.
  std::string text() const {
    std::string result = layer;
    if (use) result += detail::concat("#", *use);
    if (input) result += ":input";
    for (const std::size_t i : position) result += detail::concat("[", i, "]");
    return result;
  }
};

/// One place in a model, or several.
class LayerPoints {
 public:
  /// One.
  LayerPoints(const char* text) : points_{LayerPoint(text)} {}
  /// One.
  LayerPoints(const std::string& text) : points_{LayerPoint(text)} {}
  /// One.
  LayerPoints(LayerPoint point) : points_{std::move(point)} {}
  /// Several.
  LayerPoints(std::initializer_list<LayerPoint> points) : LayerPoints(std::vector(points)) {}
  /// Several. Throws ArgumentError if there is none.
  LayerPoints(std::vector<LayerPoint> points) : points_(std::move(points)) {
    if (points_.empty()) throw ArgumentError::out_of_range("layer", "none", "one place or several");
  }

  /// The places, at least one.
  const std::vector<LayerPoint>& operator*() const noexcept { return points_; }

 private:
  std::vector<LayerPoint> points_;
};

}  // namespace salience
