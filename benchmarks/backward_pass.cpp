// What does a vanilla gradient cost, next to the forward pass it contains and to the article's way?
//
//   backward_pass MODEL.pt [SIZE] [--benchmark options]
//
// The article's way is `.backward()` on the predicted logit of the module's own forward, into the input and
// every weight. All of them are run interleaved in one process, so that only ratios within one run are
// compared.

#include <benchmark/benchmark.h>
#include <salience/method/gradient_attributor.hpp>
#include <salience/model/script_model.hpp>

#include <iostream>
#include <string>

namespace sal = salience;

namespace {

void forward(benchmark::State& state, const sal::ScriptModel& model, const at::Tensor& input) {
  const c10::NoGradGuard no_grad;
  for (auto _ : state) benchmark::DoNotOptimize(model(input));
}

void gradient(benchmark::State& state, const sal::ScriptModel& model, const at::Tensor& input) {
  const sal::GradientAttributor vanilla(model);
  for (auto _ : state) benchmark::DoNotOptimize(vanilla(input));
}

/// The module's own forward, through LibTorch's profiling executor.
void module_gradient(benchmark::State& state, torch::jit::Module module, const at::Tensor& input,
                     bool into_weights) {
  for (auto _ : state) {
    const at::Tensor leaf = input.detach().clone().requires_grad_(true);
    const at::Tensor score = std::get<0>(module.forward({leaf}).toTensor().max(1)).sum();
    if (into_weights) {
      score.backward();
      for (const at::Tensor& parameter : module.parameters()) parameter.mutable_grad().reset();
    } else {
      score.backward({}, false, false, at::TensorList(&leaf, 1));
    }
    benchmark::DoNotOptimize(leaf.grad());
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc < 2 || argc > 3) {
    std::cerr << "usage: backward_pass MODEL.pt [SIZE] [--benchmark options]\n";
    return 2;
  }
  try {
    const std::int64_t size = argc > 2 ? std::stoll(argv[2]) : 224;
    torch::manual_seed(0);
    const at::Tensor input = torch::randn({1, 3, size, size});
    torch::jit::Module module = torch::jit::load(argv[1]);
    module.eval();
    const auto model = sal::ScriptModel(module);
    const auto fast = sal::ScriptModel(module, {.prepare = sal::Prepare::fast});
    const auto add = [](const char* name, auto run) {
      benchmark::RegisterBenchmark(name, run)->Unit(benchmark::kMillisecond)->UseRealTime();
    };
    add("forward", [&](benchmark::State& state) { forward(state, model, input); });
    add("forward, fast", [&](benchmark::State& state) { forward(state, fast, input); });
    add("input gradient", [&](benchmark::State& state) { gradient(state, model, input); });
    add("input gradient, fast", [&](benchmark::State& state) { gradient(state, fast, input); });
    add("input gradient by module.forward",
        [&](benchmark::State& state) { module_gradient(state, module, input, false); });
    add("backward into all weights (the article)",
        [&](benchmark::State& state) { module_gradient(state, module, input, true); });
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::cerr << "backward_pass: " << error.what() << '\n';
    return 1;
  }
}
