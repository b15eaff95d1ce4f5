// How long do Integrated Gradients to a tolerance take, and how many gradients?
//
//   tolerance MODEL.pt FOLDER PICTURE... [--benchmark options]
//
// From a black baseline to the predicted class, pictures of 224x224. Each row's map is left in
// FOLDER/PICTURE.ROW.pt, which torch.load reads, for another program to judge by the row `truth`: 1024
// uniform steps.

#include <torch/csrc/jit/serialization/pickle.h>
#include <salience/file.hpp>
#include <salience/input/preprocessor.hpp>
#include <salience/method/integrated_gradients.hpp>
#include <salience/picture/image_io.hpp>

#include <filesystem>
#include <string_view>
#include <vector>

#include "common.hpp"

namespace sal = salience;

namespace {

void write_map(const std::filesystem::path& path, const at::Tensor& map) {
  const std::vector<char> bytes = torch::jit::pickle_save(map);
  sal::write_file_atomically(path, std::string_view(bytes.data(), bytes.size()));
}

}  // namespace

int main(int argc, char** argv) {
  return bench::answer(
      argc, argv, "tolerance MODEL.pt FOLDER PICTURE...", 3, [](int count, char** arguments) {
        const auto model = sal::ScriptModel::load(arguments[0], {.prepare = sal::Prepare::fast});
        const auto preprocess = sal::imagenet_preprocessor();
        const auto black = sal::Baseline::tensor(preprocess(sal::Image(224, 224, 3)));
        const double any = std::numeric_limits<double>::infinity();
        const std::pair<const char*, sal::IntegratedGradientsOptions> rows[] = {
            {"completeness_1", {.baseline = black, .tolerance = 0.01, .map_tolerance = any}},
            {"both", {.baseline = black, .tolerance = 0.01}},
            {"map_5", {.baseline = black, .map_tolerance = 0.05}},
            {"map_2", {.baseline = black, .map_tolerance = 0.02}},
            {"truth", {.steps = 1024, .rule = sal::Quadrature::trapezoid, .baseline = black}},
        };
        for (int i = 2; i < count; ++i) {
          const std::filesystem::path picture = arguments[i];
          const at::Tensor input = preprocess(sal::load_image(picture));
          for (const auto& [name, options] : rows) {
            const std::string row = picture.stem().string() + "." + name;
            const sal::IntegratedGradients method(model, options);
            const std::filesystem::path file = std::filesystem::path(arguments[1]) / (row + ".pt");
            benchmark::RegisterBenchmark(row.c_str(),
                                         [=](benchmark::State& state) {
                                           sal::Attribution a;
                                           for (auto _ : state) a = method(input);
                                           const auto figure = [](const at::Tensor& one) {
                                             return one.defined() ? one.to(at::kDouble).item<double>() : 0.0;
                                           };
                                           state.counters["evaluations"] = figure(a.evaluations);
                                           state.counters["completeness"] =
                                               figure(a.relative_completeness_error);
                                           state.counters["map_error"] = figure(a.map_error);
                                           state.counters["converged"] = figure(a.converged);
                                           write_map(file, a.values);
                                         })
                ->Unit(benchmark::kMillisecond)
                ->UseRealTime();
          }
        }
      });
}
