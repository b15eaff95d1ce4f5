#include "explainer.hpp"

#include <salience/picture/image_io.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/view/attribution_processor.hpp>

#include <chrono>
#include <new>
#include <utility>

#include "../common/json_number.hpp"
#include "../common/pictures.hpp"

namespace sal = salience;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

}  // namespace

Explainer::Explainer(const DatasetOptions& options)
    : options_(options),
      labels_(options.labels.empty() ? sal::Labels{} : sal::load_labels(options.labels)),
      preprocess_(preprocessor(options)),
      device_(device(options)),
      model_(loaded_model(options)) {
  labels_ = class_labels(labels_, model_, black(options_, preprocess_));
  const sal::Baseline start = baseline(options, preprocess_);
  methods_ = methods(model_, options, start, {});
  metrics_ = metrics(model_, options, options.sign, start);
}

Loaded Explainer::read(const Manifest& manifest, std::int64_t index) const {
  const auto start = std::chrono::steady_clock::now();
  Loaded loaded;
  loaded.index = index;
  try {
    const Sample sample = manifest[index];
    loaded.name = sample.name;
    loaded.target = class_index(sample.target, labels_);
    if (!sample.mask.empty()) loaded.mask = load_mask(sample.mask, options_.height, options_.width);
    loaded.input = preprocess_(sal::load_image(sample.path)).to(dtype(options_));
  } catch (const std::exception& error) {  // also a picture too large for the memory
    loaded.problem = first_line(error);
  }
  loaded.seconds = seconds_since(start);
  return loaded;
}

std::vector<Outcome> Explainer::explain(std::vector<Loaded> samples) {
  try {
    std::vector<Outcome> outcomes = compute(samples);
    succeeded_ = true;
    return outcomes;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    if (samples.size() == 1) {
      if (!succeeded_) {
        Loaded black = samples.front();
        black.input = ::black(options_, preprocess_).cpu();
        black.target.reset();
        compute({black});
        succeeded_ = true;
      }
      std::vector<Outcome> outcomes(1);
      outcomes[0].record = {{"sample", samples[0].index},
                            {"path", samples[0].name},
                            {"status", "failed"},
                            {"problem", first_line(error)}};
      outcomes[0].read_seconds = samples[0].seconds;
      return outcomes;
    }
  }
  std::vector<Outcome> outcomes;
  for (Loaded& sample : samples) {
    std::vector<Loaded> alone;
    alone.push_back(std::move(sample));
    for (Outcome& outcome : explain(std::move(alone))) outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

std::vector<Outcome> Explainer::compute(const std::vector<Loaded>& samples) const {
  const auto start = std::chrono::steady_clock::now();
  std::vector<at::Tensor> inputs;
  Classes classes;
  std::vector<Outcome> outcomes(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Loaded& sample = samples[i];
    inputs.push_back(sample.input);
    classes.push_back(sample.target);
    outcomes[i].record = {{"sample", sample.index}, {"path", sample.name}, {"status", "done"}};
    if (!options_.views.empty()) outcomes[i].input = sample.input;
    outcomes[i].read_seconds = sample.seconds;
  }
  const at::Tensor input = at::cat(inputs).to(device_);

  for (const std::string& name : options_.methods) {
    const Method& method = methods_.at(name);
    const sal::Attribution batch = method(input, classes);
    const at::Tensor values = batch.values.cpu();
    const at::Tensor probability =
        batch.logits.dim() == 2
            ? sal::ClassOutput(batch.logits, batch.output_type).widened().probability(batch.target)
            : at::Tensor();  // a bare score has none
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      const sal::Attribution attribution = batch.sample(row);
      Outcome& outcome = outcomes[i];
      nlohmann::json& record = outcome.record;
      if (!record.contains("target")) {
        record["target"] = attribution.target.item<std::int64_t>();
        record["score"] = json_number(attribution.score);
        record["probability"] = probability.defined() ? json_number(probability[row]) : nlohmann::json();
      }
      // All later methods explain the class that the first one chose.
      classes[i] = record["target"].get<std::int64_t>();
      outcome.values[name] = values.narrow(0, row, 1);
      outcome.values_of[name] = attribution.values_of;
      const bool whole = sal::count_non_finite(outcome.values[name]) == 0;
      if (!whole) record["status"] = "non_finite";

      nlohmann::json& figures = record["methods"][name] = nlohmann::json::object();
      for (const sal::Figure& figure : sal::figures(attribution)) {
        figures[std::string(figure.name)] = json_number(figure.values);
      }
      const at::Tensor own = input.narrow(0, row, 1);
      const Case of{.input = own,
                    .attribution = attribution,
                    .index = *classes[i],
                    .mask = samples[i].mask,
                    .method = name,
                    .explain = method,
                    .randomized = nullptr};
      for (const std::string& metric : options_.metrics) {
        figures[metric] = whole ? json_number(metrics_.at(metric)(of).value) : nlohmann::json();
      }
    }
  }
  const double seconds = seconds_since(start) / static_cast<double>(samples.size());
  for (Outcome& outcome : outcomes) outcome.compute_seconds = seconds;
  return outcomes;
}
