// expect: Salience: SmoothGrad wraps an attributor
#include <salience/method/smooth_grad.hpp>

int main() {
  salience::SmoothGrad smooth{[](const at::Tensor& x) { return x; }, {}};
}
