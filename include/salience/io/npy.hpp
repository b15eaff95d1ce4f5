// load_npy and save_npy: tensors as numpy's files.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/io/detail/little_endian.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

namespace detail {

/// What numpy calls a type: its kind and its size in bytes.
struct NpyType {
  std::string_view name;
  at::ScalarType type;
};

inline constexpr std::array npy_types{
    NpyType{"f8", at::kDouble}, NpyType{"f4", at::kFloat}, NpyType{"f2", at::kHalf},
    NpyType{"i8", at::kLong},   NpyType{"i4", at::kInt},   NpyType{"i2", at::kShort},
    NpyType{"i1", at::kChar},   NpyType{"u1", at::kByte},  NpyType{"b1", at::kBool},
};

/// What the header of a .npy file says.
struct NpyHeader {
  std::string type;  ///< as numpy writes it: "<f4"
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Reads the header's text, which is a Python dict of strings, bools and tuples of integers.
class NpyHeaderReader {
 public:
  explicit NpyHeaderReader(std::string_view text) : rest_(text) {}

  /// Nothing if the text is no such dict. A type that is a list, as that of records, is left empty.
  std::optional<NpyHeader> read() {
    NpyHeader header;
    bool type = false, order = false, shape = false;
    if (!take('{')) return {};
    while (!take('}')) {
      const std::optional<std::string> key = string();
      if (!key || !take(':')) return {};
      if (*key == "descr" && !std::exchange(type, true)) {
        if (next() == '[') return header;
        const std::optional<std::string> name = string();
        if (!name) return {};
        header.type = *name;
      } else if (*key == "fortran_order" && !std::exchange(order, true)) {
        header.fortran_order = word("True");
        if (!header.fortran_order && !word("False")) return {};
      } else if (*key == "shape" && !std::exchange(shape, true)) {
        if (!tuple(header.shape)) return {};
      } else {
        return {};
      }
      if (!take(',') && next() != '}') return {};
    }
    if (!type || !order || !shape || next() != '\0') return {};
    return header;
  }

 private:
  /// The next character that is no space; '\0' at the end.
  char next() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n\t"), rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool take(char c) {
    if (c == '\0' || next() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view word) {
    next();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::optional<std::string> string() {
    const char quote = next();
    if (quote != '\'' && quote != '"') return {};
    const std::size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) return {};
    std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool tuple(std::vector<std::int64_t>& values) {
    if (!take('(')) return false;
    while (!take(')')) {
      const std::size_t digits =
          next() == '\0' ? 0 : std::min(rest_.find_first_not_of("0123456789"), rest_.size());
      if (digits == 0 || digits > 18) return false;
      std::int64_t value = 0;
      for (const char digit : rest_.substr(0, digits)) value = 10 * value + (digit - '0');
      rest_.remove_prefix(digits);
      take('L');  // of Python 2
      values.push_back(value);
      if (!take(',') && next() != ')') return false;
    }
    return true;
  }

  std::string_view rest_;
};

/// The product; nothing if it is too large for any file.
inline std::optional<std::uint64_t> npy_bytes(const std::vector<std::int64_t>& shape, std::uint64_t item) {
  // Also the strides of an empty tensor must fit.
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  std::uint64_t bytes = item;
  bool empty = false;
  for (const std::int64_t size : shape) {
    empty = empty || size == 0;
    const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1));
    if (bytes > most / factor) return {};
    bytes *= factor;
  }
  return empty ? 0 : bytes;
}

/// What stands in a file of which torch has no type.
inline std::string foreign_npy_type(const std::string& type) {
  if (type.empty()) return "holds records (a structured array); save their fields one by one";
  const char kind = type.find_first_of("<>=|") == 0 && type.size() > 1 ? type[1] : type[0];
  if (kind == 'O') return "holds Python objects, which only Python can read";
  if (kind == 'c') return "holds complex numbers; save their real and imaginary parts";
  return concat("holds values of numpy's type '", shortened(type),
                "'; known are float16, float32, float64, bool, uint8 and signed integers");
}

}  // namespace detail

/// The array of a .npy file (versions 1 to 3 of numpy's format), as a contiguous CPU tensor of the same type
/// and shape. Both byte orders and Fortran order are read; what stands behind the array is passed over, as
/// numpy does.
///
///     const at::Tensor mask = load_npy("mask.npy");
///
/// Throws FileError, with the file's path, if it cannot be read, is no .npy file, is cut off, or holds what
/// torch has no type for: records, objects, complex numbers, text, unsigned integers of more than 8 bits. No
/// more memory is taken than the file's size.
inline at::Tensor load_npy(const std::filesystem::path& path) {
  constexpr std::string_view magic("\x93NUMPY", 6);
  std::ifstream file = detail::open_file(path);
  std::error_code unknown;
  const std::uintmax_t known = std::filesystem::file_size(path, unknown);
  std::uint64_t left = unknown ? 0 : known;
  const auto take = [&](char* bytes, std::uint64_t count) {
    if (count > left || !file.read(bytes, static_cast<std::streamsize>(count))) {
      throw detail::file_error(path, "is cut off, or no .npy file");
    }
    left -= count;
  };
  const auto text = [&](std::uint64_t count) {
    if (count > left) throw detail::file_error(path, "is cut off, or no .npy file");
    std::string bytes(static_cast<std::size_t>(count), '\0');
    take(bytes.data(), count);
    return bytes;
  };

  const std::string begin = text(std::min<std::uint64_t>(magic.size() + 2, left));
  if (begin.size() < magic.size() + 2 || !begin.starts_with(magic)) {
    throw detail::file_error(path, "is no .npy file: it does not begin with numpy's mark");
  }
  const int version = static_cast<unsigned char>(begin[magic.size()]);
  if (version < 1 || version > 3) {
    throw detail::file_error(
        path, detail::concat("is of version ", version, " of numpy's format; known are 1 to 3"));
  }
  const std::uint64_t length = detail::little_endian(text(version == 1 ? 2 : 4));
  const std::string header_text = text(length);
  const auto header = detail::NpyHeaderReader(header_text).read();
  if (!header) throw detail::file_error(path, "has a header that is not as numpy writes it");

  const std::string_view name = header->type;
  const auto known_type =
      std::find_if(detail::npy_types.begin(), detail::npy_types.end(), [name](const detail::NpyType& type) {
        return name.size() == 3 && std::string_view("<>=|").find(name[0]) != std::string_view::npos &&
               name.substr(1) == type.name;
      });
  if (known_type == detail::npy_types.end()) {
    throw detail::file_error(path, detail::foreign_npy_type(header->type));
  }
  if (header->shape.size() > 64) {
    throw detail::file_error(
        path, detail::concat("has ", header->shape.size(), " dimensions; numpy has at most 64"));
  }
  const bool boolean = known_type->type == at::kBool;
  const std::uint64_t item = c10::elementSize(known_type->type);
  const std::optional<std::uint64_t> bytes = detail::npy_bytes(header->shape, item);
  if (!bytes || *bytes > left) {
    throw detail::file_error(path, "is cut off: its header promises more values than there are");
  }

  std::vector<std::int64_t> stored = header->shape;
  if (header->fortran_order) std::reverse(stored.begin(), stored.end());
  // A byte that is neither 0 nor 1 is no bool in C++.
  at::Tensor values = detail::empty(stored, boolean ? at::kByte : known_type->type);
  auto* data = static_cast<char*>(values.data_ptr());
  if (*bytes > 0) take(data, *bytes);
  const bool little = std::endian::native == std::endian::little;
  if (item > 1 && name[0] == (little ? '>' : '<')) {
    for (std::uint64_t i = 0; i < *bytes; i += item) std::reverse(data + i, data + i + item);
  }
  if (boolean) values = values.ne(0);
  if (!header->fortran_order) return values;
  std::vector<std::int64_t> backwards;
  for (auto i = static_cast<std::int64_t>(stored.size()); i-- > 0;) backwards.push_back(i);
  return values.permute(backwards).contiguous();
}

/// Writes a tensor as a .npy file, byte for byte as numpy's `save` does, in one step: see
/// write_file_atomically.
///
///     save_npy("map.npy", attribution.values);
///
/// Throws ArgumentError for a tensor that is undefined or sparse, or of a type that numpy or load_npy has
/// none for, such as bfloat16; FileError if the file cannot be written.
inline void save_npy(const std::filesystem::path& path, const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.layout() != at::kStrided || tensor.is_meta()) {
    throw ArgumentError::out_of_range(
        "the tensor of a .npy file",
        tensor.defined() ? detail::concat("layout ", tensor.layout()) : "(undefined)",
        "a dense tensor that holds its values");
  }
  const auto type =
      std::find_if(detail::npy_types.begin(), detail::npy_types.end(),
                   [&](const detail::NpyType& each) { return each.type == tensor.scalar_type(); });
  if (type == detail::npy_types.end()) {
    throw ArgumentError::out_of_range("the tensor of a .npy file", tensor.scalar_type(),
                                      "of a type that numpy has (bfloat16.to(at::kFloat) loses nothing)");
  }
  const at::Tensor values = tensor.detach().cpu().resolve_neg().contiguous();
  const bool little = std::endian::native == std::endian::little;
  const auto item = static_cast<std::size_t>(values.element_size());
  std::string shape;
  for (const std::int64_t size : values.sizes()) shape += detail::concat(shape.empty() ? "" : " ", size, ",");
  if (values.dim() > 1) shape.pop_back();
  std::string header = detail::concat("{'descr': '",
                                      item == 1 ? '|'
                                      : little  ? '<'
                                                : '>',
                                      type->name, "', 'fortran_order': False, 'shape': (", shape, "), }");
  // numpy leaves room for the first size to grow, and begins the values at a multiple of 64.
  constexpr std::size_t most_digits = 21, before = 10, alignment = 64;
  if (values.dim() > 0) header.append(most_digits - std::to_string(values.size(0)).size(), ' ');
  header.append(alignment - (before + header.size() + 1) % alignment, ' ').append(1, '\n');

  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 255);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  file.append(static_cast<const char*>(values.data_ptr()), values.nbytes());
  write_file_atomically(path, std::string_view(file));
}

}  // namespace salience
