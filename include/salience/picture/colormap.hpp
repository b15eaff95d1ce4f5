// Colormap: from a heatmap's values to colours, with matplotlib's maps by name.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/detail/colormap_tables.hpp>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/image.hpp>

namespace salience {

/// A row of colours that stand for the values from 0 to 1.
///
///     Image picture = colormap("coolwarm")(heatmap);
class Colormap {
 public:
  using Color = std::array<std::uint8_t, 3>;  ///< red, green, blue

  /// A map of your own: the first colour stands for 0, the last for 1. Throws ArgumentError if there is none.
  explicit Colormap(const std::vector<Color>& colors)
      : palette_(static_cast<double>(colors.size()), entries(colors)) {
    if (colors.empty()) throw ArgumentError("a colour map needs at least one colour, got none");
  }

  /// The number of colours: 256 for the named maps, 510 for twilight.
  std::size_t size() const noexcept { return palette_.entries().size(); }

  /// The colour at `entry`, which is below size(); this is not checked.
  Color operator[](std::size_t entry) const noexcept {
    const auto& color = palette_.entries()[entry];
    return {color[0], color[1], color[2]};
  }

  /// The heatmap in colours, as RGB of the same height and width.
  ///
  /// A value x in [0, 1) gets the colour at floor(x * size()), computed in `Scalar` as matplotlib does; 1 and
  /// all above, infinity included, get the last, all below 0 the first. Throws ArgumentError if the heatmap
  /// is empty or holds NaN.
  template <class Scalar>
  Image operator()(const BasicHeatmap<Scalar>& heatmap) const {
    return palette_(heatmap);
  }

  /// The colours as they are painted with.
  const detail::Palette& palette() const noexcept { return palette_; }

 private:
  static std::vector<detail::Palette::Entry> entries(const std::vector<Color>& colors) {
    std::vector<detail::Palette::Entry> entries;
    entries.reserve(colors.size());
    for (const Color& color : colors) entries.push_back({color[0], color[1], color[2], 0});
    return entries;
  }

  detail::Palette palette_;
};

namespace detail {

/// The number that two hexadecimal digits at `position` stand for.
inline std::uint8_t hex_byte(std::string_view digits, std::size_t position) {
  const auto value = [](char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; };
  return static_cast<std::uint8_t>(16 * value(digits[position]) + value(digits[position + 1]));
}

inline Colormap::Color hex_color(std::string_view digits, std::size_t position) {
  return {hex_byte(digits, position), hex_byte(digits, position + 2), hex_byte(digits, position + 4)};
}

}  // namespace detail

/// The names that colormap() knows, each map followed by its reverse: "viridis", "viridis_r", "plasma", ...
inline std::vector<std::string> colormap_names() {
  std::vector<std::string> names;
  for (const detail::ColormapTable& table : detail::colormap_tables) {
    names.emplace_back(table.name);
    names.emplace_back(detail::concat(table.name, "_r"));
  }
  return names;
}

/// One of matplotlib's maps by its name there, `_r` for the reverse; see colormap_names(). The colours are,
/// byte for byte, numpy's `(matplotlib.colormaps[name](x)[..., :3] * 255).astype(uint8)`.
///
/// Throws ArgumentError for an unknown name, with the nearest known ones.
inline Colormap colormap(std::string_view name) {
  const bool reversed = name.ends_with("_r");
  const std::string_view plain = reversed ? name.substr(0, name.size() - 2) : name;
  for (const detail::ColormapTable& table : detail::colormap_tables) {
    if (table.name != plain) continue;
    const std::size_t size = table.entries.size() / 6;
    std::vector<Colormap::Color> colors(size);
    for (std::size_t i = 0; i < size; ++i) {
      colors[i] = detail::hex_color(table.entries, 6 * (reversed ? size - 1 - i : i));
    }
    if (reversed) {
      for (std::size_t i = 0; i < table.reversed_changes.size(); i += 8) {
        colors[detail::hex_byte(table.reversed_changes, i)] =
            detail::hex_color(table.reversed_changes, i + 2);
      }
    }
    return Colormap(colors);
  }
  throw ArgumentError::unknown_name("colour map", name, colormap_names());
}

}  // namespace salience
