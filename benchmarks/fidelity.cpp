// How near are the maps of a prepared model and of bfloat16 to those of float32?
//
//   fidelity MODEL.pt PICTURE...
//
// Prints for each method, as means over the pictures (224x224, each explained for the class that float32
// predicts): the cosine of the two maps and the share that their strongest 1% of pixels have in common.
// "fast" is Prepare::fast against no preparation, "bfloat16" is bfloat16 against float32, both prepared.

#include <salience/input/preprocessor.hpp>
#include <salience/method/grad_cam.hpp>
#include <salience/method/guided_backprop.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/method/smooth_grad.hpp>
#include <salience/model/script_model.hpp>
#include <salience/picture/image_io.hpp>

#include <cstdio>
#include <functional>
#include <iostream>
#include <utility>
#include <vector>

namespace sal = salience;

namespace {

using Method = std::function<at::Tensor(const sal::ScriptModel&, const at::Tensor&, const sal::ClassIndex&)>;

struct Agreement {
  double cosine = 0.0, overlap = 0.0;

  void add(const at::Tensor& a, const at::Tensor& b, double weight) {
    const at::Tensor x = a.to(at::kDouble).flatten(), y = b.to(at::kDouble).flatten();
    cosine += weight * (x.dot(y) / (x.norm() * y.norm())).item<double>();
    const auto strongest = [](const at::Tensor& map) {
      const at::Tensor strength = map.abs().sum(1).flatten();
      const std::int64_t count = std::max<std::int64_t>(strength.numel() / 100, 1);
      return at::zeros_like(strength).index_fill_(0, std::get<1>(strength.topk(count)), 1.0);
    };
    const at::Tensor first = strongest(a);
    overlap += weight * (first.mul(strongest(b)).sum() / first.sum()).item<double>();
  }
};

std::vector<std::pair<const char*, Method>> methods() {
  const auto by = [](auto make) -> Method {
    return [make](const sal::ScriptModel& model, const at::Tensor& input, const sal::ClassIndex& target) {
      return make(model)(input, target).values;
    };
  };
  return {
      {"vanilla", by([](const auto& model) { return sal::GradientAttributor(model); })},
      {"guided_backprop", by([](const auto& model) { return sal::GuidedBackprop(model); })},
      {"grad_cam", by([](const auto& model) { return sal::GradCam(model); })},
      {"smooth_grad", by([](const auto& model) {
         return sal::SmoothGrad(sal::GradientAttributor(model), {.samples = 20});
       })},
      {"integrated_gradients",
       by([](const auto& model) { return sal::IntegratedGradients(model, {.steps = 20}); })},
  };
}

void run(const std::string& path, const std::vector<std::string>& pictures) {
  const auto plain = sal::ScriptModel::load(path);
  const auto fast = sal::ScriptModel::load(path, {.prepare = sal::Prepare::fast});
  const auto bfloat16 = sal::ScriptModel::load(path, {.dtype = at::kBFloat16, .prepare = sal::Prepare::fast});
  const auto preprocess = sal::imagenet_preprocessor();
  std::printf("%-22s  %-10s  %-8s  %s\n", "method", "compared", "cosine", "overlap");
  for (const auto& [name, method] : methods()) {
    Agreement of_fast, of_bfloat16;
    for (const std::string& picture : pictures) {
      const at::Tensor input = preprocess(sal::load_image(picture));
      const sal::ClassIndex target{plain(input).argmax(1).item<std::int64_t>()};
      const at::Tensor prepared = method(fast, input, target);
      const double weight = 1.0 / static_cast<double>(pictures.size());
      of_fast.add(prepared, method(plain, input, target), weight);
      of_bfloat16.add(prepared, method(bfloat16, input, target), weight);
    }
    for (const auto& [compared, agreement] :
         {std::pair{"fast", of_fast}, std::pair{"bfloat16", of_bfloat16}}) {
      std::printf("%-22s  %-10s  %.6f  %.4f\n", name, compared, agreement.cosine, agreement.overlap);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: fidelity MODEL.pt PICTURE...\n";
    return 2;
  }
  try {
    run(argv[1], {argv + 2, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "fidelity: " << error.what() << '\n';
    return 1;
  }
}
