// Any bytes are a picture of at most max_pixels, or a FileError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <salience/picture/detail/picture_check.hpp>
#include <salience/picture/image_io.hpp>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

/// Gives PNG chunks their right check sums again, else no change to one would get past them.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned) {
  const std::span<std::uint8_t> file(data, LLVMFuzzerMutate(data, size, max_size));
  if (salience::detail::is_png(file)) {
    salience::detail::visit_png_chunks(file, [](auto body, auto sum) {
      const std::uint32_t right = salience::detail::crc32(body);
      for (int i = 0; i < 4; ++i)
        sum[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(right >> (24 - 8 * i));
      return true;
    });
  }
  return file.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::int64_t max_pixels = 1 << 14;
  try {
    const salience::Image image = salience::decode_image({data, size}, {.max_pixels = max_pixels});
    if (std::int64_t{image.height()} * image.width() > max_pixels) std::abort();
    if (image.channels() < 1 || image.channels() > 4) std::abort();
  } catch (const salience::FileError&) {
  }
  return 0;
}
