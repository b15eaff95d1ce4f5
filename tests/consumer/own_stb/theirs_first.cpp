// The user's implementation, then ours.
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_PNG  // a setting of his that would break ours
#include <stb/stb_image.h>

#include <salience/picture/image_io.hpp>

bool theirs_first(const salience::Image& image) {
  const std::vector<std::uint8_t> png = salience::encode_image(image, ".png");
  int width = 0, height = 0, channels = 0;
  const bool his =
      stbi_info_from_memory(png.data(), static_cast<int>(png.size()), &width, &height, &channels) != 0;
  return !his && salience::decode_image(png) == image;
}
