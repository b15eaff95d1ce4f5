// Pictures of attributions that were computed elsewhere: numpy.save(x.astype("float32")) or torch.save(x).
//
//   09_pictures_only [ATTRIBUTION.npy|.pt PICTURE]      from the project's folder
//
// The attribution has the shape (H,W), (C,H,W) or (N,C,H,W); the picture is resized to H x W.
#include <torch/csrc/jit/serialization/pickle.h>
#include <salience/salience.hpp>

#include <cstring>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace sal = salience;

/// A .npy file of format 1.0 that holds float32 in C order, as most do.
at::Tensor load_npy(const std::string& path) {
  const std::vector<std::uint8_t> bytes = sal::read_file(path);
  constexpr std::size_t fixed = 10;  // magic, version, and the header's length in two bytes
  const bool known = bytes.size() > fixed && std::memcmp(bytes.data(), "\x93NUMPY\x01", 7) == 0;
  const std::size_t length = known ? bytes[8] + std::size_t{256} * bytes[9] : 0;
  if (!known || bytes.size() < fixed + length)
    throw sal::FileError::at(path, "is not a .npy file of format 1.0");
  const std::string header(bytes.begin() + fixed,
                           bytes.begin() + static_cast<std::ptrdiff_t>(fixed + length));
  if (header.find("'<f4'") == std::string::npos ||
      header.find("'fortran_order': False") == std::string::npos) {
    throw sal::FileError::at(path, "must hold float32 in C order: numpy.ascontiguousarray(x, 'float32')");
  }
  std::vector<std::int64_t> shape;
  std::istringstream numbers(header.substr(header.find('(') + 1));
  for (std::int64_t size = 0; numbers >> size; numbers.ignore(1)) shape.push_back(size);
  at::Tensor values = at::empty(shape, at::kFloat);
  if (bytes.size() - fixed - length != values.nbytes()) throw sal::FileError::at(path, "is cut off");
  std::memcpy(values.data_ptr(), bytes.data() + fixed + length, values.nbytes());
  return values;
}

at::Tensor load_pt(const std::string& path) {
  const std::vector<std::uint8_t> bytes = sal::read_file(path);
  return torch::jit::pickle_load({bytes.begin(), bytes.end()}).toTensor();
}

int main(int argc, char** argv) try {
  const std::string path = argc > 1 ? argv[1] : "examples/data/star_attribution.npy";
  const at::Tensor values = path.ends_with(".npy") ? load_npy(path) : load_pt(path);
  const sal::Image photo = sal::load_image(argc > 2 ? argv[2] : "examples/data/scene_star.png");
  const sal::Image picture =
      sal::resize(photo, static_cast<int>(values.size(-2)), static_cast<int>(values.size(-1)));

  const sal::AttributionProcessor gray{
      {.activation = sal::Activation::abs, .percentile = 99, .grayscale = true}};
  const sal::AttributionProcessor over{
      {.activation = sal::Activation::abs, .percentile = 99, .colormap = "inferno"}};
  sal::save_image("attribution.png", gray(values));
  sal::save_image("attribution_overlay.png", over(values, picture));
  std::cout << "a map of shape " << values.sizes() << '\n';
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
