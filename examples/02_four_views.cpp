// One gradient, seen in four ways (docs/methods/vanilla_gradient.md), on one sheet with the predictions as
// captions.
//
//   02_four_views [MODEL.pt PICTURE SIZE LABELS.txt]      from the project's folder
#include <salience/salience.hpp>

#include <iostream>
#include <string>
#include <vector>

namespace sal = salience;

int main(int argc, char** argv) try {
  const auto model = sal::ScriptModel::load(argc > 1 ? argv[1] : "examples/data/scenes.pt");
  const int size = argc > 3 ? std::stoi(argv[3]) : 96;
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const at::Tensor x = preprocess(sal::load_image(argc > 2 ? argv[2] : "examples/data/scene_heart.png"));
  const auto labels = sal::load_labels(argc > 4 ? argv[4] : "examples/data/labels.txt");

  const sal::Attribution a = sal::GradientAttributor{model}(x);
  const sal::Prediction best = sal::top_k(a.logits, labels, 1).front();
  std::cout << best.label << ' ' << best.probability << '\n';

  using sal::Activation;
  const sal::AttributionProcessor none{};  // signed
  const sal::AttributionProcessor hot{
      {.activation = Activation::relu, .colormap = "hot"}};  // what speaks for it
  const sal::AttributionProcessor cool{{.activation = Activation::abs, .skew = 0.5, .colormap = "coolwarm"}};
  const sal::AttributionProcessor gray{{.activation = Activation::abs, .skew = 0.8, .grayscale = true}};
  const std::vector<sal::ContactSheetCell> cells{{preprocess.picture(x), best.label},
                                                 {none(a.values), "no activation"},
                                                 {hot(a.values), "relu, hot"},
                                                 {cool(a.values), "abs, coolwarm"},
                                                 {gray(a.values), "abs, gray"}};
  sal::save_image("four_views.png",
                  sal::contact_sheet(cells, {.columns = 5, .cell_height = 224, .cell_width = 224}));
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
