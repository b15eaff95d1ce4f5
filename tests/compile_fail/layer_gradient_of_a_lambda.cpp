// expect: Salience: this method looks at a layer: give it a ScriptModel
#include <salience/method/layer_attribution.hpp>

int main() {
  salience::LayerGradient method{[](const at::Tensor& x) { return x; }};
}
