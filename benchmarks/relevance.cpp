// What DeepLIFT, relevance and FullGrad cost beside a gradient, in time and in memory.
//
//   relevance FOLDER ROUNDS NAME...      of export_models.py's FOLDER/NAME.pt; rounds take turns; medians of
//   ratios
#include <salience/method/deep_lift.hpp>
#include <salience/method/full_grad.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/method/lrp.hpp>
#include <salience/model/script_model.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/deep_lift_rule.hpp>

#include <torch/script.h>

#include <malloc.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "turns.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

/// The most memory that the process held since the last call, in bytes.
double peak_since_last() {
  double peak = 0.0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) peak = 1024.0 * std::stod(line.substr(6));
  }
  std::ofstream("/proc/self/clear_refs") << 5;
  return peak;
}

double held_now() {
  std::ifstream statm("/proc/self/statm");
  double size = 0.0, resident = 0.0;
  statm >> size >> resident;
  return 4096.0 * resident;
}

/// How much more than before the process holds while it works.
template <class Work>
double memory_of(const Work& work) {
  work();
  malloc_trim(0);
  const double before = held_now();
  peak_since_last();
  work();
  return peak_since_last() - before;
}

void compare(const fs::path& file, int rounds) {
  const sal::ScriptModel model = sal::ScriptModel::load(file, {.prepare = sal::Prepare::fast});
  const at::Tensor x = at::randn({1, 3, 224, 224});
  const sal::GradientAttributor gradient{model};
  const auto plain = [&] { gradient(x, sal::ClassIndex{5}); };
  const double plain_memory = memory_of(plain);
  const auto print = [&](const std::string& name, const auto& method) {
    const auto run = [&] { method(x, sal::ClassIndex{5}); };
    const bench::Turns turns = bench::take_turns(plain, run, rounds);
    std::cout << "  " << name << ": " << 1000 * turns.second << " ms, gradient " << 1000 * turns.first
              << " ms; " << turns.ratio << "; memory " << memory_of(run) / plain_memory << '\n';
  };
  print("deep_lift", sal::DeepLift{model});
  print("deep_lift_reveal_cancel", sal::DeepLift{model, {.rule = sal::DeepLiftRule::reveal_cancel}});
  print("full_grad", sal::FullGrad{model});
  const std::vector<std::pair<std::string, sal::Composite>> composites{
      {"lrp_epsilon_plus", sal::Composite::epsilon_plus()},
      {"lrp_epsilon_plus_flat", sal::Composite::epsilon_plus_flat()},
      {"lrp_epsilon_alpha2_beta1", sal::Composite::epsilon_alpha2_beta1()},
      {"lrp_epsilon_gamma_box", sal::Composite::epsilon_gamma_box(x.amin(), x.amax())}};
  for (const auto& [name, composite] : composites) print(name, sal::Lrp{model, composite});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: relevance FOLDER ROUNDS NAME...\n";
    return 2;
  }
  for (int i = 3; i < argc; ++i) {
    std::cout << argv[i]
              << ": time, that of a gradient in the same rounds; the ratio; the ratio of the memory\n";
    compare(fs::path(argv[1]) / (std::string(argv[i]) + ".pt"), std::stoi(argv[2]));
  }
}
