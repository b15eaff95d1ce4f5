// Grad-CAM on a named layer, over the picture; without a layer, the names to choose from.
//
//   04_grad_cam [MODEL.pt PICTURE SIZE [LAYER]]      from the project's folder
#include <salience/salience.hpp>

#include <iostream>
#include <string>

namespace sal = salience;

int main(int argc, char** argv) try {
  const auto model = sal::ScriptModel::load(argc > 1 ? argv[1] : "examples/data/scenes.pt");
  const int size = argc > 3 ? std::stoi(argv[3]) : 96;
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const at::Tensor x = preprocess(sal::load_image(argc > 2 ? argv[2] : "examples/data/scene_star.png"));
  const std::string layer = argc > 4 ? argv[4] : argc > 1 ? "" : "features.14";  // "": the last convolution

  if (layer.empty()) {
    for (const sal::Layer& known : model.layers(x)) std::cout << known.path << ' ' << known.type << '\n';
  }
  const sal::GradCam cam{model, {.layer = layer}};
  const sal::Attribution a = cam(x);
  if (a.nothing_positive.item<bool>()) std::cout << "nothing in this layer speaks for the class\n";

  const sal::AttributionProcessor view{{.activation = sal::Activation::relu, .colormap = "jet"}};
  sal::save_image("grad_cam.png", view(a.values, preprocess.picture(x)));
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
