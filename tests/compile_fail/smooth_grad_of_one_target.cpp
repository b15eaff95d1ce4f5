// expect: Salience: SmoothGrad wraps an attributor, callable with an input and any target
#include <salience/method/smooth_grad.hpp>

int main() {
  const auto predicted_only = [](const at::Tensor&, const salience::TargetSelector<>&) {
    return salience::Attribution{};
  };
  salience::SmoothGrad smooth{predicted_only};
}
