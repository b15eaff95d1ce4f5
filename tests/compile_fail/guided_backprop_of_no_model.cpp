// expect: Salience: a model must take a const at::Tensor& and return an at::Tensor
#include <salience/method/guided_backprop.hpp>

int main() {
  salience::GuidedBackprop method{[](int x) { return x; }};
}
