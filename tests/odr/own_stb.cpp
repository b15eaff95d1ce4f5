// A program that has its own stb, as many have, with external linkage.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

#include "whole.hpp"

int own_stb() {
  const unsigned char pixels[3] = {1, 2, 3};
  int size = 0;
  unsigned char* png = stbi_write_png_to_mem(pixels, 3, 3, 1, 1, &size);
  int width = 0, height = 0, channels = 0;
  stbi_info_from_memory(png, size, &width, &height, &channels);
  STBIW_FREE(png);
  return width;
}
