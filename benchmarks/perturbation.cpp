// Runs a method of perturbations at a time, for perturbation_peers.py, which takes turns with Python's.
//
//   perturbation MODEL.pt
//
// Reads lines: a method's name, how many draws, and how many of them at once, 0 for our own choice. Answers
// each with the seconds that it took, by the clock and of the processor.
#include <salience/method/any_attributor.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/kernel_shap.hpp>
#include <salience/method/lime.hpp>
#include <salience/method/occlusion.hpp>
#include <salience/method/rise.hpp>
#include <salience/method/shapley_sampling.hpp>
#include <salience/model/script_model.hpp>

#include <torch/script.h>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <iostream>
#include <stdexcept>
#include <string>

namespace sal = salience;

namespace {

/// Over 49 cells, or as the paper's.
sal::AnyAttributor made(const sal::ScriptModel& model, const std::string& name, std::int64_t draws,
                        std::int64_t chunk) {
  const sal::FeatureMask cells = sal::FeatureMask::grid({7});
  if (name == "occlusion")
    return sal::AnyAttributor(sal::Occlusion{model, {.window = {15, 15}, .stride = {8, 8}, .chunk = chunk}});
  if (name == "shapley_sampling")
    return sal::AnyAttributor(sal::ShapleySampling{model, {.mask = cells, .samples = draws, .chunk = chunk}});
  if (name == "kernel_shap")
    return sal::AnyAttributor(sal::KernelShap{model, {.mask = cells, .samples = draws, .chunk = chunk}});
  if (name == "lime")
    return sal::AnyAttributor(sal::Lime{model, {.mask = cells, .samples = draws, .chunk = chunk}});
  if (name == "rise") return sal::AnyAttributor(sal::Rise{model, {.samples = draws, .chunk = chunk}});
  throw std::invalid_argument("there is no method '" + name + "'");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: perturbation MODEL.pt\n";
    return 2;
  }
  const sal::ScriptModel model = sal::ScriptModel::load(argv[1], {.prepare = sal::Prepare::fast});
  const at::Tensor x = at::randn({1, 3, 224, 224});
  std::string name;
  for (std::int64_t draws = 0, chunk = 0; std::cin >> name >> draws >> chunk;) {
    const sal::AnyAttributor method = made(model, name, draws, chunk);
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t processor = std::clock();
    method(x, sal::ClassIndex{5});
    const double work = static_cast<double>(std::clock() - processor) / CLOCKS_PER_SEC;
    std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() << ' '
              << work << std::endl;
  }
}
