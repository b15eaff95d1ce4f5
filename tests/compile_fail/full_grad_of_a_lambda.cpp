// expect: Salience: the biases of a model are found in its graph: give it a ScriptModel, an
#include <salience/method/full_grad.hpp>

void f(const at::Tensor& x) {
  const salience::FullGrad method{[](const at::Tensor& t) { return t; }};
  method(x);
}
