// expect: Salience: a model must take a const at::Tensor& and return an at::Tensor
#include <salience/method/integrated_gradients.hpp>

int main() {
  salience::IntegratedGradients method{[](int x) { return x; }};
}
