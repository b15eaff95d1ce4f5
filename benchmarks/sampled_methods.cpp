// Do SmoothGrad and Integrated Gradients cost more than the gradients they take, and does memory grow with
// their number?
//
//   sampled_methods MODEL.pt [SIZE] [--benchmark options]
//
// A row for memory says the peak of its process: run it alone, by --benchmark_filter.

#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>

#include "common.hpp"

namespace sal = salience;

int main(int argc, char** argv) {
  return bench::answer(argc, argv, "sampled_methods MODEL.pt [SIZE]", 1, [](int count, char** arguments) {
    const at::Tensor input = bench::noise(1, count > 1 ? std::stoll(arguments[1]) : 224);
    const auto model = sal::ScriptModel::load(arguments[0], {.prepare = sal::Prepare::fast});
    const sal::GradientAttributor vanilla(model);
    const auto smooth = [=](std::int64_t samples) {
      return [=, method = sal::SmoothGrad(vanilla, {.samples = samples})] { return method(input); };
    };
    const auto integrated = [=](std::int64_t steps) {
      return [=, method = sal::IntegratedGradients(model, {.steps = steps})] { return method(input); };
    };
    benchmark::DoNotOptimize(vanilla(input));  // warms all of them
    const auto single = [=] {
      for (int i = 0; i < 50; ++i) benchmark::DoNotOptimize(vanilla(input));
      return 0;
    };
    bench::row("50 gradients", single, false);
    bench::row("SmoothGrad 50", smooth(50), false);
    bench::row("Integrated Gradients 50", integrated(50), false);
    for (const std::int64_t evaluations : {10, 500}) {
      bench::memory_row("memory: SmoothGrad " + std::to_string(evaluations), smooth(evaluations));
      bench::memory_row("memory: Integrated Gradients " + std::to_string(evaluations),
                        integrated(evaluations));
    }
  });
}
