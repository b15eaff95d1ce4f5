// What can this machine do at most: products of matrices, and reading memory?
//
//   limit [--benchmark options]
//
// The counters are rates: FLOP/s, a multiplication and an addition counting as two, and bytes/s.

#include <ATen/Parallel.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "common.hpp"

namespace {

constexpr std::int64_t side = 2048;
constexpr std::int64_t words = std::int64_t{1} << 26;  // 512 MB, past every cache

auto product(at::ScalarType type) {
  return [a = torch::randn({side, side}).to(type), b = torch::randn({side, side}).to(type)] {
    const c10::NoGradGuard no_grad;
    return at::matmul(a, b);
  };
}

auto reading() {
  return [memory = std::vector<std::uint64_t>(words, 1)] {
    const auto sum = [&](std::int64_t from, std::int64_t to, std::uint64_t start) {
      return std::accumulate(memory.begin() + from, memory.begin() + to, start);
    };
    return at::parallel_reduce(0, words, words / at::get_num_threads(), std::uint64_t{0}, sum, std::plus<>());
  };
}

benchmark::Counter rate(double work) {
  return benchmark::Counter(work, benchmark::Counter::kIsIterationInvariantRate);
}

template <class Run>
void rate_row(const std::string& name, Run run, double work) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [run, work](benchmark::State& state) {
                                 benchmark::DoNotOptimize(run());
                                 for (auto _ : state) benchmark::DoNotOptimize(run());
                                 state.counters["rate"] = rate(work);
                               })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

}  // namespace

int main(int argc, char** argv) {
  return bench::answer(argc, argv, "limit", 0, [](int, char**) {
    const double operations = 2.0 * side * side * side;
    rate_row("matrix product, float32", product(at::kFloat), operations);
    rate_row("matrix product, bfloat16", product(at::kBFloat16), operations);
    rate_row("reading memory", reading(), static_cast<double>(words) * sizeof(std::uint64_t));
  });
}
