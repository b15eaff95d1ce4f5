// The gradient of the predicted class's score at each pixel, as a picture.
//
//   01_vanilla_gradient [MODEL.pt PICTURE SIZE]      from the project's folder
#include <salience/salience.hpp>

#include <iostream>
#include <string>

namespace sal = salience;

int main(int argc, char** argv) try {
  const auto model = sal::ScriptModel::load(argc > 1 ? argv[1] : "examples/data/scenes.pt");
  const int size = argc > 3 ? std::stoi(argv[3]) : 96;
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const at::Tensor x = preprocess(sal::load_image(argc > 2 ? argv[2] : "examples/data/scene_star.png"));

  const sal::GradientAttributor vanilla{model};
  const sal::Attribution a = vanilla(x);
  std::cout << "class " << a.target.item<std::int64_t>() << ", score " << a.score.item<double>() << '\n';

  const sal::AttributionProcessor view{{.activation = sal::Activation::abs, .skew = 0.8, .grayscale = true}};
  sal::save_image("vanilla.png", view(a.values));
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
