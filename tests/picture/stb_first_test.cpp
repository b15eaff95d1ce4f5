// A user's declarations of stb before ours; the implementation is in own_stb_test.cpp.
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#else
#include <stb_image.h>
#include <stb_image_write.h>
#endif

#include <salience/picture/image_io.hpp>

#include <doctest/doctest.h>

TEST_CASE("stb's declarations may come first, its implementation from another file") {
  const salience::Image image(2, 3, 1, {10, 20, 30, 40, 50, 60});
  const std::vector<std::uint8_t> png = salience::encode_image(image, ".png");
  int width = 0, height = 0, channels = 0;
  CHECK(stbi_info_from_memory(png.data(), static_cast<int>(png.size()), &width, &height, &channels) == 1);
  CHECK(width == 3);
  CHECK(height == 2);
  CHECK(salience::decode_image(png) == image);
}
