#include "pictures.hpp"

#include <ATen/ATen.h>
#include <salience/picture/image_io.hpp>

#include <algorithm>
#include <array>

namespace sal = salience;
namespace fs = std::filesystem;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

bool is_picture(const fs::path& file) {
  constexpr std::array known{".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tga"};
  return std::ranges::find(known, lower(file.extension().string())) != known.end();
}

std::vector<std::string> pictures(const fs::path& folder) {
  std::error_code error;
  const fs::directory_iterator files(folder, error);
  if (error) throw sal::FileError::at(folder.string(), "is no folder that can be read: " + error.message());
  std::vector<std::string> names;
  for (const fs::directory_entry& file : files) {
    if (is_picture(file.path())) names.push_back(file.path().filename().string());
  }
  if (names.empty()) throw sal::FileError::at(folder.string(), "there are no pictures in it");
  std::ranges::sort(names);
  return names;
}

fs::path mask_of(const fs::path& folder, const std::string& image) {
  if (folder.empty()) return {};
  std::error_code none;  // a name that no file can have is no mask
  fs::path file = folder / image;
  if (!fs::exists(file, none)) file.replace_extension(".png");
  return fs::exists(file, none) ? file : fs::path();
}

at::Tensor load_mask(const fs::path& file, int height, int width) {
  const sal::Image mask = sal::to_rgb(sal::load_image(file));  // which drops alpha
  at::Tensor inside = at::zeros({height, width}, at::kBool);
  bool* next = inside.data_ptr<bool>();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int v = (2 * y + 1) * mask.height() / (2 * height);
      const int u = (2 * x + 1) * mask.width() / (2 * width);
      *next++ = mask(v, u, 0) != 0 || mask(v, u, 1) != 0 || mask(v, u, 2) != 0;
    }
  }
  return inside;
}
