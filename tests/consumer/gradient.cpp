#include <ATen/ops/ones.h>
#if !__has_include(<torch/types.h>)
#error "LibTorch's C++ API is not where the compiler looks"
#endif

#include <cstdio>
#include <salience/method/gradient_attributor.hpp>

// Two logits, x0^2 and x0^2 + x1^2. At (1, 1) the second is larger, and its gradient is (2, 2).
int main() {
  const auto model = [](const at::Tensor& x) { return x.mul(x).cumsum(1); };
  const salience::Attribution a = salience::GradientAttributor{model}(at::ones({1, 2}));
  const double first = a.values[0][0].item<double>();
  const double second = a.values[0][1].item<double>();
  std::printf("target %d, gradient (%g, %g)\n", a.target.item<int>(), first, second);
  return a.target.item<int>() == 1 && first == 2 && second == 2 ? 0 : 1;
}
