// Several methods from one forward pass: each gradient is computed once, at its first use.
//
//   05_one_forward [MODEL.pt PICTURE SIZE]      from the project's folder
#include <salience/salience.hpp>

#include <iostream>
#include <string>
#include <vector>

namespace sal = salience;

int main(int argc, char** argv) try {
  const auto model = sal::ScriptModel::load(argc > 1 ? argv[1] : "examples/data/scenes.pt");
  const int size = argc > 3 ? std::stoi(argv[3]) : 96;
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const at::Tensor x = preprocess(sal::load_image(argc > 2 ? argv[2] : "examples/data/scene_star.png"));

  const sal::Explanation explanation{model, x, sal::TargetSelector{},
                                     sal::CamOptions{}};  // the last convolution
  std::cout << "class " << explanation.explained().target.item<std::int64_t>() << '\n';

  const sal::AttributionProcessor pixels{
      {.activation = sal::Activation::abs, .percentile = 99, .grayscale = true}};
  const sal::AttributionProcessor map{{.activation = sal::Activation::relu, .colormap = "jet"}};
  const sal::Image picture = preprocess.picture(x);
  const std::vector<sal::ContactSheetCell> cells{
      {picture, "input"},
      {pixels(explanation.vanilla().values), "vanilla"},
      {pixels(explanation.input_x_gradient().values), "input x gradient"},
      {pixels(explanation.guided_backprop().values), "guided backprop"},
      {map(explanation.grad_cam().values, picture), "Grad-CAM"},
      {map(explanation.cam(sal::PositiveGradient{}).values, picture), "LayerCAM"},
      {map(explanation.cam(sal::Elementwise{}).values, picture), "HiResCAM"},
      {pixels(explanation.guided_grad_cam().values), "guided Grad-CAM"}};
  sal::save_image("one_forward.png",
                  sal::contact_sheet(cells, {.columns = 4, .cell_height = 224, .cell_width = 224}));
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
