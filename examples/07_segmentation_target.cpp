// Why are these cells "star"? A score function for an output of maps.
//
// Without arguments the shipped classifier is read as a segmentation network: its linear layer is asked at
// each of the 12x12 cells of the last layer, instead of at their mean. With a network of your own, of output
// (N,K,H,W):
//
//   07_segmentation_target [MODEL.pt PICTURE SIZE CLASS [OUTPUT]]      OUTPUT: the entry of a dictionary,
//   "out"
#include <salience/salience.hpp>

#include <functional>
#include <iostream>
#include <string>

namespace sal = salience;

using Segmenter = std::function<at::Tensor(const at::Tensor&)>;

Segmenter shipped() {
  const auto file = torch::jit::load("examples/data/scenes.pt");
  at::Tensor weight, bias;
  for (const auto& parameter : file.named_parameters()) {
    if (parameter.name == "classifier.0.weight") weight = parameter.value.detach();
    if (parameter.name == "classifier.0.bias") bias = parameter.value.detach();
  }
  return [model = sal::ScriptModel(file), weight, bias](const at::Tensor& x) {
    const at::Tensor cells = model.tapped(x, std::vector<std::string>{"features.14"}).layers.front();
    return at::linear(cells.permute({0, 2, 3, 1}), weight, bias).permute({0, 3, 1, 2});
  };
}

int main(int argc, char** argv) try {
  const Segmenter segment =
      argc > 1 ? Segmenter(sal::ScriptModel::load(argv[1], {.output = argc > 5 ? argv[5] : ""})) : shipped();
  const int size = argc > 3 ? std::stoi(argv[3]) : 96;
  const std::int64_t wanted = argc > 4 ? std::stoll(argv[4]) : 3;  // star
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const at::Tensor x = preprocess(sal::load_image(argc > 2 ? argv[2] : "examples/data/scene_star.png"));

  // The mask is taken on the clean output and held fixed: a score must not move with what it explains.
  const at::Tensor mask = segment(x).argmax(1).eq(wanted);
  std::cout << mask.sum().item<std::int64_t>() << " cells of class " << wanted << '\n';
  if (!mask.any().item<bool>()) return 1;  // nothing to explain
  const auto score = [mask, wanted](const at::Tensor& maps) {
    return maps.select(1, wanted).mul(mask).sum({1, 2});
  };
  const sal::SmoothGrad smooth{sal::GradientAttributor{segment}, {.samples = 20, .seed = 7}};
  const sal::Attribution a = smooth(x, score);

  const sal::AttributionProcessor view{
      {.activation = sal::Activation::abs, .percentile = 99, .colormap = "inferno"}};
  sal::save_image("segmentation.png", view(a.values, preprocess.picture(x)));
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
