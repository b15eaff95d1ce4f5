// How many gradients do Integrated Gradients need, by uniform steps and to a tolerance?
//
//   integrated_gradients MODEL.pt SIZE IMAGE...
//
// From a black baseline, to the predicted class, ImageNet's normalisation. Errors of maps are L1 norms
// against 1024 uniform steps, relative to the map. "First" is the smallest power of two of uniform steps that
// is complete to 1%.

#include <salience/input/preprocessor.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/model/script_model.hpp>
#include <salience/picture/image_io.hpp>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <limits>
#include <string>

namespace sal = salience;

namespace {

struct Totals {
  double ratios = 0.0;
  double worst = 0.0;
  double estimate_low = 1.0, estimate_high = 1.0;
  int count = 0;
  std::int64_t uniform = 0, complete = 0, both = 0;
};

double number(const at::Tensor& one) { return one.to(at::kDouble).item<double>(); }

void measure(const sal::ScriptModel& model, int size, const std::string& path, Totals& totals) {
  const auto preprocess = sal::imagenet_preprocessor(size, size);
  const at::Tensor input = preprocess(sal::load_image(path));
  const sal::Baseline black = sal::Baseline::tensor(preprocess(sal::Image(size, size, 3)));
  const auto uniform = [&](std::int64_t steps) {
    return sal::IntegratedGradients(
        model, {.steps = steps, .rule = sal::Quadrature::trapezoid, .baseline = black})(input);
  };
  const auto adaptive = [&](double tolerance, double map_tolerance, std::int64_t most) {
    return sal::IntegratedGradients(
        model,
        {.baseline = black, .tolerance = tolerance, .map_tolerance = map_tolerance, .max_evaluations = most})(
        input);
  };
  const at::Tensor truth = uniform(1024).values;
  const auto error = [&](const sal::Attribution& a) {
    return number(a.values.sub(truth).abs().sum()) / number(truth.abs().sum());
  };
  const auto stated = [&](const sal::Attribution& a) {
    const double share = number(a.map_error) / error(a);
    totals.estimate_low = std::min(totals.estimate_low, share);
    totals.estimate_high = std::max(totals.estimate_high, share);
    return share;
  };

  std::printf("%s\n  gradients  uniform  refined  ratio  estimate/true\n",
              std::filesystem::path(path).filename().c_str());
  for (const std::int64_t count : {33, 65, 129}) {
    const double even = error(uniform(count - 1));
    const sal::Attribution a = adaptive(0.0, 1e-9, count);
    const double ratio = error(a) / even;
    std::printf("  %9lld  %7.4f  %7.4f  %5.3f  %13.2f\n", static_cast<long long>(count), even, error(a),
                ratio, stated(a));
    totals.ratios += ratio;
    totals.worst = std::max(totals.worst, ratio);
    ++totals.count;
  }
  std::int64_t steps = 2;
  while (steps < 1024 && number(uniform(steps).relative_completeness_error) > 0.01) steps *= 2;
  const sal::Attribution sum = adaptive(0.01, std::numeric_limits<double>::infinity(), 500);
  const sal::Attribution both = adaptive(0.01, 0.0, 500);
  const auto said = [](const sal::Attribution& a) {
    return static_cast<long long>(a.evaluations.item<std::int64_t>());
  };
  std::printf(
      "  1%% completeness: uniform first at %lld, refined %lld; with a map error of 5%%: %lld (true error "
      "%.3f, "
      "estimate/true %.2f)\n",
      static_cast<long long>(steps + 1), said(sum), said(both), error(both), stated(both));
  totals.uniform += steps + 1;
  totals.complete += said(sum);
  totals.both += said(both);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: integrated_gradients MODEL.pt SIZE IMAGE...\n";
    return 2;
  }
  try {
    const auto model = sal::ScriptModel::load(argv[1], {.prepare = sal::Prepare::fast});
    Totals totals;
    for (int i = 3; i < argc; ++i) measure(model, std::stoi(argv[2]), argv[i], totals);
    std::printf(
        "all\n  error at equal gradients: %.3f of uniform in the mean, %.3f at worst; estimate %.2f to %.2f "
        "of the "
        "true error\n  gradients to 1%% completeness: uniform %lld, refined %lld; with a map error of 5%%: "
        "%lld\n",
        totals.ratios / totals.count, totals.worst, totals.estimate_low, totals.estimate_high,
        static_cast<long long>(totals.uniform), static_cast<long long>(totals.complete),
        static_cast<long long>(totals.both));
  } catch (const std::exception& error) {
    std::cerr << "integrated_gradients: " << error.what() << '\n';
    return 1;
  }
}
