#include <salience/method/registry.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>

#include <ATen/ops/conv2d_ops.h>
#include <doctest/doctest.h>  // after LibTorch, which has a CHECK of its own

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;
using support::same;

namespace {

const at::Tensor first = normal({4, 3, 3, 3}, at::kDouble, 1), second = normal({5, 4, 3, 3}, at::kDouble, 2);

at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight) {
  return at::_ops::conv2d::call(x, weight, {}, {1, 1}, {1, 1}, {1, 1}, 1);
}
at::Tensor network(const at::Tensor& x) {
  return convolve(convolve(x, first).relu(), second).relu().sin().sum({2, 3});
}

const LastConvolution layered(&network);
const AnyModel model(layered);
const at::Tensor input = normal({2, 3, 8, 7});

/// The same network, which can be cut behind its convolutions.
const FeaturesHead cuttable([](const at::Tensor& x) { return convolve(convolve(x, first).relu(), second); },
                            [](const at::Tensor& features) {
                              return features.relu().sin().sum({2, 3});
                            });

Attribution by_name(const std::string& name, const MethodOptions& options = {}) {
  const MethodEntry& entry = find_method(name);
  return entry.make(entry.cuts ? AnyModel(cuttable) : model, options)(input, ClassIndex{3});
}

}  // namespace

TEST_CASE("the registry: names are unique, every text is there, and a method is found by its name alone") {
  std::set<std::string_view> names, titles;
  for (const MethodEntry& entry : methods()) {
    CAPTURE(std::string(entry.name));
    CHECK(names.insert(entry.name).second);
    CHECK(titles.insert(entry.title).second);
    CHECK(entry.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == std::string_view::npos);
    for (const std::string_view text :
         {entry.name, entry.title, entry.summary, entry.reference, entry.page, entry.class_name,
          entry.is_signed, entry.tells_classes_apart, entry.complete, entry.cost}) {
      CHECK(!text.empty());
      CHECK(text.find_first_of("|\n") == std::string_view::npos);  // it stands in a table
    }
    CHECK(&find_method(entry.name) == &entry);
  }
  CHECK(method_names().size() == methods().size());
  CHECK(method_names().front() == "vanilla");
  CHECK(contains(message<ArgumentError>([] { find_method("gradcam"); }),
                 "there is no method 'gradcam'; the nearest are 'grad_cam'"));
}

TEST_CASE("the registry: a method is that of its class, bit for bit") {
  const IntegratedGradientsOptions path{.steps = 5};
  const auto smooth = [](SmoothGradType type) {
    return AnyAttributor(SmoothGrad(GradientAttributor(&network), {.samples = 4, .type = type, .seed = 9}));
  };
  const FeatureMask seven = FeatureMask::grid({7});
  const std::map<std::string, AnyAttributor> expected{
      {"vanilla", AnyAttributor(GradientAttributor(&network))},
      {"input_x_gradient", AnyAttributor(InputXGradient(&network))},
      {"smooth_grad", smooth(SmoothGradType::smoothgrad)},
      {"smooth_grad_sq", smooth(SmoothGradType::smoothgrad_sq)},
      {"var_grad", smooth(SmoothGradType::vargrad)},
      {"integrated_gradients", AnyAttributor(IntegratedGradients(&network, path))},
      {"idgi", AnyAttributor(Idgi(&network, {.steps = 5}))},
      {"guided_ig", AnyAttributor(IntegratedGradients(&network, path, GuidedPath{}))},
      {"blur_ig", AnyAttributor(IntegratedGradients(&network, path, BlurPath{}))},
      {"gradient_shap", AnyAttributor(GradientShap(&network, {.samples = 4, .seed = 9}))},
      {"guided_backprop", AnyAttributor(GuidedBackprop(&network))},
      {"deconvnet", AnyAttributor(Deconvnet(&network))},
      {"grad_cam", AnyAttributor(GradCam(layered))},
      {"grad_cam_pp", AnyAttributor(GradCamPlusPlus(layered))},
      {"hires_cam", AnyAttributor(HiResCam(layered))},
      {"xgrad_cam", AnyAttributor(XGradCam(layered))},
      {"layer_cam", AnyAttributor(LayerCam(layered))},
      {"eigen_cam", AnyAttributor(EigenCam(layered))},
      {"eigen_grad_cam", AnyAttributor(EigenGradCam(layered))},
      {"kpca_cam", AnyAttributor(KpcaCam(layered))},
      {"guided_grad_cam", AnyAttributor(GuidedGradCam(layered))},
      {"occlusion", AnyAttributor(Occlusion(&network))},
      {"feature_ablation", AnyAttributor(FeatureAblation(&network, {.mask = seven}))},
      {"shapley_sampling",
       AnyAttributor(ShapleySampling(&network, {.mask = seven, .samples = 4, .seed = 9}))},
      {"shapley_exact", AnyAttributor(ShapleyExact(&network, {.mask = FeatureMask::grid({3})}))},
      {"kernel_shap", AnyAttributor(KernelShap(&network, {.mask = seven, .samples = 4, .seed = 9}))},
      {"ablation_cam", AnyAttributor(AblationCam(cuttable))},
      {"score_cam", AnyAttributor(ScoreCam(layered))},
      {"rise", AnyAttributor(Rise(&network, {.samples = 4, .seed = 9}))},
      {"sobol", AnyAttributor(Sobol(&network, {.designs = 4, .seed = 9}))},
      {"hsic", AnyAttributor(Hsic(&network, {.designs = 4, .seed = 9}))},
      {"xrai",
       AnyAttributor(Xrai(IntegratedGradients(&network, {.steps = 5, .baseline = xrai_baselines()})))},
      {"extremal_perturbation", AnyAttributor(ExtremalPerturbation(&network, {.steps = 5}))},
      {"lime", AnyAttributor(Lime(&network, {.mask = seven, .samples = 4, .seed = 9}))},
  };
  std::size_t own_graph = 0;  // tests/script/relevance_test.cpp has those
  for (const MethodEntry& entry : methods()) {
    own_graph += entry.needs_graph ? 1 : 0;
    if (entry.needs_graph) continue;
    CAPTURE(std::string(entry.name));
    const Attribution own = expected.at(std::string(entry.name))(input, ClassIndex{3});
    const Attribution made = by_name(std::string(entry.name), {.samples = 4, .seed = 9, .steps = 5});
    CHECK(same(made.values, own.values));
    CHECK(same(made.score, own.score));
    CHECK(own.values.any().item<bool>());
  }
  CHECK(expected.size() + own_graph == methods().size());
}

TEST_CASE("the registry: a method heeds the options that its entry names, and no other") {
  const MethodOptions usual{.samples = 110, .seed = 1, .steps = 5, .segments = FeatureMask::grid({3})};
  using Change = std::function<void(MethodOptions&)>;
  const std::vector<std::pair<std::string, Change>> changes{
      {"samples", [](MethodOptions& options) { options.samples = 5; }},
      {"noise", [](MethodOptions& options) { options.noise = 0.5; }},
      {"seed", [](MethodOptions& options) { options.seed = 2; }},
      {"steps", [](MethodOptions& options) { options.steps = 9; }},
      {"baseline", [](MethodOptions& options) { options.baseline = Baseline::constant(0.5); }},
      {"tolerance", [](MethodOptions& options) { options.tolerance = 1e3; }},
      {"segments",
       [](MethodOptions& options) {
         options.segments = FeatureMask::grid({2, 3});
       }},
      {"window",
       [](MethodOptions& options) {
         options.window = {3, 4};
       }},
      {"layer", [](MethodOptions& options) { options.layer = "convolution.0"; }},
  };
  for (const MethodEntry& entry : methods()) {
    if (entry.needs_graph) continue;
    const std::string name(entry.name);
    CAPTURE(name);
    const at::Tensor values = by_name(name, usual).values;
    for (const auto& each : changes) {
      const auto& [option, change] = each;
      if (entry.cuts && option == "layer") continue;  // that model has one
      CAPTURE(each.first);
      MethodOptions options = usual;
      change(options);
      CHECK(same(by_name(name, options).values, values) == !entry.takes(option));
    }
    MethodOptions options = usual;
    options.chunk = 3;
    int told = 0;
    options.progress = [&told](const Progress&) {
      ++told;
      return true;
    };
    CHECK(support::distance(by_name(name, options).values, values) < 1e-9);
    const bool of_many = entry.takes("chunk");
    CHECK((told > 0) == of_many);
    if (entry.takes("samples") || entry.takes("steps")) CHECK(of_many);
    options.chunk = -1;
    CHECK(contains(message<ArgumentError>([&] { by_name(name, options); }), "chunk must be") == of_many);
  }
  CHECK(!find_method("smooth_grad").takes(""));
  CHECK(!find_method("smooth_grad").takes("sample"));
}

TEST_CASE("the registry: a method of a layer, or of a graph, says that the model shows none") {
  for (const MethodEntry& entry : methods()) {
    CAPTURE(std::string(entry.name));
    const std::string said =
        message<ModelError>([&] { entry.make(AnyModel(&network), {.samples = 4, .steps = 2})(input); });
    CHECK(contains(said, "does not show the last convolution") == entry.takes("layer"));
    CHECK(contains(said, "shows none: it must hold a ScriptModel") == entry.needs_graph);
  }
}
