// What does a data set cost without attribute_dataset? The loop that one writes first: read, gradient, write,
// a batch after the other.
//
//     plain_loop MODEL.pt MANIFEST.txt SIZE FOLDER [--batch 8] [--threads 1] [--fast] [--model-only]
//
// Prints samples a second. --fast: with Prepare::fast. --model-only reads all pictures beforehand and writes
// nothing: what is left is the model's own time.

#include <ATen/Parallel.h>
#include <malloc.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <salience/salience.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace sal = salience;
namespace fs = std::filesystem;

int main(int argc, char** argv) {
  std::string file, list, folder;
  int size = 224, batch = 8, threads = 1;
  bool fast = false, model_only = false;
  CLI::App app{"Attributes pictures in a plain loop."};
  app.add_option("model", file)->required();
  app.add_option("manifest", list)->required();
  app.add_option("size", size)->required();
  app.add_option("folder", folder)->required();
  app.add_option("--batch", batch);
  app.add_option("--threads", threads);
  app.add_flag("--fast", fast);
  app.add_flag("--model-only", model_only);
  CLI11_PARSE(app, argc, argv);

  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // as attribute_dataset does
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  at::set_num_threads(threads);
  const auto model =
      sal::ScriptModel::load(file, {.prepare = fast ? sal::Prepare::fast : sal::Prepare::none});
  const sal::GradientAttributor attributor(model);
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  fs::create_directories(folder);

  std::vector<std::string> names;
  std::ifstream manifest(list);
  for (std::string name; std::getline(manifest, name);) names.push_back(name);
  std::vector<std::vector<std::string>> batches;
  for (const std::string& name : names) {
    if (batches.empty() || std::ssize(batches.back()) == batch) batches.emplace_back();
    batches.back().push_back(name);
  }
  const auto read = [&](const std::vector<std::string>& paths) {
    std::vector<at::Tensor> inputs;
    for (const std::string& path : paths) inputs.push_back(preprocess(sal::load_image(path)));
    return at::cat(inputs);
  };
  std::vector<at::Tensor> ready;
  if (model_only) {
    for (const auto& paths : batches) ready.push_back(read(paths));
  }

  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const sal::Attribution attribution = attributor(model_only ? ready[i] : read(batches[i]));
    if (model_only) continue;
    const std::vector<char> bytes = torch::jit::pickle_save(attribution.values);
    sal::write_file_atomically(fs::path(folder) / (std::to_string(i) + ".pt"),
                               std::string_view(bytes.data(), bytes.size()));
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << static_cast<double>(names.size()) / seconds.count() << '\n';
}
