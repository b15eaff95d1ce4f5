// expect: Salience: a target must be a choice, ClassIndex
#include <salience/method/gradient_attributor.hpp>

int main() {
  const salience::GradientAttributor vanilla{[](const at::Tensor& x) { return x; }};
  vanilla(at::Tensor{}, 5);
}
