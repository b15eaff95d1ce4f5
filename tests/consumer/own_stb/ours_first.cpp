// Ours, then the user's implementation: of his reader alone, for his own file.
#include <salience/picture/image_io.hpp>

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <cstdio>

bool theirs_first(const salience::Image& image);  // theirs_first.cpp

bool ours_first(const salience::Image& image) {
  const std::vector<std::uint8_t> png = salience::encode_image(image, ".png");
  stbi_set_flip_vertically_on_load(1);
  int width = 0, height = 0, channels = 0;
  stbi_uc* his =
      stbi_load_from_memory(png.data(), static_cast<int>(png.size()), &width, &height, &channels, 0);
  const bool flipped = his != nullptr && his[0] == image(1, 0, 0);
  stbi_image_free(his);
  return flipped && salience::decode_image(png) == image;
}

int main() {
  const salience::Image image(2, 3, 1, {10, 20, 30, 40, 50, 60});
  const bool ours = ours_first(image), theirs = theirs_first(image);
  std::printf("ours first %d, theirs first %d\n", ours, theirs);
  return ours && theirs ? 0 : 1;
}
