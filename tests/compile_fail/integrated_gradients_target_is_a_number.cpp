// expect: Salience: a target must be a choice, ClassIndex
#include <salience/method/integrated_gradients.hpp>

int main() {
  const salience::IntegratedGradients method{[](const at::Tensor& x) { return x; }};
  method(at::Tensor{}, 5);
}
