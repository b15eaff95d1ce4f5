// stb_easy_font as a private part of the file that includes this; see stb_image.hpp.
#pragma once

#pragma GCC system_header

#include <math.h>
#include <stdlib.h>
#include <cmath>
#include <cstdlib>

#if !__has_include(<stb/stb_easy_font.h>) && !__has_include(<stb_easy_font.h>)
#error "salience/picture/contact_sheet.hpp needs stb_easy_font.h (Debian's package libstb-dev)"
#endif

#pragma push_macro("INCLUDE_STB_EASY_FONT_H")
#undef INCLUDE_STB_EASY_FONT_H
namespace salience::detail::stb {
#if __has_include(<stb/stb_easy_font.h>)
#include <stb/stb_easy_font.h>
#else
#include <stb_easy_font.h>
#endif
}  // namespace salience::detail::stb
#pragma pop_macro("INCLUDE_STB_EASY_FONT_H")
