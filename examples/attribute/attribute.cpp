// The main job: a TorchScript classifier and a picture in, predictions and attribution pictures out.

#include <ATen/Parallel.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <salience/salience.hpp>

#include <charconv>
#include <filesystem>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "../progress_line.hpp"
#include "methods.hpp"
#include "options.hpp"
#include "warning_line.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

at::ScalarType dtype(const std::string& name) {
  if (name == "float64") return at::kDouble;
  return name == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

at::Device device(const std::string& name) {
  const bool available = name != "cpu" && at::hasCUDA();
  if (name == "cuda" && !available) throw sal::ModelError("this machine or this LibTorch has no CUDA device");
  return available ? at::Device(at::kCUDA) : at::Device(at::kCPU);
}

/// The class that --target names, checked against nothing yet: the selector checks it against the model's
/// output.
std::optional<std::int64_t> class_index(const std::string& target, const sal::Labels& labels) {
  if (target == "argmax") return std::nullopt;
  std::int64_t index = 0;
  const char* end = target.data() + target.size();
  const auto [rest, error] = std::from_chars(target.data(), end, index);
  if (error == std::errc{} && rest == end) return index;
  return sal::find_label(target, labels);
}

using Method = std::function<sal::Attribution(const at::Tensor&, const std::optional<std::int64_t>&)>;

template <class A>
Method with_target(A attributor) {
  return [attributor](const at::Tensor& input, const std::optional<std::int64_t>& index) {
    return index ? attributor(input, sal::ClassIndex{*index}) : attributor(input);
  };
}

/// Every name of method_names().
std::map<std::string, Method> methods(const sal::ScriptModel& model) {
  return {{"vanilla", with_target(sal::GradientAttributor(model))}};
}

struct View {
  std::string name;
  sal::AttributionProcessor<> processor;
};

/// The article's four views.
std::vector<View> views() {
  using sal::Activation;
  return {
      {"no_activation", sal::AttributionProcessor<>{{}}},
      {"relu_hot", sal::AttributionProcessor<>{{.activation = Activation::relu, .colormap = "hot"}}},
      {"abs_coolwarm",
       sal::AttributionProcessor<>{{.activation = Activation::abs, .skew = 0.5, .colormap = "coolwarm"}}},
      {"abs_grayscale",
       sal::AttributionProcessor<>{{.activation = Activation::abs, .skew = 0.8, .grayscale = true}}},
  };
}

void write_tensor(const fs::path& path, const at::Tensor& tensor) {
  const std::vector<char> bytes = torch::jit::pickle_save(tensor.cpu().contiguous());
  sal::detail::write_file_atomically(path, std::string_view(bytes.data(), bytes.size()));
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

void run(const Options& options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  at::manual_seed(options.seed);

  const sal::Labels labels = options.labels.empty() ? sal::Labels{} : sal::load_labels(options.labels);
  const std::optional<std::int64_t> index = class_index(options.target, labels);
  const sal::Image image = sal::load_image(options.image);
  const at::Device where = device(options.device);
  const auto model = sal::ScriptModel::load(
      options.model, {.device = where,
                      .dtype = dtype(options.dtype),
                      .prepare = options.prepare == "fast" ? sal::Prepare::fast : sal::Prepare::none});
  const sal::Preprocessor preprocess(sal::Resize{options.height, options.width},
                                     sal::ToTensor{static_cast<int>(options.mean.size())},
                                     sal::Normalize{options.mean, options.std});
  const at::Tensor input = preprocess(image).to(where, dtype(options.dtype));
  const sal::Image seen = preprocess.picture(input);

  const fs::path folder = options.output;
  make_folder(folder);
  const auto path = [&folder](const std::string& name) { return folder / name; };
  sal::save_image(path("input.png"), seen);

  const auto known = methods(model);
  std::vector<sal::ContactSheetCell> sheet{{seen, "input"}};
  nlohmann::json summary;
  ProgressLine progress(static_cast<long>(options.methods.size()));
  long done = 0;
  for (const std::string& method : options.methods) {
    progress.at(done++, method);
    const sal::Attribution attribution = known.at(method)(input, index);
    if (summary.empty()) {
      summary["top"] = nlohmann::json::array();
      for (const sal::Prediction& p : sal::top_k(attribution.logits, labels, options.top)) {
        std::cout << p.label << ' ' << p.probability << '\n';
        summary["top"].push_back({{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
      }
      const auto target = attribution.target.item<std::int64_t>();
      summary["target"] = target;
      summary["target_label"] = label_of(target, labels);
      summary["score"] = attribution.score.to(at::kDouble).item<double>();
      std::cout << "target: " << label_of(target, labels) << " (class " << target << "), score "
                << attribution.score.to(at::kDouble).item<double>() << '\n';
      sal::detail::write_file_atomically(path("prediction.json"), summary.dump(2) + "\n");
    }
    const at::Tensor values = attribution.values;
    std::cout << method << ": shape " << sal::detail::shape(values) << ", minimum "
              << values.min().to(at::kDouble).item<double>() << ", maximum "
              << values.max().to(at::kDouble).item<double>() << '\n';
    write_tensor(path(method + ".pt"), values);
    for (const View& view : views()) {
      const sal::Image picture = view.processor(values);
      sal::save_image(path(method + "_" + view.name + ".png"), picture);
      sheet.push_back({picture, method + " " + view.name});
    }
    const sal::AttributionProcessor over{
        {.activation = sal::Activation::abs, .percentile = 99, .skew = 0.5, .colormap = "inferno"}};
    sheet.push_back({over(values, seen), method + " overlay"});
    sal::save_image(path(method + "_overlay.png"), sheet.back().picture);
  }
  sal::save_image(path("figure.png"), sal::contact_sheet(sheet));
}

}  // namespace

int main(int argc, char** argv) {
  const WarningLine warnings;
  Options options;
  if (const int status = parse(argc, argv, options); status >= 0) return status;
  try {
    run(options);
  } catch (const std::exception& error) {
    std::cerr << "attribute: " << sal::detail::first_cause(error) << '\n';
    return 1;
  }
  return 0;
}
