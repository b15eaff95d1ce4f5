// Self-contained HTML pages: a template with the data of one run in it.
#pragma once

#include <salience/picture/image.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

std::string base64(std::span<const std::uint8_t> bytes);

/// The picture as a PNG file in a URI.
std::string data_uri(const salience::Image& picture);

/// The template with the data in the place of {{data}}. Whatever is not UTF-8 in it gets replacement
/// characters.
std::string page(std::string_view html, const nlohmann::json& data);
