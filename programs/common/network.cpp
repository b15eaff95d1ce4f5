#include "network.hpp"

#include <salience/io/pt.hpp>
#include <salience/model/load_model.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/target/target_selector.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>
#include <vector>

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

sal::OutputType output_type(const Settings& settings) {
  if (settings.output_type == "logits") return sal::OutputType::logits;
  return settings.output_type == "probabilities" ? sal::OutputType::probabilities
                                                 : sal::OutputType::automatic;
}

namespace {

/// A whole number, a number, a flag, None, a tensor's file, or the text itself.
sal::Binding binding(const std::string& text) {
  const std::size_t sign = text.find('=');
  sal::Binding bound{text.substr(0, sign), {}};
  const std::string value = text.substr(sign + 1);
  const char* end = value.data() + value.size();
  std::int64_t whole = 0;
  double number = 0.0;
  if (const auto [rest, error] = std::from_chars(value.data(), end, whole);
      error == std::errc{} && rest == end) {
    bound.value = whole;
  } else if (const auto [last, failure] = std::from_chars(value.data(), end, number);
             failure == std::errc{} && last == end) {
    bound.value = number;
  } else if (value == "True" || value == "False") {
    bound.value = value == "True";
  } else if (value.ends_with(".pt")) {
    const at::Tensor tensor = sal::load_pt(value);
    bound.value = tensor;
    bound.shared = tensor.dim() > 0 && tensor.size(0) != 1;  // a picture has one row
  } else if (value != "None") {
    bound.value = value;
  }
  return bound;
}

std::vector<sal::Binding> bindings(const Settings& settings) {
  std::vector<sal::Binding> all;
  for (const std::string& text : settings.bind) all.push_back(binding(text));
  return all;
}

sal::ModelOptions model_options(const Settings& settings) {
  return {.device = device(settings),
          .dtype = dtype(settings),
          .prepare = settings.prepare == "fast" ? sal::Prepare::fast : sal::Prepare::none,
          .output = settings.entry,
          .model = settings.archived,
          .bind = bindings(settings)};
}

}  // namespace

sal::GraphModel loaded_model(const Settings& settings) {
  return sal::load_model(settings.model, model_options(settings));
}

std::string take_input(Settings& settings) {
  const sal::InputSizes sizes = sal::load_input_sizes(settings.model, model_options(settings));
  if (sizes.empty()) return "";
  const auto fail = [&](const std::string& what) {
    return sal::FileError::at(settings.model, "takes inputs of shape " + sal::shape_text(sizes) + what);
  };
  if (sizes.size() != 4) throw fail(", which are no pictures");
  const std::int64_t channels = sizes[1].value_or(std::ssize(settings.mean));
  if (channels != 1 && channels != 3) throw fail("; pictures have 1 or 3 channels");
  if (!settings.mean_given && channels == 1) {  // the means of ImageNet's three
    settings.mean = {0.449F};
    settings.std = {0.226F};
  }
  if (channels != std::ssize(settings.mean)) {
    throw fail("; --mean and --std give another number of channels: " + std::to_string(settings.mean.size()));
  }
  if (!settings.size_given) {
    settings.height = static_cast<int>(sizes[2].value_or(settings.height));
    settings.width = static_cast<int>(sizes[3].value_or(settings.width));
    settings.size = std::to_string(settings.height) + "x" + std::to_string(settings.width);
  } else if ((sizes[2] && *sizes[2] != settings.height) || (sizes[3] && *sizes[3] != settings.width)) {
    throw fail(", but --size is " + settings.size);
  }
  std::string taken;
  if (!settings.size_given && sizes[2] && sizes[3]) taken = settings.size;
  const bool open = !settings.size_given && !(sizes[2] && sizes[3]);
  if (!settings.mean_given && sizes[1]) {
    taken += (taken.empty() ? "" : " with ") + std::to_string(channels) +
             (channels == 1 ? " channel" : " channels");
  }
  if (!taken.empty()) taken = "input " + taken + ", as the model's file says";
  if (open) {
    taken += (taken.empty() ? "input " : "; ") + settings.size + ", since the file leaves " +
             (sizes[2]   ? "the width"
              : sizes[3] ? "the height"
                         : "height and width") +
             " open: see --size";
  }
  return taken;
}

Preprocess preprocessor(const Settings& settings) {
  return Preprocess(sal::Resize{settings.height, settings.width},
                    sal::ToTensor{static_cast<int>(settings.mean.size())},
                    sal::Normalize{settings.mean, settings.std});
}

namespace {

at::Tensor grey(const Settings& settings, const Preprocess& preprocess, std::uint8_t brightness) {
  sal::Image picture(settings.height, settings.width, static_cast<int>(settings.mean.size()));
  std::ranges::fill(picture.pixels(), brightness);
  return preprocess(picture).to(device(settings), dtype(settings));
}

}  // namespace

at::Tensor black(const Settings& settings, const Preprocess& preprocess) {
  return grey(settings, preprocess, 0);
}

at::Tensor white(const Settings& settings, const Preprocess& preprocess) {
  return grey(settings, preprocess, 255);
}

sal::Labels class_labels(sal::Labels labels, const sal::GraphModel& model, const at::Tensor& input) {
  if (labels.size() != 1) return labels;
  const c10::NoGradGuard no_grad;
  const at::Tensor output = model(input);
  return output.dim() == 2 && output.size(1) == 1 ? sal::binary_labels(labels) : labels;
}

sal::Baseline baseline(const Settings& settings, const Preprocess& preprocess) {
  if (settings.baseline == "zero") return sal::Baseline::zero();
  if (settings.baseline == "blur") return sal::Baseline::blurred();
  if (settings.baseline == "mean") return sal::Baseline::mean();
  if (settings.baseline == "inpaint") return sal::Baseline::inpainted();
  std::error_code none;
  if (settings.baseline != "black" && !fs::exists(settings.baseline, none)) {
    throw sal::ArgumentError(
        "there is no --baseline '" + settings.baseline +
        "' and no file of that name; it is black, zero, mean, blur, inpaint or a picture's file");
  }
  const sal::Image picture = settings.baseline == "black" ? sal::Image(settings.height, settings.width,
                                                                       static_cast<int>(settings.mean.size()))
                                                          : sal::load_image(settings.baseline);
  return sal::Baseline::tensor(preprocess(picture));
}

std::optional<std::int64_t> class_index(const std::string& target, const sal::Labels& labels) {
  if (target == "argmax") return std::nullopt;
  std::int64_t index = 0;
  const char* end = target.data() + target.size();
  const auto [rest, error] = std::from_chars(target.data(), end, index);
  if (error == std::errc{} && rest == end) return index;
  if (labels.empty())
    throw sal::TargetError("the label '" + target + "' needs --labels; or give the class's index");
  return sal::find_label(target, labels);
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
