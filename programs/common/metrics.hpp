// The metrics by their names on the command line.
#pragma once

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "methods.hpp"
#include "settings.hpp"

namespace salience {
struct PixelMapOptions;
}

struct MetricName {
  std::string name;
  std::string meaning;
  bool higher_is_better = false;
  bool needs_mask = false;
};

/// In the order in which results are shown.
const std::vector<MetricName>& metric_names();

/// The first of these metrics that needs masks; empty if none does.
std::string one_that_needs_masks(const std::vector<std::string>& metrics);

using Network = std::function<at::Tensor(const at::Tensor&)>;

/// What a metric looks at: one sample.
struct Case {
  const at::Tensor& input;                   ///< (1,C,H,W)
  const salience::Attribution& attribution;  ///< of the class below
  std::int64_t index;                        ///< the explained class
  const at::Tensor& mask;                    ///< (H,W) bool; undefined if there is none
  const std::string& method;
  const Method& explain;     ///< the method itself
  const Method* randomized;  ///< the same method on the network with random weights; null if nothing needs it
};

/// Scores along a share of changed pixels.
struct Curve {
  std::vector<double> fraction, score;
};

struct Measured {
  double value;  ///< NaN where the metric has no value for the sample
  std::map<std::string, Curve> curves{};
};

using Metric = std::function<Measured(const Case&)>;

/// Every name of metric_names(). `baseline` is where the methods' paths begin. `sign`: whether metrics of
/// pixels look at the "signed" sum of a pixel's values or at the "absolute" one of their sizes; "auto": at
/// sizes for gradients.
std::map<std::string, Metric> metrics(const Network& network, const Settings& settings,
                                      const std::string& sign, const salience::Baseline& baseline);

/// Which number a pixel has in a map of this method, to metrics of pixels. `sign` is as above.
salience::PixelMapOptions pixel_options(const std::string& sign, const std::string& method);

/// Adds the option --sign.
void add_sign_option(CLI::App& app, std::string& sign);
