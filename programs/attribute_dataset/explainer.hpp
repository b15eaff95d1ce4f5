// What happens to samples: read from their files, explained in batches, measured.
#pragma once

#include <salience/method/attribution.hpp>
#include <salience/model/graph_model.hpp>
#include <salience/picture/image.hpp>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../common/methods.hpp"
#include "../common/metrics.hpp"
#include "../common/network.hpp"
#include "manifest.hpp"
#include "options.hpp"

/// A sample that was read, or why it could not be.
struct Loaded {
  std::int64_t index = 0;  ///< in the manifest
  std::string name;
  at::Tensor input;  ///< (1,C,H,W), on the CPU
  std::optional<std::int64_t> target;
  at::Tensor mask;  ///< (H,W) bool; undefined if there is none
  std::string problem;
  double seconds = 0.0;
};

/// A sample's row of the results. `record` holds what is the same in every run: {"sample", "path", "status",
/// "position", "target", "score", "probability", "methods": {NAME: {FIGURE: value or null}}}, or "problem"
/// instead of what follows the status.
struct Outcome {
  nlohmann::json record;
  at::Tensor input;                                     ///< as it was, if views are to be written
  std::map<std::string, at::Tensor> values;             ///< of each method (1,C,H,W), on the CPU
  std::map<std::string, salience::ValuesOf> values_of;  ///< what they belong to
  double read_seconds = 0.0, compute_seconds = 0.0;
};

/// `read` may be called by many threads at once, `explain` by one.
class Explainer {
 public:
  /// Throws what is wrong with the model or an option that can be known before any sample.
  explicit Explainer(const DatasetOptions& options);

  /// Never throws for what is wrong with the sample.
  Loaded read(const Manifest& manifest, std::int64_t index) const;

  /// One outcome for each sample, in their order. Where a batch fails its samples are tried one by one: those
  /// that fail again have the status "failed". Throws only for what every batch would fail of: if nothing has
  /// succeeded yet and a black picture fails too.
  std::vector<Outcome> explain(std::vector<Loaded> samples);

  /// The names of the classes, as far as there are.
  const salience::Labels& labels() const { return labels_; }

  /// The picture that the network sees.
  salience::Image picture(const at::Tensor& input) const { return preprocess_.picture(input); }

 private:
  std::vector<Outcome> compute(const std::vector<Loaded>& samples) const;

  DatasetOptions options_;
  salience::Labels labels_;
  Preprocess preprocess_;
  at::Device device_;
  salience::GraphModel model_;
  std::map<std::string, Method> methods_;
  std::map<std::string, Metric> metrics_;
  bool succeeded_ = false;
};
