// What must be known of a picture's file before stb_image may decode it, and is not seen by stb_image itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace salience::detail {

/// The number in `size` bytes from `first` on, the most significant byte first; bytes behind the end are 0.
inline std::size_t big_endian(std::span<const std::uint8_t> bytes, std::size_t first, std::size_t size) {
  std::size_t number = 0;
  for (std::size_t i = first; i < first + size; ++i)
    number = 256 * number + (i < bytes.size() ? bytes[i] : 0U);
  return number;
}

/// The check sum of PNG: CRC-32 of ISO 3309, with the polynomial 0xEDB88320.
inline std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  static constexpr std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < entries.size(); ++i) {
      std::uint32_t entry = i;
      for (int bit = 0; bit < 8; ++bit) entry = (entry >> 1) ^ (entry & 1U ? 0xEDB88320U : 0U);
      entries[i] = entry;
    }
    return entries;
  }();
  std::uint32_t sum = 0xFFFFFFFFU;
  for (const std::uint8_t byte : bytes) sum = (sum >> 8) ^ table[(sum ^ byte) & 0xFFU];
  return ~sum;
}

inline bool is_png(std::span<const std::uint8_t> bytes) {
  constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  return bytes.size() >= signature.size() && std::equal(signature.begin(), signature.end(), bytes.begin());
}

/// Calls `visit(body, sum)` for each whole chunk of a PNG file until one returns false: its type and data,
/// and where its check sum stands.
template <class Byte, class Visit>
void visit_png_chunks(std::span<Byte> bytes, const Visit& visit) {
  for (std::size_t i = 8; i + 12 <= bytes.size();) {
    const std::size_t length = big_endian(bytes, i, 4);
    if (length > bytes.size() - i - 12) return;
    if (!visit(bytes.subspan(i + 4, length + 4), bytes.subspan(i + 8 + length, 4))) return;
    i += 12 + length;
  }
}

/// stb does not look at check sums, and would show other pixels than were written.
inline std::string_view png_refusal(std::span<const std::uint8_t> bytes) {
  bool intact = true;
  visit_png_chunks(bytes, [&intact](auto body, auto sum) {
    intact = crc32(body) == big_endian(sum, 0, 4);
    constexpr std::size_t last = 0x49454E44;  // IEND
    return intact && big_endian(body, 0, 4) != last;
  });
  return intact ? "" : "is damaged: a check sum is wrong";
}

/// stb_image up to 2.27 writes past a Huffman table of more than 256 codes, and any stb_image decodes as many
/// scans as there are, each over the whole picture, so that a small file can take hours. stb gets from one
/// marker to the next only while the file is well formed, and then its markers are those that are met here.
inline std::string_view jpeg_refusal(std::span<const std::uint8_t> bytes) {
  constexpr int max_scans = 100;  // libjpeg writes 10 of a progressive picture
  constexpr unsigned start_of_image = 0xD8, end_of_image = 0xD9, start_of_scan = 0xDA, huffman_tables = 0xC4;
  // What follows the byte FF: 00 stands for FF among the data, FF is padding, D0 to D7 restart the decoder.
  const auto is_marker = [](unsigned code) {
    return code != 0 && code != 0xFF && (code < 0xD0 || code > 0xD7);
  };

  if (big_endian(bytes, 1, 1) != start_of_image) return "is not a JPEG picture, though it begins as one";
  int scans = 0;
  for (std::size_t i = 2; i + 1 < bytes.size();) {
    const unsigned marker = bytes[i + 1];
    if (bytes[i] != 0xFF || !is_marker(marker)) {
      ++i;
      continue;
    }
    if (marker == end_of_image) return scans == 0 ? "is damaged: it has no scan" : "";
    if (marker == start_of_scan && ++scans > max_scans) return "is damaged: it has more than 100 scans";
    i += 2;
    const std::size_t end = i + big_endian(bytes, i, 2);
    if (marker == huffman_tables) {
      for (std::size_t table = i + 2; table < end;) {
        std::size_t codes = 0;
        for (std::size_t length = 1; length <= 16; ++length) codes += big_endian(bytes, table + length, 1);
        if (codes > 256) return "is damaged: a Huffman table has more than 256 codes";
        table += 17 + codes;
      }
    }
    i = end;
  }
  return {};
}

/// stb does not scale the values, and swaps the bytes of 16 bits.
inline std::string_view pnm_refusal(std::span<const std::uint8_t> bytes) {
  const auto skip_while = [bytes](std::size_t i, const auto& wanted) {
    while (i < bytes.size() && wanted(bytes[i])) ++i;
    return i;
  };
  const auto is_space = [](unsigned c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  const auto is_digit = [](unsigned c) { return c >= '0' && c <= '9'; };
  const auto in_line = [](unsigned c) { return c != '\n' && c != '\r'; };

  std::size_t i = 2;
  std::size_t number = 0;
  for (int field = 0; field < 3; ++field) {  // width, height, largest value
    for (i = skip_while(i, is_space); i < bytes.size() && bytes[i] == '#';) {
      i = skip_while(skip_while(i, in_line), is_space);
    }
    number = 0;
    const std::size_t end = skip_while(i, is_digit);
    for (; i < end; ++i) number = std::min<std::size_t>(10 * number + bytes[i] - '0', 65536);
  }
  return number == 255 ? "" : "is a PNM picture whose largest value is not 255";
}

/// Why stb must not see this file, in words that follow its name; empty if it may.
inline std::string_view refusal(std::span<const std::uint8_t> bytes) {
  if (is_png(bytes)) return png_refusal(bytes);
  if (bytes.empty()) return {};
  if (bytes[0] == 0xFF) return jpeg_refusal(bytes);
  if (bytes[0] == 'P' && (big_endian(bytes, 1, 1) == '5' || big_endian(bytes, 1, 1) == '6'))
    return pnm_refusal(bytes);
  return {};
}

}  // namespace salience::detail
