// load_image and save_image: PNG, JPEG, BMP and what else stb reads. Opt-in, since it takes a second to
// compile and needs stb_image.h and stb_image_write.h (Debian's package libstb-dev).
#pragma once

#include <algorithm>
#include <cctype>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/picture/detail/picture_check.hpp>
#include <salience/picture/detail/stb_image.hpp>
#include <salience/picture/image.hpp>

namespace salience {

/// What load_image and decode_image accept.
struct LoadOptions {
  /// A picture of more pixels (height x width) is refused before any of it is decoded. The default is where
  /// Pillow calls a picture a decompression bomb.
  std::int64_t max_pixels = 178'956'970;
};

/// How save_image writes.
struct SaveOptions {
  /// For JPEG: 1 (small) to 100 (good). Above 90 colours keep their full resolution.
  int jpeg_quality = 95;
};

namespace detail {

/// Hands bytes to stb and remembers whether it asked for more than there were: stb itself takes missing bytes
/// for zeros, and gives a picture that is black from there on.
struct ByteReader {
  std::span<const std::uint8_t> bytes;
  std::size_t position = 0;
  bool exhausted = false;
  const char* buffer = nullptr;  ///< stb's own, where it asks for more than it knows to be there

  static int read(void* user, char* to, int size) {
    auto& self = *static_cast<ByteReader*>(user);
    if (!self.buffer) self.buffer = to;
    const std::size_t count = std::min(static_cast<std::size_t>(size), self.bytes.size() - self.position);
    const std::size_t needed = to == self.buffer ? 1 : static_cast<std::size_t>(size);
    if (count < needed) self.exhausted = true;
    if (count == 0) return 0;
    std::memcpy(to, self.bytes.data() + self.position, count);
    self.position += count;
    return static_cast<int>(count);
  }
  /// A negative count goes back.
  static void skip(void* user, int count) {
    auto& self = *static_cast<ByteReader*>(user);
    const auto target = static_cast<std::int64_t>(self.position) + count;
    self.position = static_cast<std::size_t>(
        std::clamp(target, std::int64_t{0}, static_cast<std::int64_t>(self.bytes.size())));
  }
  static int eof(void* user) {
    const auto& self = *static_cast<ByteReader*>(user);
    return self.position == self.bytes.size();
  }
};

/// The largest block of memory that any picture of this size needs: 16 bits of four channels, twice since the
/// unpacked data of PNG double their block until they fit, with JPEG's whole blocks of pixels at the borders;
/// the file's data, and as much again; a palette.
inline std::size_t largest_block(std::int64_t height, std::int64_t width, std::size_t file_size) {
  return static_cast<std::size_t>(16 * (height + 64) * (width + 64)) + 2 * file_size + (1 << 20);
}

/// `name` is what a message begins with. One function on purpose: the reason of a failure lies in a variable
/// of the object file whose copy of stb failed.
inline Image decode(std::span<const std::uint8_t> bytes, std::string_view name, const LoadOptions& options) {
  if (options.max_pixels <= 0) {
    throw ArgumentError::out_of_range("max_pixels", options.max_pixels, "a number above 0");
  }
  if (bytes.empty()) throw FileError::at(name, "is empty, not a picture");
  if (const std::string_view why = refusal(bytes); !why.empty()) throw FileError::at(name, why);
  const stb::stbi_io_callbacks callbacks{ByteReader::read, ByteReader::skip, ByteReader::eof};
  int width = 0;
  int height = 0;
  int channels = 0;
  ByteReader header{bytes};
  std::optional<StbMemory> memory(std::in_place, largest_block(1, 1, bytes.size()));
  if (!stb::salience_stbi_info_from_callbacks(&callbacks, &header, &width, &height, &channels)) {
    throw FileError::at(name,
                        "is not a PNG, JPEG, BMP, GIF, TGA, PSD or PNM picture, or its header is "
                        "damaged or announces too large a one");
  }
  height = std::abs(height);  // negative for a BMP picture that begins with the top row
  if (height == 0 || width <= 0) {
    throw FileError::at(name, concat("is damaged: its header announces ", height, "x", width, " pixels"));
  }
  if (const std::int64_t pixels = std::int64_t{width} * height; pixels > options.max_pixels) {
    throw FileError::at(name, concat("has ", height, "x", width, " = ", pixels,
                                     " pixels, more than max_pixels = ", options.max_pixels));
  }
  memory.emplace(largest_block(height, width, bytes.size()));
  ByteReader body{bytes};
  const std::unique_ptr<stb::stbi_uc, void (*)(void*)> pixels(
      stb::salience_stbi_load_from_callbacks(&callbacks, &body, &width, &height, &channels, 0),
      stb::salience_stbi_image_free);
  if (body.exhausted) throw FileError::at(name, "is cut off: the picture's data end too early");
  if (memory->refused()) {
    throw FileError::at(name, "is damaged: its data unpack to more than a picture of its size");
  }
  if (!pixels)
    throw FileError::at(
        name, concat("is damaged, cut off or of an unusual kind: ", stb::salience_stbi_failure_reason()));
  const std::size_t count =
      static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
  return Image(height, width, channels, std::vector<std::uint8_t>(pixels.get(), pixels.get() + count));
}

enum class FileFormat { png, jpeg, bmp };

/// The format that ".png", ".jpg", ".jpeg" or ".bmp" names, in any case; nothing for other extensions.
inline std::optional<FileFormat> file_format(std::string extension) {
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (extension == ".png") return FileFormat::png;
  if (extension == ".jpg" || extension == ".jpeg") return FileFormat::jpeg;
  if (extension == ".bmp") return FileFormat::bmp;
  return std::nullopt;
}

/// Throws ArgumentError if the format cannot hold the picture.
inline void require_encodable(const Image& image, FileFormat format, int jpeg_quality) {
  if (image.empty()) throw ArgumentError("a picture to save must have pixels, got an empty one");
  const int channels = image.channels();
  if (format == FileFormat::png && channels > 4) {
    throw ArgumentError::out_of_range("the number of channels of a PNG picture", channels, "1, 2, 3 or 4");
  }
  if (format == FileFormat::jpeg && channels != 1 && channels != 3) {
    throw ArgumentError::out_of_range("the number of channels of a JPEG picture", channels,
                                      "1 or 3 (to_rgb drops alpha)");
  }
  if (format == FileFormat::bmp && channels != 1 && channels != 3 && channels != 4) {
    throw ArgumentError::out_of_range("the number of channels of a BMP picture", channels, "1, 3 or 4");
  }
  if (jpeg_quality < 1 || jpeg_quality > 100) {
    throw ArgumentError::out_of_range("jpeg_quality", jpeg_quality, "from 1 to 100");
  }
  // stb counts a file's bytes in an int, and needs room for what it cannot compress; a JPEG header has 16
  // bits a side.
  const std::int64_t bytes = (std::int64_t{image.width()} * std::max(channels, 4) + 1) * image.height();
  if (bytes > INT_MAX / 2 ||
      (format == FileFormat::jpeg && std::max(image.height(), image.width()) > 65535)) {
    throw ArgumentError(concat("a picture of ", image.height(), "x", image.width(), "x", channels,
                               " is too large for the file format"));
  }
}

}  // namespace detail

/// The picture in a PNG, JPEG, BMP, GIF (its first frame), TGA, PSD or PNM file, with the file's number
/// of channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA. All give the values that Pillow gives, but JPEG
/// (within 3 levels of 255, CMYK 4, since the decoders differ), BMP of 16 bits (within 1), the colour of a
/// GIF's clear pixels, and PSD with alpha, from whose colours white is taken out. Not read are Radiance HDR,
/// whose floats have no scale, PNM as text or with a largest value other than 255, packed BMP, and JPEG of 12
/// bits, arithmetic or lossless.
///
/// A palette is expanded to RGB, or RGBA if it has transparent entries; gray of 1, 2 or 4 bits is spread over
/// 0-255; of 16 bits the high byte is kept; a transparent colour (PNG's tRNS) becomes an alpha channel; CMYK
/// becomes RGB. An EXIF orientation is not applied, as Pillow's `Image.open` does not.
///
/// stb_image is not hardened against hostile files. Kinds of files that are known to make it fail are refused
/// before it reads them, it gets no more memory than a picture of the stated size can need (16 bytes per
/// pixel in one block), and it is fuzzed together with these checks. Still, decode files from strangers in a
/// process that may crash, or decode them with another library and make an Image of the pixels.
///
/// Throws FileError, with the path and one sentence, if the file is missing, not regular, unreadable, not a
/// picture, cut off or damaged (of PNG every check sum is compared), has more than `max_pixels` pixels,
/// unpacks to more than they can be, or has more than 100 JPEG scans.
inline Image load_image(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return detail::decode(read_file(path), path.string(), options);
}

/// The picture in the bytes of such a file; everything else as with load_image.
inline Image decode_image(std::span<const std::uint8_t> bytes, const LoadOptions& options = {}) {
  return detail::decode(bytes, "the picture in memory", options);
}

/// The bytes of a file of the kind that `extension` names: ".png", ".jpg", ".jpeg" or ".bmp" in any case.
///
/// PNG takes 1 to 4 channels, JPEG 1 or 3, BMP 1, 3 or 4; JPEG and BMP hold gray as RGB. Throws ArgumentError
/// for another extension or number of channels, an empty picture, a size that the format cannot hold or a
/// quality outside 1-100.
inline std::vector<std::uint8_t> encode_image(const Image& image, std::string_view extension,
                                              const SaveOptions& options = {}) {
  const std::optional<detail::FileFormat> format = detail::file_format(std::string(extension));
  if (!format) {
    throw ArgumentError::out_of_range("a picture's extension", detail::concat("'", extension, "'"),
                                      ".png, .jpg, .jpeg or .bmp");
  }
  detail::require_encodable(image, *format, options.jpeg_quality);

  std::vector<std::uint8_t> file;
  const auto append = [](void* to, void* data, int size) {
    const auto* first = static_cast<const std::uint8_t*>(data);
    auto& whole = *static_cast<std::vector<std::uint8_t>*>(to);
    whole.insert(whole.end(), first, first + size);
  };
  const std::uint8_t* data = image.pixels().data();
  int done = 0;
  switch (*format) {
    case detail::FileFormat::png:
      done = detail::stb::stbi_write_png_to_func(append, &file, image.width(), image.height(),
                                                 image.channels(), data, image.width() * image.channels());
      break;
    case detail::FileFormat::jpeg:
      done = detail::stb::stbi_write_jpg_to_func(append, &file, image.width(), image.height(),
                                                 image.channels(), data, options.jpeg_quality);
      break;
    case detail::FileFormat::bmp:
      done = detail::stb::stbi_write_bmp_to_func(append, &file, image.width(), image.height(),
                                                 image.channels(), data);
      break;
  }
  if (!done) throw Error("the picture could not be encoded: not enough memory");
  return file;
}

/// Writes the picture as PNG, JPEG or BMP, by the path's extension; see encode_image for what each can hold.
///
/// The file is written atomically: an older file stays until the new one is complete. Throws ArgumentError as
/// encode_image does, FileError if the extension is unknown or the file cannot be written (missing folder,
/// full disk).
inline void save_image(const std::filesystem::path& path, const Image& image,
                       const SaveOptions& options = {}) {
  const std::string extension = path.extension().string();
  if (!detail::file_format(extension)) {
    throw detail::file_error(
        path,
        detail::concat("a picture's name must end in .png, .jpg, .jpeg or .bmp, not in '", extension, "'"));
  }
  write_file_atomically(path, encode_image(image, extension, options));
}

}  // namespace salience
