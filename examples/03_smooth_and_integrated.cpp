// SmoothGrad and Integrated Gradients, each to a stated tolerance instead of a number of steps.
//
//   03_smooth_and_integrated [MODEL.pt PICTURE SIZE]      from the project's folder
#include <salience/salience.hpp>

#include <iostream>
#include <string>

namespace sal = salience;

int main(int argc, char** argv) try {
  const auto model = sal::ScriptModel::load(argc > 1 ? argv[1] : "examples/data/scenes.pt");
  const int size = argc > 3 ? std::stoi(argv[3]) : 96;
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const at::Tensor x = preprocess(sal::load_image(argc > 2 ? argv[2] : "examples/data/scene_star.png"));

  // Noisy copies until the mean map's standard error is half of the map, at most 200 of them.
  const sal::SmoothGrad smooth{sal::GradientAttributor{model}, {.samples = 200, .seed = 7, .tolerance = 0.5}};
  const sal::Attribution calm = smooth(x);
  std::cout << "SmoothGrad: " << calm.copies.item<std::int64_t>() << " copies, standard error "
            << calm.standard_error.item<double>() << " of the map\n";

  // From black: gradients until the sum is the scores' difference to 1% and the map is right to 5%.
  const sal::Baseline black = sal::Baseline::tensor(preprocess(sal::Image(size, size, 3)));
  const sal::IntegratedGradients integrated{model, {.baseline = black, .tolerance = 0.01}};
  const sal::Attribution shares = integrated(x);
  std::cout << "Integrated Gradients: " << shares.evaluations.item<std::int64_t>()
            << " gradients, completeness off by " << shares.relative_completeness_error.item<double>()
            << ", the map by about " << shares.map_error.item<double>()
            << (shares.converged.item<bool>() ? "" : " (not converged)") << '\n';

  const sal::AttributionProcessor view{
      {.activation = sal::Activation::abs, .percentile = 99, .colormap = "inferno"}};
  sal::save_image("smooth_grad.png", view(calm.values));
  sal::save_image("integrated_gradients.png", view(shares.values));
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
