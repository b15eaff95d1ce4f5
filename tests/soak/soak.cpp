// Mixed methods, models, sizes and failures on shared objects, from eight threads: see soak.hpp.
//
//   soak SECONDS MIB [MODEL.pt]      memory may grow by so much. The file takes (N,3,H,W); without one no
//   model is TorchScript.
#include <salience/model/script_model.hpp>

#include "tasks.hpp"

namespace {

void add_file(std::vector<soak::Task>& tasks, const char* path) {
  const at::Tensor one = support::normal({1, 3, 96, 96}, at::kFloat, 7);
  const at::Tensor two = support::normal({2, 3, 64, 80}, at::kFloat, 8);
  const at::Tensor wrong = support::normal({1, 4, 96, 96}, at::kFloat, 9);
  const auto plain = salience::ScriptModel::load(path);
  const auto fast = salience::ScriptModel::load(path, {.prepare = salience::Prepare::fast});
  soak::add_methods(tasks, "a file, 96x96", plain, one);
  soak::add_methods(tasks, "a file, fast, two of 64x80", fast, two);
  soak::add_layer_methods(tasks, "a file, two of 64x80", plain, two);
  soak::add_layer_methods(tasks, "a file, fast, 96x96", fast, one);
  tasks.push_back(soak::task("a file, four channels", salience::GradientAttributor(plain), wrong));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3 || argc > 4) {
    std::cerr << "usage: soak SECONDS MIB [MODEL.pt]\n";
    return 2;
  }
  std::vector<soak::Task> tasks;
  soak::add_callables(tasks);
  if (argc == 4) add_file(tasks, argv[3]);
  const soak::Report report = soak::soak(tasks, std::stod(argv[1]));
  std::cout << "MiB at the end of each round:";
  for (const double memory : report.memory) std::cout << ' ' << std::round(memory / 102.4) / 10.0;
  std::cout << "\nfrom the first quarter to the last: " << report.growth() / 1024 << " MiB\n";
  return report.wrong == 0 && report.thrown > 0 && report.growth() < 1024 * std::stod(argv[2]) ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
