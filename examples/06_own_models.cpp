// A lambda and a torch::nn network as models. No file is loaded: the network has random weights.
//
//   06_own_models
#include <torch/nn.h>
#include <salience/salience.hpp>

#include <iostream>

namespace sal = salience;
namespace nn = torch::nn;

int main() try {
  torch::manual_seed(7);

  // A lambda with two classes, left and right: how bright each half is. Its gradient is known.
  const auto halves = [](const at::Tensor& x) { return x.unflatten(3, {2, -1}).mean({1, 2, 4}); };
  const at::Tensor x = at::rand({1, 3, 32, 32});
  const sal::Attribution left = sal::GradientAttributor{halves}(x, sal::ClassIndex{0});
  std::cout << "left half " << left.values.slice(3, 0, 16).sum().item<double>() << ", right half "
            << left.values.slice(3, 16).sum().item<double>() << '\n';

  // A torch::nn network, in evaluation mode. FeaturesHead says between which parts a class activation map
  // looks.
  nn::Sequential features(nn::Conv2d(nn::Conv2dOptions(3, 8, 3).padding(1)), nn::ReLU(), nn::MaxPool2d(2),
                          nn::Conv2d(nn::Conv2dOptions(8, 16, 3).padding(1)), nn::ReLU());
  nn::Sequential head(nn::AdaptiveAvgPool2d(1), nn::Flatten(), nn::Linear(16, 4));
  features->eval();
  head->eval();
  const sal::FeaturesHead network{features, head};
  const sal::Attribution gradient = sal::GradientAttributor{network}(x);
  const sal::Attribution region = sal::GradCam{network}(x);
  const sal::Attribution found = sal::GradCam{sal::LastConvolution{network}}(x);  // before its ReLU

  const sal::AttributionProcessor gray{{.activation = sal::Activation::abs, .grayscale = true}};
  const sal::AttributionProcessor jet{{.activation = sal::Activation::relu, .colormap = "jet"}};
  sal::save_image(
      "own_models.png",
      sal::contact_sheet(std::vector<sal::ContactSheetCell>{{gray(left.values), "left half"},
                                                            {gray(gradient.values), "gradient"},
                                                            {jet(region.values), "Grad-CAM"},
                                                            {jet(found.values), "last convolution"}},
                         {.columns = 4, .cell_height = 224, .cell_width = 224}));
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
