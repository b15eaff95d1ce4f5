// expect: Salience: a model must take a const at::Tensor& and return an at::Tensor
#include <salience/model/any_model.hpp>

int main() {
  const salience::AnyModel model{[](int x) { return x; }};
}
