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

#include <salience/detail/stb_push_macros.hpp>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_HDR  // floats without a scale of their own: no 8-bit pixels
#define STBI_NO_LINEAR
#define STBI_ASSERT(x) assert(x)
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

#include <salience/detail/stb_pop_macros.hpp>
