// expect: Salience: relevance propagation rewrites the graph of a model: give it a ScriptModel, an
#include <salience/method/lrp.hpp>

void f(const at::Tensor& x) {
  const salience::Lrp method{[](const at::Tensor& t) { return t; }};
  method(x);
}
