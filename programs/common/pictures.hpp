// The pictures of a folder and their masks.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

/// Small letters instead of large ones, of ASCII.
std::string lower(std::string text);

/// Can a file of this name be a picture? By its ending: .png, .jpg, .jpeg, .bmp, .gif, .tga.
bool is_picture(const std::filesystem::path& file);

/// The names of the pictures in a folder, sorted. Throws FileError if there are none.
std::vector<std::string> pictures(const std::filesystem::path& folder);

/// The mask of a picture of that name in the folder, which may be a PNG beside a picture of another type.
/// Empty if there is none.
std::filesystem::path mask_of(const std::filesystem::path& folder, const std::string& image);

/// The mask as the network sees its picture: (height, width) bool, the nearest of its pixels; 0 is outside,
/// all else inside. Throws FileError if it cannot be read.
at::Tensor load_mask(const std::filesystem::path& file, int height, int width);
