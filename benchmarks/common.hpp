// What the benchmarks share: rows, inputs, the peak of memory, and how a program ends on an error.
#pragma once

#include <benchmark/benchmark.h>
#include <salience/model/script_model.hpp>

#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <string>
#include <utility>

namespace bench {

/// A row of the table: what `run` takes; if `warm`, after one run that is not counted.
template <class Run>
void row(const std::string& name, Run run, bool warm = true) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [run, warm](benchmark::State& state) mutable {
                                 if (std::exchange(warm, false)) benchmark::DoNotOptimize(run());
                                 for (auto _ : state) benchmark::DoNotOptimize(run());
                               })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

inline at::Tensor noise(std::int64_t samples, std::int64_t size) {
  torch::manual_seed(0);
  return torch::randn({samples, 3, size, size});
}

/// The most memory that the process held since reset_peak(), in MB.
inline double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0.0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024.0;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

inline void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5\n"; }

/// The row once, with the counter peak_MB. Not warmed up: that would be in the peak.
template <class Run>
void memory_row(const std::string& name, Run run) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [run](benchmark::State& state) {
                                 reset_peak();
                                 for (auto _ : state) benchmark::DoNotOptimize(run());
                                 state.counters["peak_MB"] = peak_memory();
                               })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

/// main: `add` is given the arguments that Google Benchmark left, at least `fewest` of them, and adds rows.
template <class Add>
int answer(int argc, char** argv, const char* usage, int fewest, Add add) {
  benchmark::Initialize(&argc, argv);
  if (argc < fewest + 1) {
    std::cerr << "usage: " << usage << " [--benchmark options]\n";
    return 2;
  }
  try {
    add(argc - 1, argv + 1);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace bench
