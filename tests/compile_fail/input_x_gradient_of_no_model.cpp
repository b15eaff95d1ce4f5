// expect: Salience: a model must take a const at::Tensor& and return an at::Tensor
#include <salience/method/input_x_gradient.hpp>

int main() {
  salience::InputXGradient method{[](int x) { return x; }};
}
