// What a torch.export program costs beside the same network as TorchScript: loading, memory while loading, a
// prepared gradient. The network's files FOLDER/NAME.pt and FOLDER/NAME.pt2 are those of export_models.py.
//
//   exported FOLDER [ROUNDS] NAME...                  rounds of both kinds take turns; medians
//   exported --load KIND FILE                         loads once: seconds, and the peak of memory in MiB
//
// KIND: pt or pt2 by this library, jit by torch::jit::load alone, none loads nothing. Every kind loads the
// shipped network first, by which LibTorch makes its own tables (10 MiB).
#include <salience/method/gradient_attributor.hpp>
#include <salience/model/load_model.hpp>

#include <ATen/Parallel.h>
#include <torch/script.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "turns.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

using bench::median;
using bench::seconds_since;

/// The most memory that this process has had, in MiB.
double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  throw std::runtime_error("there is no /proc/self/status");
}

int load_once(const std::string& kind, const std::string& file) {
  const fs::path shipped = fs::path(SALIENCE_EXAMPLE_DATA_DIR) / "scenes.pt";
  sal::load_model(shipped);
  sal::load_model(shipped.string() + "2");
  const auto start = bench::Clock::now();
  if (kind == "pt") sal::ScriptModel::load(file);
  if (kind == "pt2") sal::ExportedModel::load(file);
  if (kind == "jit") torch::jit::load(file, at::Device(at::kCPU));
  std::cout << seconds_since(start) << ' ' << peak_memory() << '\n';
  return 0;
}

struct Load {
  double seconds, memory;
};

/// In a process of its own.
Load load(const std::string& program, const std::string& kind, const fs::path& file) {
  const std::string command = program + " --load " + kind + " '" + file.string() + "'";
  FILE* const pipe = popen(command.c_str(), "r");  // NOLINT(cert-env33-c): itself
  if (!pipe) throw std::runtime_error("cannot run " + command);
  Load result{};
  const int read = std::fscanf(pipe, "%lf %lf", &result.seconds, &result.memory);  // NOLINT(cert-err34-c)
  if (pclose(pipe) != 0 || read != 2) throw std::runtime_error("failed: " + command);
  return result;
}

void compare_loading(const std::string& program, const fs::path& folder, const std::string& name,
                     int rounds) {
  const std::array<std::string, 4> kinds{"none", "jit", "pt", "pt2"};
  std::array<std::vector<double>, 4> seconds, memory;
  for (int round = 0; round <= rounds; ++round) {  // the first brings the files into the system's cache
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      const Load one = load(program, kinds[i], folder / (name + (kinds[i] == "pt2" ? ".pt2" : ".pt")));
      if (round == 0) continue;
      seconds[i].push_back(one.seconds);
      memory[i].push_back(one.memory);
    }
  }
  double weights = 0;
  for (const at::Tensor& tensor : torch::jit::load((folder / (name + ".pt")).string()).parameters()) {
    weights += static_cast<double>(tensor.nbytes()) / 1024 / 1024;
  }
  std::cout << name << ", loading (weights " << weights << " MiB)\n";
  for (std::size_t i = 1; i < kinds.size(); ++i) {
    const double more = median(memory[i]) - median(memory[0]);
    std::cout << "  " << std::setw(4) << kinds[i] << std::setw(9) << 1000 * median(seconds[i]) << " ms, "
              << median(seconds[i]) / median(seconds[1]) << " of torch::jit::load; peak " << more << " MiB, "
              << more / weights << " of the weights\n";
  }
}

void compare_gradients(const fs::path& folder, const std::string& name, int rounds) {
  const at::Tensor x = at::randn({1, 3, 224, 224});
  for (const sal::Prepare prepare : {sal::Prepare::none, sal::Prepare::fast}) {
    const std::array<sal::GradientAttributor<sal::GraphModel>, 2> vanilla{
        sal::GradientAttributor(sal::load_model(folder / (name + ".pt"), {.prepare = prepare})),
        sal::GradientAttributor(sal::load_model(folder / (name + ".pt2"), {.prepare = prepare}))};
    const bench::Turns turns = bench::take_turns([&] { vanilla[0](x, sal::ClassIndex{5}); },
                                                 [&] { vanilla[1](x, sal::ClassIndex{5}); }, rounds);
    std::cout << name << (prepare == sal::Prepare::fast ? ", prepared gradient: " : ", gradient: ") << "pt "
              << 1000 * turns.first << " ms, pt2 " << 1000 * turns.second << " ms, ratio " << turns.ratio
              << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "--load") return load_once(arguments[1], arguments[2]);
  if (arguments.size() < 3) {
    std::cerr << "exported FOLDER ROUNDS NAME...\n";
    return 2;
  }
  std::cout << std::fixed << std::setprecision(3) << at::get_num_threads() << " threads\n";
  for (std::size_t i = 2; i < arguments.size(); ++i) {
    compare_loading(argv[0], arguments[0], arguments[i], std::stoi(arguments[1]));
    compare_gradients(arguments[0], arguments[i], 5 * std::stoi(arguments[1]));
  }
}
