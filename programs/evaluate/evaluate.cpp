// Which method tells the truth about a model? Figures over a folder of pictures, with their uncertainty and
// what each method costs.

#include <ATen/Parallel.h>
#include <salience/metric/randomized_model.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/target/prediction.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../commands.hpp"
#include "../common/methods.hpp"
#include "../common/metrics.hpp"
#include "../common/network.hpp"
#include "../common/page.hpp"
#include "../common/pictures.hpp"
#include "../common/program.hpp"
#include "../common/progress_line.hpp"
#include "../common/views.hpp"
#include "evaluation_page.hpp"
#include "options.hpp"
#include "records.hpp"
#include "stability.hpp"
#include "statistics.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

constexpr int examples = 4;  // pictures whose maps the page shows

double seconds(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A figure in a record: null where there is none.
Record figure(double value) { return std::isfinite(value) ? Record(value) : Record(); }

/// Everything that explains and measures.
class Evaluation {
 public:
  explicit Evaluation(const EvaluateOptions& options)
      : options_(options),
        preprocess_(preprocessor(options)),
        device_(device(options)),
        model_(loaded_model(options)),
        baseline_(baseline(options, preprocess_)),
        methods_(methods(model_, options, baseline_, {})),
        metrics_(metrics(model_, options, options.sign, baseline_)) {
    add_seeds();
    if (std::ranges::find(options.metrics, "randomization") == options.metrics.end()) return;
    const sal::RandomizedModel random(model_, {.seed = options.seed});
    randomized_ = methods(random(std::ssize(random.layers()) - 1), options, baseline_, {});
  }

  /// See ::class_labels.
  sal::Labels class_labels(const sal::Labels& labels) const {
    return ::class_labels(labels, model_, black(options_, preprocess_));
  }

  /// Adds to the record what it lacks. `show` is told each method that begins. Throws FileError for a picture
  /// or mask that cannot be read, before all else.
  void complete(Record& record, const std::string& image, bool as_example, const auto& show) {
    const at::Tensor input =
        preprocess_(sal::load_image(fs::path(options_.images) / image)).to(device_, dtype(options_));
    const fs::path file = mask_of(options_.masks, image);
    const at::Tensor mask = file.empty() ? at::Tensor() : load_mask(file, options_.height, options_.width);
    if (!warm_) warm_up(input);
    std::int64_t index = 0;
    record["image"] = image;
    const double forward = seconds([&] { index = predicted(input); });
    record["class"] = index;
    const sal::Image seen = preprocess_.picture(input);
    if (as_example) record["example"]["input"] = data_uri(seen);

    for (const std::string& name : options_.methods) {
      show(name);
      if (holds(record, name, options_)) continue;
      const Method& method = methods_.at(name);
      sal::Attribution attribution;
      Record& own = record["methods"][name];
      own["seconds"] = seconds([&] {
        attribution = method(input, {index});
        attribution.values.cpu();  // which waits for the device
      });
      own["forward_seconds"] = forward;  // under the same load as the method
      if (!own.contains("curves")) own["curves"] = Record::object();
      const Case of{.input = input,
                    .attribution = attribution,
                    .index = index,
                    .mask = mask,
                    .method = name,
                    .explain = method,
                    .randomized = randomized_.empty() ? nullptr : &randomized_.at(name)};
      const bool finite = sal::count_non_finite(attribution.values) == 0;
      for (const std::string& metric : options_.metrics) {
        if (own["metrics"].contains(metric)) continue;
        const Measured measured = finite ? metrics_.at(metric)(of) : Measured{.value = NAN};
        own["metrics"][metric] = figure(measured.value);
        for (const auto& [curve, points] : measured.curves) {
          own["curves"][curve] = {{"fraction", points.fraction}, {"score", points.score}};
        }
      }
      if (with_seeds(options_, name) && !own.contains("stability")) measure_stability(own, of);
      if (record.contains("example")) {
        sal::AttributionProcessorOptions view = overlay_options(attribution.values_of);
        view.non_finite = sal::NonFinite::zero;
        const sal::AttributionProcessor overlay{view};
        record["example"]["maps"][name] = data_uri(overlay(attribution.values, seen));
      }
    }
  }

 private:
  /// Makes the methods of the further seeds.
  void add_seeds() {
    const auto seeded = [this](const std::string& name) { return with_seeds(options_, name); };
    if (std::ranges::none_of(options_.methods, seeded)) return;
    EvaluateOptions other = options_;
    for (std::int64_t i = 1; i < options_.seeds; ++i) {
      ++other.seed;
      std::map<std::string, Method> all = methods(model_, other, baseline_, {}), wanted;
      for (const std::string& name : options_.methods) {
        if (seeded(name)) wanted.emplace(name, std::move(all.at(name)));
      }
      further_seeds_.push_back(std::move(wanted));
    }
  }

  /// Explains with the further seeds too, whose maps are kept no longer than this takes.
  void measure_stability(Record& own, const Case& of) const {
    std::vector<sal::Attribution> by_seed{of.attribution};
    by_seed.reserve(further_seeds_.size() + 1);
    for (const auto& seed : further_seeds_) by_seed.push_back(seed.at(of.method)(of.input, {of.index}));
    const Stability stability = ::stability(by_seed, pixel_options(options_.sign, of.method));
    own["stability"] = figure(stability.similarity);
    own["error_ratio"] = figure(stability.error_ratio);
  }

  std::int64_t predicted(const at::Tensor& input) const {
    const c10::NoGradGuard no_grad;
    return sal::ClassOutput(model_(input), output_type(options_)).prediction().item<std::int64_t>();
  }

  /// The first call of anything takes longer; its time would count as the method's.
  void warm_up(const at::Tensor& input) {
    warm_ = true;
    const std::int64_t index = predicted(input);
    for (const std::string& name : options_.methods) methods_.at(name)(input, {index});
  }

  const EvaluateOptions& options_;
  Preprocess preprocess_;
  at::Device device_;
  sal::GraphModel model_;
  sal::Baseline baseline_;
  std::map<std::string, Method> methods_, randomized_;
  std::vector<std::map<std::string, Method>> further_seeds_;  // of the methods that have several
  std::map<std::string, Metric> metrics_;
  bool warm_ = false;
};

void print(const nlohmann::json& results, long skipped) {
  std::size_t longest = 0;
  for (const std::string name : results["methods"]) longest = std::max(longest, name.size());
  const auto column = [](double value) { std::cout << std::setw(11) << value; };
  std::cout << results["images"] << " pictures";
  if (skipped > 0) std::cout << ", " << skipped << " skipped";
  std::cout << "; mean and 95% bootstrap interval\n" << std::setprecision(4);
  for (const nlohmann::json& metric : results["metrics"]) {
    std::cout << '\n'
              << metric["name"].get<std::string>()
              << (metric["higher"].is_null()     ? " (1 is right)\n"
                  : metric["higher"].get<bool>() ? " (higher is better)\n"
                                                 : " (lower is better)\n");
    for (const std::string name : results["methods"]) {
      if (!metric["results"].contains(name)) continue;
      const nlohmann::json& result = metric["results"][name];
      std::cout << "  " << std::left << std::setw(static_cast<int>(longest)) << name << std::right;
      if (result.contains("mean")) {
        for (const char* figure : {"mean", "low", "high"}) column(result[figure].get<double>());
      } else {
        std::cout << "  no value";
      }
      if (result["count"] != results["images"]) std::cout << "  of " << result["count"] << " pictures";
      std::cout << '\n';
    }
  }
  std::cout << "\ncost (forward passes that take as long; milliseconds)\n";
  for (const std::string name : results["methods"]) {
    std::cout << "  " << std::left << std::setw(static_cast<int>(longest)) << name << std::right;
    column(results["costs"][name]["forwards"].get<double>());
    column(1000.0 * results["costs"][name]["seconds"].get<double>());
    std::cout << '\n';
  }
}

void run(EvaluateOptions options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  at::manual_seed(options.seed);
  const ProgressLine progress;
  progress.at(0, 1, "loading");
  if (const std::string taken = take_input(options); !taken.empty()) {
    progress.clear();
    std::cout << taken << '\n';
  }
  const std::vector<std::string> images = pictures(options.images);
  if (!options.masks.empty() && !fs::is_directory(options.masks)) {
    throw sal::FileError::at(options.masks, "is no folder");
  }
  const sal::Labels names = options.labels.empty() ? sal::Labels{} : sal::load_labels(options.labels);
  Evaluation evaluation(options);
  const sal::Labels labels = evaluation.class_labels(names);
  const fs::path folder = options.output;
  const Records kept(folder, options);

  std::vector<Record> records;
  long skipped = 0, shown = 0, done = 0;
  const auto methods = static_cast<long>(options.methods.size());
  for (const std::string& image : images) {
    Record record = kept.read(image);
    const bool whole = std::ranges::all_of(
        options.methods, [&](const std::string& method) { return holds(record, method, options); });
    long step = done++ * methods;
    const auto show = [&](const std::string& method) {
      progress.at(step++, static_cast<long>(images.size()) * methods,
                  std::string(image).append(1, ' ').append(method));
    };
    if (!whole) {
      try {
        evaluation.complete(record, image, record.empty() && shown < examples, show);
      } catch (const sal::FileError& error) {
        ++skipped;
        progress.clear();
        const std::string text = error.what();
        std::cerr << "skipped: " << text.substr(0, text.find('\n')) << '\n';
        continue;
      }
      kept.write(image, record);
    }
    shown += record.contains("example") ? 1 : 0;
    records.push_back(std::move(record));
  }
  progress.clear();
  if (records.empty()) throw sal::FileError::at(options.images, "none of its pictures can be read");
  const nlohmann::json results = summary(records, options);
  sal::write_file_atomically(folder / "metrics.csv", csv(records, options));
  sal::write_file_atomically(folder / "index.html",
                             evaluation_page(options, labels, results, records, skipped));
  print(results, skipped);
}

}  // namespace

int evaluate_command(const std::string& called, int argc, char** argv) {
  EvaluateOptions options;
  return run_program(
      called, options, [&] { return parse(called, argc, argv, options); }, [&] { run(options); });
}
