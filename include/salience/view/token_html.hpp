// token_values, token_html: words shaded by their numbers, as a piece of a page.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/picture/colormap.hpp>
#include <salience/picture/image.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of words that are shaded. The number v of a word gets the colour at (1 + v / range) /
/// 2, so that 0 has the middle one; beyond the range the colours end.
struct TokenViewOptions {
  std::string colormap = "RdBu_r";  ///< see colormap(); one whose middle is pale: red is for, blue against
  double range = 0.0;  ///< above 0: the same for several sentences; 0: the largest absolute number, default
  int width = 640;  ///< of a picture, at most, in pixels: there lines end; at least 32. The page has its own
  int scale = 2;    ///< of a picture: screen pixels to one of the font, 1 to 32
};

/// One number a token, from an attribution's values at an embedding: the sum over its dimension.
///
///     const Attribution a = IntegratedGradients{model.from("embedding", x)}(model.until("embedding")(x));
///     const std::vector<double> numbers = token_values(a.values);
///
/// `values` are (N, T, E), as an embedding gives, of which sample `sample` is taken; sums are in float64.
/// Throws ArgumentError for another shape and for a sample that there is not.
inline std::vector<double> token_values(const at::Tensor& values, std::int64_t sample = 0) {
  if (!values.defined() || values.dim() != 3) {
    throw ArgumentError::out_of_range("values of tokens", detail::shape(values), "of shape (N, T, E)");
  }
  if (sample < 0 || sample >= values.size(0)) {
    throw ArgumentError::out_of_range("sample", sample, detail::concat("one of ", values.size(0)));
  }
  const at::Tensor sums = values.detach()[sample].to(at::kCPU, at::kDouble).sum(-1).contiguous();
  const double* first = sums.data_ptr<double>();
  return {first, first + sums.numel()};
}

namespace detail {

using TokenColor = std::array<std::uint8_t, 3>;

/// A word's background, and dark letters on a light one, light letters on a dark one.
struct TokenShade {
  TokenColor background;
  TokenColor ink;
};

inline std::vector<TokenShade> token_shades(std::span<const std::string> words,
                                            std::span<const double> values, const TokenViewOptions& options) {
  if (words.empty() || words.size() != values.size()) {
    throw ArgumentError::out_of_range("words with one number each",
                                      concat(words.size(), " and ", values.size()),
                                      "as many of both, at least one");
  }
  if (!(options.range >= 0.0 && std::isfinite(options.range))) {
    throw ArgumentError::out_of_range("range", options.range, "a number of at least 0");
  }
  double range = options.range;
  for (const double value : values) {
    if (!std::isfinite(value)) throw ArgumentError::out_of_range("the number of a word", value, "finite");
    if (options.range == 0.0) range = std::max(range, std::abs(value));
  }
  const Colormap colors = colormap(options.colormap);
  const auto last = static_cast<double>(colors.size() - 1);
  std::vector<TokenShade> shades;
  for (const double value : values) {
    const double position = range > 0.0 ? 0.5 + 0.5 * (value / range) : 0.5;
    const double entry = std::clamp(std::floor(position * static_cast<double>(colors.size())), 0.0, last);
    const TokenColor background = colors[static_cast<std::size_t>(entry)];
    const Image pixel(1, 1, 3, {background.begin(), background.end()});
    const bool light = to_gray(pixel)(0, 0, 0) > 127;
    shades.push_back({background, light ? TokenColor{32, 32, 32} : TokenColor{255, 255, 255}});
  }
  return shades;
}

inline std::string hex_of(const TokenColor& color) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "#";
  for (const std::uint8_t byte : color) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

/// With its sign, to four digits.
inline std::string signed_number(double value) {
  return concat(value > 0.0 ? "+" : "", std::setprecision(4), value + 0.0);
}

/// Text that a page shows as it is; control characters become spaces.
inline std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c;
    }
  }
  return result;
}

}  // namespace detail

/// The words in a row, each on a background shaded by its number, as one HTML element, `<p>`: self-contained,
/// with its styles in it, no script and nothing to load. Lines break where the page says; a word's title is
/// its number.
///
///     file << token_html(words, token_values(a.values));
///
/// `words` are in UTF-8 and are escaped. Throws ArgumentError if there is no word, the numbers are not as
/// many or not finite, an option is out of range, or the colour map is unknown.
inline std::string token_html(std::span<const std::string> words, std::span<const double> values,
                              const TokenViewOptions& options = {}) {
  const std::vector<detail::TokenShade> shades = detail::token_shades(words, values, options);
  std::string html = "<p style=\"line-height:2\">\n";
  for (std::size_t i = 0; i < words.size(); ++i) {
    html += detail::concat("<span style=\"background:", detail::hex_of(shades[i].background),
                           ";color:", detail::hex_of(shades[i].ink),
                           ";padding:.2em .4em;border-radius:.25em\" title=\"",
                           detail::signed_number(values[i]), "\">", detail::escaped(words[i]), "</span>\n");
  }
  return html + "</p>\n";
}

}  // namespace salience
