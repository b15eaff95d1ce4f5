#include "page.hpp"

#include <salience/picture/image_io.hpp>

#include <algorithm>

namespace sal = salience;

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) text += k <= count ? digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::string data_uri(const sal::Image& picture) {
  return "data:image/png;base64," + base64(sal::encode_image(picture, ".png"));
}

std::string page(std::string_view html, const nlohmann::json& data) {
  std::string page(html);
  const std::string_view place = "{{data}}";
  std::string text = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // In JSON a < stands only in strings. Without it nothing in them can end the page's script.
  for (std::size_t i = 0; (i = text.find('<', i)) != std::string::npos;) text.replace(i, 1, "\\u003c");
  return page.replace(page.find(place), place.size(), text);
}
