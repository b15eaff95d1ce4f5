// How do time and memory grow with the batch and with the picture?
//
//   scaling MODEL.pt [--benchmark options]
//
// peak_MB is the most memory that the process held, weights and all.

#include <salience/method/gradient_attributor.hpp>

#include "common.hpp"

namespace sal = salience;

int main(int argc, char** argv) {
  return bench::answer(argc, argv, "scaling MODEL.pt", 1, [](int, char** arguments) {
    const sal::GradientAttributor vanilla(
        sal::ScriptModel::load(arguments[0], {.prepare = sal::Prepare::fast}));
    const auto gradient = [=](const at::Tensor& input) { return [=] { return vanilla(input); }; };
    for (const std::int64_t samples : {1, 2, 4, 8, 16}) {
      bench::memory_row("batch/" + std::to_string(samples), gradient(bench::noise(samples, 224)));
    }
    for (const std::int64_t size : {112, 224, 448, 896}) {
      bench::memory_row("pixels/" + std::to_string(size), gradient(bench::noise(1, size)));
    }
  });
}
