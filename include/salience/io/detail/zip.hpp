// What a zip archive says of its entries, looked at before a reader believes it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <salience/io/detail/little_endian.hpp>

namespace salience::detail {

/// An entry as the archive's directory describes it.
struct ZipEntry {
  std::string name;
  std::uint64_t packed, size;  ///< bytes in the archive, and unpacked
  bool stored;                 ///< not compressed
};

/// Reads what stands in a zip's directory, little-endian; 0 beyond the end.
inline std::uint64_t zip_number(std::string_view bytes, std::size_t place, std::size_t size) {
  return place <= bytes.size() && size <= bytes.size() - place ? little_endian(bytes.substr(place, size)) : 0;
}

/// Replaces sizes of 4 GiB and more by what an extra field says of them: those alone that need it, in order.
inline bool read_large_sizes(std::string_view fields, ZipEntry& entry) {
  constexpr std::uint64_t elsewhere = 0xffffffff;
  if (entry.size != elsewhere && entry.packed != elsewhere) return true;
  while (fields.size() >= 4) {
    const std::string_view field = fields.substr(0, 4 + zip_number(fields, 2, 2));
    if (zip_number(field, 0, 2) == 1) {
      std::size_t place = 4;
      for (std::uint64_t* value : {&entry.size, &entry.packed}) {
        if (*value != elsewhere) continue;
        if (field.size() < place + 8) return false;
        *value = zip_number(field, place, 8);
        place += 8;
      }
      return true;
    }
    fields.remove_prefix(field.size());
  }
  return false;
}

/// The entries of an archive of this many bytes; nothing if it is cut off or no zip. `read(place, count)`
/// gives `count` bytes of it from `place` on, fewer where it ends.
template <class Read>
std::optional<std::vector<ZipEntry>> zip_entries(std::uint64_t archive, const Read& read) {
  constexpr std::size_t end_size = 22, locator_size = 20, large_size = 56, longest_comment = 65535,
                        head_size = 46;
  const std::uint64_t tail_size =
      std::min<std::uint64_t>(archive, end_size + locator_size + large_size + longest_comment);
  const std::string tail = read(archive - tail_size, tail_size);
  const std::size_t end = tail.rfind(std::string_view("PK\x05\x06", 4));
  if (end == std::string::npos || tail.size() - end < end_size) return std::nullopt;
  std::uint64_t count = zip_number(tail, end + 10, 2);
  std::uint64_t length = zip_number(tail, end + 12, 4), place = zip_number(tail, end + 16, 4);
  if (end >= locator_size + large_size &&
      tail.compare(end - locator_size, 4, std::string_view("PK\x06\x07", 4)) == 0) {
    const std::string large =
        read(std::min(zip_number(tail, end - locator_size + 8, 8), archive), large_size);
    if (!large.starts_with(std::string_view("PK\x06\x06", 4))) return std::nullopt;
    count = zip_number(large, 32, 8);
    length = zip_number(large, 40, 8);
    place = zip_number(large, 48, 8);
  }
  if (place > archive || length > archive - place) return std::nullopt;

  const std::string directory = read(place, length);
  std::string_view rest = directory;
  std::vector<ZipEntry> entries;
  for (; count > 0; --count) {
    if (rest.size() < head_size || !rest.starts_with(std::string_view("PK\x01\x02", 4))) return std::nullopt;
    const std::size_t name = zip_number(rest, 28, 2), extra = zip_number(rest, 30, 2);
    const std::size_t whole = head_size + name + extra + zip_number(rest, 32, 2);
    if (whole > rest.size()) return std::nullopt;
    ZipEntry entry{std::string(rest.substr(head_size, name)), zip_number(rest, 20, 4),
                   zip_number(rest, 24, 4), zip_number(rest, 10, 2) == 0};
    if (!read_large_sizes(rest.substr(head_size + name, extra), entry)) return std::nullopt;
    entries.push_back(std::move(entry));
    rest.remove_prefix(whole);
  }
  return entries;
}

/// Does every entry say of itself that it is no larger than the archive, and stored as it is? LibTorch takes
/// as much memory as an entry says it needs.
inline bool are_honest(const std::optional<std::vector<ZipEntry>>& entries, std::uint64_t archive) {
  return entries && std::all_of(entries->begin(), entries->end(), [archive](const ZipEntry& entry) {
           return entry.stored && entry.packed == entry.size && entry.size <= archive;
         });
}

/// The same of an archive in memory.
inline bool honest_zip(std::string_view bytes) {
  const auto read = [bytes](std::uint64_t place, std::uint64_t count) {
    return std::string(bytes.substr(static_cast<std::size_t>(place), static_cast<std::size_t>(count)));
  };
  return are_honest(zip_entries(bytes.size(), read), bytes.size());
}

}  // namespace salience::detail
