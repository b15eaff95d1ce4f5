// stb_image and stb_image_write as a private part of the file that includes this: a user's own copy of stb,
// in another file or in the same one, before or after, neither clashes with ours nor changes it.
#pragma once

// No warning from stb whichever way it is found; this also holds for the files included below.
#pragma GCC system_header

// All that stb includes must come first: within our namespace its declarations would go astray.
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cassert>
#include <climits>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#if !(__has_include(<stb/stb_image.h>) && __has_include(<stb/stb_image_write.h>)) && \
    !(__has_include(<stb_image.h>) && __has_include(<stb_image_write.h>))
#error "salience/picture/image_io.hpp needs stb_image.h and stb_image_write.h (Debian's package libstb-dev)"
#endif

namespace salience::detail {

/// The memory that stb gets on this thread. A small file can ask for any amount: a PNG picture's data may
/// unpack to a thousand times their size, whatever size the picture has.
class StbMemory {
 public:
  /// Until its end, no block has more bytes than this.
  explicit StbMemory(std::size_t largest_block) : largest_block_(largest_block) { current_ = this; }
  StbMemory(const StbMemory&) = delete;
  StbMemory& operator=(const StbMemory&) = delete;
  ~StbMemory() { current_ = nullptr; }

  bool refused() const { return refused_; }

  static bool grants(std::size_t bytes) {
    if (bytes <= current_->largest_block_) return true;
    current_->refused_ = true;
    return false;
  }

 private:
  static inline thread_local StbMemory* current_ = nullptr;

  std::size_t largest_block_;
  bool refused_ = false;
};

/// Zeros, since stb shows memory that it never wrote where a damaged JPEG picture has no data. Of no block
/// above the limit: stb takes that for a lack of memory.
inline void* stb_allocate(std::size_t bytes) {
  return StbMemory::grants(bytes) ? std::calloc(1, bytes) : nullptr;
}
inline void* stb_reallocate(void* block, std::size_t bytes) {
  return StbMemory::grants(bytes) ? std::realloc(block, bytes) : nullptr;
}

}  // namespace salience::detail

#include <salience/picture/detail/stb_push_macros.hpp>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_HDR  // floats without a scale of their own: no 8-bit pixels
#define STBI_NO_LINEAR
#define STBI_NO_PIC  // a damaged one is a read at address 0
#define STBI_ASSERT(x) assert(x)
#define STBI_MALLOC(bytes) stb_allocate(bytes)
#define STBI_REALLOC(block, bytes) stb_reallocate(block, bytes)
#define STBI_FREE(block) std::free(block)
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(x) assert(x)

// stb_image declares these within extern "C", where g++ ignores the namespace when it names a static function
// in the assembly: a user's own copy in the same file would clash.
#define stbi__unpremultiply_on_load_thread salience_stbi__unpremultiply_on_load_thread
#define stbi_convert_iphone_png_to_rgb salience_stbi_convert_iphone_png_to_rgb
#define stbi_convert_iphone_png_to_rgb_thread salience_stbi_convert_iphone_png_to_rgb_thread
#define stbi_failure_reason salience_stbi_failure_reason
#define stbi_image_free salience_stbi_image_free
#define stbi_info_from_callbacks salience_stbi_info_from_callbacks
#define stbi_info_from_memory salience_stbi_info_from_memory
#define stbi_is_16_bit_from_callbacks salience_stbi_is_16_bit_from_callbacks
#define stbi_is_16_bit_from_memory salience_stbi_is_16_bit_from_memory
#define stbi_is_hdr_from_callbacks salience_stbi_is_hdr_from_callbacks
#define stbi_is_hdr_from_memory salience_stbi_is_hdr_from_memory
#define stbi_load_16_from_callbacks salience_stbi_load_16_from_callbacks
#define stbi_load_16_from_memory salience_stbi_load_16_from_memory
#define stbi_load_gif_from_memory salience_stbi_load_gif_from_memory
#define stbi_load_from_callbacks salience_stbi_load_from_callbacks
#define stbi_load_from_memory salience_stbi_load_from_memory
#define stbi_set_flip_vertically_on_load salience_stbi_set_flip_vertically_on_load
#define stbi_set_flip_vertically_on_load_thread salience_stbi_set_flip_vertically_on_load_thread
#define stbi_set_unpremultiply_on_load salience_stbi_set_unpremultiply_on_load
#define stbi_set_unpremultiply_on_load_thread salience_stbi_set_unpremultiply_on_load_thread
#define stbi_zlib_decode_buffer salience_stbi_zlib_decode_buffer
#define stbi_zlib_decode_malloc salience_stbi_zlib_decode_malloc
#define stbi_zlib_decode_malloc_guesssize salience_stbi_zlib_decode_malloc_guesssize
#define stbi_zlib_decode_malloc_guesssize_headerflag salience_stbi_zlib_decode_malloc_guesssize_headerflag
#define stbi_zlib_decode_noheader_buffer salience_stbi_zlib_decode_noheader_buffer
#define stbi_zlib_decode_noheader_malloc salience_stbi_zlib_decode_noheader_malloc

namespace salience::detail::stb {
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#else
#include <stb_image.h>
#include <stb_image_write.h>
#endif
}  // namespace salience::detail::stb

#include <salience/picture/detail/stb_pop_macros.hpp>
