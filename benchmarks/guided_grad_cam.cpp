// What do Guided Grad-CAM and Grad-CAM cost, from one forward pass?
//
//   guided_grad_cam MODEL.pt [SIZE] [--benchmark options]
//
// The layer is the last convolution, the class the predicted one.

#include <salience/method/guided_grad_cam.hpp>

#include "common.hpp"

namespace sal = salience;

int main(int argc, char** argv) {
  return bench::answer(argc, argv, "guided_grad_cam MODEL.pt [SIZE]", 1, [](int count, char** arguments) {
    const at::Tensor input = bench::noise(1, count > 1 ? std::stoll(arguments[1]) : 224);
    const auto model = sal::ScriptModel::load(arguments[0], {.prepare = sal::Prepare::fast});
    bench::row("Grad-CAM", [method = sal::GradCam(model), input] { return method(input); });
    bench::row("Guided Grad-CAM", [method = sal::GuidedGradCam(model), input] { return method(input); });
  });
}
