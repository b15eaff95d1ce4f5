// A user's own copy of stb in the same file as ours, after it and with other settings; stb_first_test.cpp
// holds the other order.
#include <salience/picture/contact_sheet.hpp>
#include <salience/picture/image_io.hpp>

#include <cstdlib>

namespace {
int own_allocations = 0;
void* own_malloc(std::size_t size) {
  ++own_allocations;
  return std::malloc(size);
}
}  // namespace

#define STBI_MALLOC(size) own_malloc(size)
#define STBI_REALLOC(memory, size) std::realloc(memory, size)
#define STBI_FREE(memory) std::free(memory)
#define STBI_ONLY_PNG
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_easy_font.h>
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#else
#include <stb_easy_font.h>
#include <stb_image.h>
#include <stb_image_write.h>
#endif

#include <doctest/doctest.h>

TEST_CASE("a program's own stb stays its own") {
  const salience::Image image(2, 3, 1, {10, 20, 30, 40, 50, 60});
  const std::vector<std::uint8_t> png = salience::encode_image(image, ".png");
  stbi_set_flip_vertically_on_load(1);
  CHECK(salience::decode_image(png) == image);
  CHECK(own_allocations == 0);

  int width = 0, height = 0, channels = 0;
  stbi_uc* own =
      stbi_load_from_memory(png.data(), static_cast<int>(png.size()), &width, &height, &channels, 0);
  stbi_set_flip_vertically_on_load(0);
  REQUIRE(own != nullptr);
  CHECK(own_allocations > 0);
  CHECK(own[0] == 40);  // flipped
  stbi_image_free(own);

  char text[] = "x";
  CHECK(stb_easy_font_width(text) == salience::detail::text_width("x"));
  static_cast<void>(stb_easy_font_height(text));
  static_cast<void>(stb_easy_font_print(0, 0, text, nullptr, nullptr, 0));
  stb_easy_font_spacing(0);
}
