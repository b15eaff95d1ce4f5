// expect: Salience: this method looks at a layer: give it a ScriptModel, FeaturesHead{features, head}
#include <salience/method/score_cam.hpp>

void f(const at::Tensor& x) {
  const salience::ScoreCam cam{[](const at::Tensor& t) { return t; }};
  cam(x);
}
