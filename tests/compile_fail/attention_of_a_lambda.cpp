// expect: Salience: the attention of a model is read from its graph: give it a ScriptModel, an
#include <salience/method/chefer.hpp>

void f(const at::Tensor& x) {
  const salience::Chefer method{[](const at::Tensor& t) { return t; }};
  method(x);
}
