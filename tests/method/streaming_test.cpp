#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/method/streaming.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::normal;

namespace {

constexpr std::size_t large = 64 * 1024;  // the input's size, in bytes
std::atomic<int> large_allocations = 0;

}  // namespace

/// Where LibTorch's tensors on the CPU come from.
extern "C" int posix_memalign(void** place, std::size_t alignment, std::size_t bytes) noexcept {
  if (bytes >= large) ++large_allocations;
  *place = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  return *place ? 0 : ENOMEM;
}

namespace {

const at::Tensor input = normal({1, 1, 128, 128}, at::kFloat, 3);
const auto model = [](const at::Tensor& x) { return x.sin().mul(x).flatten(1).mean(1, /*keepdim=*/true); };

template <class Method>
int allocations(const Method& method) {
  const int before = large_allocations;
  method(input, ClassIndex{0});
  return large_allocations - before;
}

}  // namespace

TEST_CASE("a step allocates what one gradient does, and nothing more") {
  const int one = allocations(GradientAttributor(model));
  CHECK(one > 0);
  const auto per_step = [](const auto& method_of) {
    return (allocations(method_of(30)) - allocations(method_of(10))) / 20.0;
  };
  for (const bool multiply : {true, false}) {
    CHECK(per_step([&](std::int64_t steps) {
            return IntegratedGradients(model, {.steps = steps, .multiply_by_inputs = multiply, .chunk = 1});
          }) == one);
  }
  for (const auto type :
       {SmoothGradType::smoothgrad, SmoothGradType::smoothgrad_sq, SmoothGradType::vargrad}) {
    CHECK(per_step([&](std::int64_t samples) {
            return SmoothGrad(GradientAttributor(model), {.samples = samples, .type = type, .chunk = 1});
          }) == one);
  }
}

TEST_CASE("points that someone still holds are not written over") {
  std::vector<at::Tensor> kept;
  const auto keeps = [&](const at::Tensor& x, const auto& target) {
    kept.push_back(x);
    return GradientAttributor(model)(x, target);
  };
  SmoothGrad(keeps, {.samples = 3, .chunk = 1})(input, ClassIndex{0});
  REQUIRE(kept.size() >= 3);
  const auto last = kept.end();
  CHECK_FALSE(support::same(last[-1], last[-2]));
  CHECK_FALSE(support::same(last[-2], last[-3]));
}
