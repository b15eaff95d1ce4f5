// expect: Salience: a model must take a const at::Tensor& and return an at::Tensor
#include <salience/method/gradient_attributor.hpp>

int main() {
  salience::GradientAttributor vanilla{[](int x) { return x; }};
}
