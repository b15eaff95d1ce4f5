// What does it cost that the gradient of BatchNorm is repaired? Backward passes with and without, in turn.
//
//     batch_norm_repair MODEL.pt SIZE [ROUNDS]
#include <salience/method/recorded_pass.hpp>
#include <salience/model/script_model.hpp>
#include <salience/tensor/batch_norm_repair.hpp>

#include <ATen/Parallel.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <vector>

#include "turns.hpp"

using bench::median;
namespace sal = salience;

namespace {

double backward_ms(const sal::ScriptModel& model, const at::Tensor& x, bool repaired) {
  const auto pass = sal::record(model, x, sal::TargetSelector<>{});
  const auto start = bench::Clock::now();
  std::optional<sal::detail::BatchNormRepair> repair;
  if (repaired) repair.emplace();
  pass.score.sum().backward({}, /*keep_graph=*/false, /*create_graph=*/false, at::TensorList(&pass.leaf, 1));
  return 1000 * bench::seconds_since(start);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "batch_norm_repair MODEL.pt SIZE [ROUNDS]\n";
    return 2;
  }
  at::set_num_threads(1);
  const std::int64_t size = std::atoll(argv[2]);
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 50;
  const at::Tensor x = torch::randn({1, 3, size, size});
  for (const sal::Prepare prepare : {sal::Prepare::none, sal::Prepare::fast}) {
    const auto model = sal::ScriptModel::load(argv[1], {.prepare = prepare});
    std::vector<double> with, without;
    for (int round = 0; round < rounds; ++round) {
      without.push_back(backward_ms(model, x, false));
      with.push_back(backward_ms(model, x, true));
    }
    std::cout << (prepare == sal::Prepare::none ? "none" : "fast") << ": " << median(without)
              << " ms without, " << median(with) / median(without) << " of that with the repair\n";
  }
}
