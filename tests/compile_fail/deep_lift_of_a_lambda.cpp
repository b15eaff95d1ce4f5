// expect: Salience: DeepLIFT rewrites the graph of a model: give it a ScriptModel, an ExportedModel or a
#include <salience/method/deep_lift.hpp>

void f(const at::Tensor& x) {
  const salience::DeepLift method{[](const at::Tensor& t) { return t; }};
  method(x);
}
