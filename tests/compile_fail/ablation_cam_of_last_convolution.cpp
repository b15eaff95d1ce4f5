// expect: Salience: this method cuts a model at a layer: give it a ScriptModel, an ExportedModel or a model
#include <salience/method/ablation_cam.hpp>
#include <salience/model/last_convolution.hpp>

void f(const at::Tensor& x) {
  const salience::AblationCam cam{salience::LastConvolution{[](const at::Tensor& t) { return t; }}};
  cam(x);
}
