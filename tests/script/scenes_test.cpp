// The shipped network on fresh scenes, whose answer and mask are known.
#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <salience/input/preprocessor.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/model/script_model.hpp>
#include <salience/target/prediction.hpp>
#include <scene.hpp>

#include <string>
#include <vector>

using namespace salience;

namespace {

constexpr int fresh_scenes = 200;
constexpr std::uint64_t first_seed = 20'000;  // below scenes::first_training_seed: never trained on

const std::string data = SALIENCE_EXAMPLE_DATA_DIR;

/// The mask as (H,W) of zeros and ones.
at::Tensor mask_of(const scenes::Scene& scene) { return ToTensor{1}(scene.mask)[0]; }

}  // namespace

TEST_CASE("the labels are the kinds of the scenes") {
  const Labels labels = load_labels(data + "/labels.txt");
  REQUIRE(labels.size() == scenes::kind_names.size());
  for (std::size_t i = 0; i < labels.size(); ++i) CHECK(labels[i] == scenes::kind_names[i]);
}

TEST_CASE("the network names the object, and the vanilla gradient falls on it") {
  const ScriptModel model = ScriptModel::load(data + "/scenes.pt");
  const GradientAttributor vanilla(model);
  const auto preprocess = imagenet_preprocessor(scenes::scene_size, scenes::scene_size);
  int right = 0, on_the_object = 0;
  double concentration = 0.0;
  for (int i = 0; i < fresh_scenes; ++i) {
    const scenes::Scene scene = scenes::draw_scene(first_seed + static_cast<std::uint64_t>(i));
    const Attribution a = vanilla(preprocess(scene.picture));
    right += a.target.item<std::int64_t>() == scene.kind ? 1 : 0;
    const at::Tensor mask = mask_of(scene), mass = a.values.abs()[0].sum(0);
    const double share = (mass * mask).sum().item<double>() / mass.sum().item<double>();
    const double area = mask.mean().item<double>();
    on_the_object += share >= 2.0 * area ? 1 : 0;
    concentration += share / area / fresh_scenes;
  }
  MESSAGE("of ", fresh_scenes, " fresh scenes ", right, " are named right; in ", on_the_object,
          " the gradient's mass inside the mask is at least twice the mask's share of the area (",
          concentration, " times in the mean)");
  CHECK(right >= fresh_scenes * 95 / 100);
  CHECK(on_the_object >= fresh_scenes * 80 / 100);
}
