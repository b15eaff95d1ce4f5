// expect: Salience: this method looks at a layer: give it a ScriptModel
#include <salience/method/grad_cam.hpp>

int main() {
  salience::GradCam cam{[](const at::Tensor& x) { return x; }};
}
