// What is said in words about plain gradients, as figures: they are noisy, blind to what is saturated, and do
// not add up; and what guided methods make of an input that does not count.
//
//   10_what_gradients_miss [MODEL.pt PICTURE SIZE]      from the project's folder
#include <salience/salience.hpp>

#include <iomanip>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace sal = salience;

/// What each method says of a model's predicted class.
template <class M>
std::vector<std::pair<std::string, sal::Attribution>> explained(const M& model, const at::Tensor& x,
                                                                const sal::Baseline& baseline) {
  const sal::GradientAttributor vanilla{model};
  return {{"vanilla gradient", vanilla(x)},
          {"input x gradient", sal::InputXGradient{model}(x)},
          {"SmoothGrad", sal::SmoothGrad{vanilla, {.samples = 50, .seed = 7}}(x)},
          {"Integrated Gradients", sal::IntegratedGradients{model, {.baseline = baseline}}(x)},
          {"guided backpropagation", sal::GuidedBackprop{model}(x)},
          {"deconvnet", sal::Deconvnet{model}(x)}};
}

/// The share of neighbours, to the right and below, between which a map's sign flips: half of them in noise.
double sign_flips(const at::Tensor& map) {
  const at::Tensor sign = map.sign();
  std::int64_t flips = 0, pairs = 0;
  for (const std::int64_t axis : {2, 3}) {
    const at::Tensor product = sign.slice(axis, 1).mul(sign.slice(axis, 0, -1));
    flips += product.lt(0).sum().item<std::int64_t>();
    pairs += product.numel();
  }
  return static_cast<double>(flips) / static_cast<double>(pairs);
}

int main(int argc, char** argv) try {
  const auto model = sal::ScriptModel::load(argc > 1 ? argv[1] : "examples/data/scenes.pt");
  const int size = argc > 3 ? std::stoi(argv[3]) : 96;
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const at::Tensor x = preprocess(sal::load_image(argc > 2 ? argv[2] : "examples/data/scene_star.png"));
  const sal::Baseline black = sal::Baseline::tensor(preprocess(sal::Image(size, size, 3)));
  const sal::Completeness completeness{model, {.baseline = black}};

  // At 2 this function is 1, at 0 it is 0, and around 2 it is flat: saturated.
  const auto saturated = [](const at::Tensor& t) { return 1.0 - (1.0 - t).relu(); };
  // This one does not depend on its second input, a dummy, though that runs through two ReLUs.
  const auto first_alone = [](const at::Tensor& t) {
    const at::Tensor first = t.slice(1, 0, 1), second = t.slice(1, 1);
    return first.relu() + second.relu() - second.relu();
  };
  const at::Tensor two = at::full({1, 1}, 2.0, at::kDouble), both = at::ones({1, 2}, at::kDouble);
  const auto saturation = explained(saturated, two, sal::Baseline::zero());
  const auto dummy = explained(first_alone, both, sal::Baseline::zero());

  const auto column = [](int width, int digits, double figure) {
    std::cout << std::setw(width) << std::setprecision(digits) << figure + 0.0;  // not "-0"
  };
  std::cout << std::string(24, ' ') << "sign flips  sum is off by  saturated: 1  dummy: 0\n";
  const auto maps = explained(model, x, black);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const auto& [name, a] = maps[i];
    std::cout << std::left << std::setw(24) << name << std::right;
    column(10, 3, sign_flips(a.values));
    column(15, 3, completeness(x, a).relative.item<double>());
    column(14, 12, saturation[i].second.values.item<double>());
    column(10, 12, dummy[i].second.values[0][1].item<double>());
    std::cout << '\n';
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
