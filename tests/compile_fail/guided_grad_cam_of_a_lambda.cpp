// expect: Salience: this method looks at a layer: give it a ScriptModel
#include <salience/method/guided_grad_cam.hpp>

int main() {
  salience::GuidedGradCam method{[](const at::Tensor& x) { return x; }};
}
