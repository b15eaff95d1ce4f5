#include "network.hpp"

#include <salience/picture/image_io.hpp>

namespace sal = salience;
namespace fs = std::filesystem;

at::ScalarType dtype(const Settings& settings) {
  if (settings.dtype == "float64") return at::kDouble;
  return settings.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

at::Device device(const Settings& settings) {
  const bool available = settings.device != "cpu" && at::hasCUDA();
  if (settings.device == "cuda" && !available) {
    throw sal::ModelError("this machine or this LibTorch has no CUDA device");
  }
  return available ? at::Device(at::kCUDA) : at::Device(at::kCPU);
}

sal::ScriptModelOptions model_options(const Settings& settings) {
  return {.device = device(settings),
          .dtype = dtype(settings),
          .prepare = settings.prepare == "fast" ? sal::Prepare::fast : sal::Prepare::none};
}

Preprocess preprocessor(const Settings& settings) {
  return Preprocess(sal::Resize{settings.height, settings.width},
                    sal::ToTensor{static_cast<int>(settings.mean.size())},
                    sal::Normalize{settings.mean, settings.std});
}

sal::Baseline baseline(const Settings& settings, const Preprocess& preprocess) {
  if (settings.baseline == "zero") return sal::Baseline::zero();
  if (settings.baseline == "blur") return sal::Baseline::blurred();
  const sal::Image picture = settings.baseline == "black" ? sal::Image(settings.height, settings.width,
                                                                       static_cast<int>(settings.mean.size()))
                                                          : sal::load_image(settings.baseline);
  return sal::Baseline::tensor(preprocess(picture));
}

std::string label_of(std::int64_t index, const sal::Labels& labels) {
  return index < static_cast<std::int64_t>(labels.size()) ? labels[static_cast<std::size_t>(index)]
                                                          : std::to_string(index);
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder)) {
    throw sal::FileError::at(folder.string(), "cannot be made a folder: " + error.message());
  }
}
