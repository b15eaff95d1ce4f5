// expect: Salience: a model must take a const at::Tensor& and return an at::Tensor
#include <salience/model/last_convolution.hpp>

int main() {
  salience::LastConvolution model{[](int x) { return x; }};
}
