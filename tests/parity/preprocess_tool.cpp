// preprocess_tool PRESET IMAGE OUTPUT: the input tensor of a preset as raw float32, for test_preprocess.py.
#include <salience/input/preprocessor.hpp>
#include <salience/picture/image_io.hpp>

#include <iostream>
#include <string>

namespace sal = salience;

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    const sal::Image image = sal::load_image(argv[2]);
    const at::Tensor input = std::string(argv[1]) == "crop" ? sal::imagenet_crop_preprocessor()(image)
                                                            : sal::imagenet_preprocessor()(image);
    const auto* bytes = static_cast<const char*>(input.data_ptr());
    sal::write_file_atomically(argv[3], std::string_view(bytes, input.nbytes()));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
