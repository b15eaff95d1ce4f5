// expect: Salience: a target must be a choice, ClassIndex
#include <salience/method/smooth_grad.hpp>

int main() {
  const salience::SmoothGrad smooth{salience::GradientAttributor{[](const at::Tensor& x) { return x; }}};
  smooth(at::Tensor{}, 5);
}
