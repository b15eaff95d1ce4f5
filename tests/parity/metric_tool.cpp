// metric_tool FOLDER: every metric on one model, for test_metrics.py.
//
// Tensors are files "NAME.raw": the sizes in one line of text, then the values, float64. Read are the input
// (N, C, H, W), its map (N, H, W) and values (N, C, H, W), another map, a mask (N, H, W), the target (N), and
// the model's two matrices; written is what each metric gives and, where it draws noise, the inputs that it
// asked the model about.
#include <salience/method/gradient_attributor.hpp>
#include <salience/metric/completeness.hpp>
#include <salience/metric/complexity.hpp>
#include <salience/metric/confidence.hpp>
#include <salience/metric/deletion_insertion.hpp>
#include <salience/metric/infidelity.hpp>
#include <salience/metric/localisation.hpp>
#include <salience/metric/road.hpp>
#include <salience/metric/sensitivity.hpp>
#include <salience/metric/similarity.hpp>

#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace sal = salience;

namespace {

std::string folder;

at::Tensor read(const std::string& name) {
  std::ifstream file(folder + "/" + name + ".raw", std::ios::binary);
  std::string line;
  std::getline(file, line);
  std::istringstream sizes(line);
  std::vector<std::int64_t> shape;
  for (std::int64_t size; sizes >> size;) shape.push_back(size);
  at::Tensor values = sal::detail::empty(shape, at::kDouble);
  file.read(static_cast<char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
  if (!file) throw std::runtime_error("cannot read " + name);
  return values;
}

void write(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kDouble).contiguous();
  std::ofstream file(folder + "/" + name + ".raw", std::ios::binary);
  for (const std::int64_t size : values.sizes()) file << size << ' ';
  file << '\n';
  file.write(static_cast<const char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
  if (!file) throw std::runtime_error("cannot write " + name);
}

/// A perceptron of one hidden layer, and what it was asked about.
struct Network {
  at::Tensor first, second;
  std::vector<at::Tensor>* asked;
  at::Tensor operator()(const at::Tensor& x) const {
    asked->push_back(x.detach().clone());
    return x.flatten(1).matmul(first).relu().matmul(second);
  }
};

void run() {
  std::vector<at::Tensor> asked;
  const Network model{read("first"), read("second"), &asked};
  const at::Tensor input = read("input"), map = read("map"), other = read("other"), mask = read("mask");
  const sal::Attribution mapped{{.target = read("target").to(at::kLong)}, map};
  const sal::Attribution valued{{.target = mapped.target}, read("values")};

  /// All that the model was asked about since, but the clean input.
  const auto write_asked = [&](const std::string& name) {
    std::vector<at::Tensor> variants;
    for (std::size_t i = 1; i < asked.size(); ++i) variants.push_back(asked[i][0]);
    at::Tensor all = sal::detail::batch_like(input[0], variants.size());
    for (std::size_t i = 0; i < variants.size(); ++i) all[static_cast<std::int64_t>(i)].copy_(variants[i]);
    write(name, all);
  };

  const std::int64_t pixels = map[0].numel();
  const sal::PerturbationCurve gone = sal::Deletion(model, {.steps = pixels / 4})(input, mapped);
  write("deletion", gone.score);
  write("deletion_area", gone.area);
  const sal::PerturbationCurve come =
      sal::Insertion(model, {.baseline = sal::Baseline::zero(), .steps = pixels / 4})(input, mapped);
  write("insertion", come.score);

  // The same network with a softmax at its end, and with one logit, of either class.
  const auto ended = [&](const at::Tensor& x) { return model(x).softmax(1); };
  write("deletion_ended", sal::Deletion(ended, {.steps = pixels / 4})(input, mapped).score);
  const Network single{model.first, model.second.slice(1, 0, 1), &asked};
  for (const std::int64_t index : {0, 1}) {
    const sal::Attribution of{{.target = at::Tensor(mapped.target.mul(0)).add(index)}, map};
    write(index == 1 ? "deletion_yes" : "deletion_no",
          sal::Deletion(single, {.steps = pixels / 4})(input, of).score);
  }

  const std::vector<double> fractions{0.25, 0.5, 0.75};
  const sal::Road road(model, {.fractions = fractions, .noise = 0.0});
  const sal::RoadCurves curves = road(input, mapped);
  write("morf", curves.most_relevant_first);
  write("lerf", curves.least_relevant_first);
  write("road_predicted",
        road(input, mapped, sal::TargetSelector{sal::ArgMax{}, sal::Predicted{}}).most_relevant_first);

  for (const bool normalize : {false, true}) {
    asked.clear();
    const sal::Infidelity infidelity(model, {.samples = 6, .seed = 3, .normalize = normalize, .chunk = 1});
    write(normalize ? "infidelity_normalized" : "infidelity", infidelity(input, valued));
    write_asked("infidelity_inputs");
  }

  asked.clear();
  const sal::GradientAttributor vanilla(model);
  const sal::MaxSensitivity sensitivity(vanilla, {.samples = 6, .radius = 0.5, .seed = 4, .chunk = 1});
  std::vector<std::int64_t> classes;
  for (std::int64_t n = 0; n < input.size(0); ++n) classes.push_back(mapped.target[n].item<std::int64_t>());
  write("sensitivity", sensitivity(input, sal::PerSample{classes}).maximum);
  write_asked("sensitivity_inputs");

  const sal::Completeness completeness(model, {.baseline = sal::Baseline::constant(0.5)});
  write("completeness", completeness(input, valued).absolute);

  const sal::ConfidenceChange change = sal::Confidence(model)(input, mapped);
  write("confidence_drop", change.drop);
  write("confidence_increase", change.increase);

  write("pointing", sal::pointing_game(map, mask, {.tolerance = 0}));
  write("energy", sal::energy(map.abs(), mask));
  write("iou", sal::iou(map, mask));
  write("gini", sal::gini(map));
  write("entropy", sal::entropy(map));
  write("pearson", sal::pearson(map, other));
  write("spearman", sal::spearman(map, other));
  write("ssim", sal::ssim(map, other));
  write("top_k_overlap", sal::top_k_overlap(map, other, 20));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    folder = argv[1];
    run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
