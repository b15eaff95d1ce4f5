// Numbers in the files of other programs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace salience::detail {

/// The number that these bytes, at most eight, are with the least significant one first.
inline std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace salience::detail
