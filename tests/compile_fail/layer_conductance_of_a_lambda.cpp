// expect: Salience: this method cuts a model at a layer: give it a ScriptModel, an ExportedModel or a model
#include <salience/method/layer_conductance.hpp>

void f(const at::Tensor& x) {
  const salience::LayerConductance conductance{[](const at::Tensor& t) { return t; }, {.layer = "conv"}};
  conductance(x);
}
