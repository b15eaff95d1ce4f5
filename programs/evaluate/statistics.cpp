#include "statistics.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <random>
#include <string>

#include "../common/metrics.hpp"

namespace {

at::Tensor table(const std::vector<std::vector<double>>& rows) {
  std::vector<double> values;
  for (const std::vector<double>& row : rows) values.insert(values.end(), row.begin(), row.end());
  return at::tensor(values, at::kDouble).view({static_cast<std::int64_t>(rows.size()), -1});
}

nlohmann::json list(const at::Tensor& values) {
  return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
}

/// Of the value that `of` finds in what is known of a method.
nlohmann::json result(const std::vector<Record>& records, const std::string& method,
                      const nlohmann::json::json_pointer& of, std::uint64_t seed) {
  std::vector<std::vector<double>> values;
  for (const Record& record : records) {
    const nlohmann::json& value = record.at("methods").at(method).at(of);
    if (!value.is_null()) values.push_back({value.get<double>()});
  }
  nlohmann::json result{{"count", values.size()}};
  if (values.empty()) return result;
  const auto [mean, low, high] = bootstrap(table(values), seed);
  result["mean"] = mean.item<double>();
  result["low"] = low.item<double>();
  result["high"] = high.item<double>();
  return result;
}

/// The figures of methods with several seeds, as metrics; none without such methods.
nlohmann::json stabilities(const std::vector<Record>& records, const EvaluateOptions& options) {
  const std::string seeds = std::to_string(options.seeds) + " seeds";
  auto figures = nlohmann::json::array(
      {{{"name", "stability"},
        {"meaning", "mean correlation of the maps of " + seeds + "; 1: the seed does not matter"},
        {"higher", true}},
       {{"name", "error_ratio"},
        {"meaning", "spread of the values between the " + seeds +
                        " over the standard error that the method states; above 1: it states too little"},
        {"higher", nullptr}}});
  bool any = false;
  for (const std::string& method : options.methods) {
    if (!with_seeds(options, method)) continue;
    any = true;
    for (nlohmann::json& figure : figures) {
      const nlohmann::json::json_pointer of("/" + figure["name"].get<std::string>());
      figure["results"][method] = result(records, method, of, options.seed);
    }
  }
  return any ? figures : nlohmann::json::array();
}

/// The mean time of each method, also as that many forward passes. These were timed beside it, so that the
/// ratio holds if another run, under another load, added other methods.
nlohmann::json costs(const std::vector<Record>& records, const std::vector<std::string>& methods) {
  nlohmann::json costs;
  for (const std::string& method : methods) {
    double own = 0.0, forward = 0.0;
    for (const Record& record : records) {
      const nlohmann::json& known = record.at("methods").at(method);
      own += known.at("seconds").get<double>();
      forward += known.at("forward_seconds").get<double>();
    }
    costs[method] = {{"seconds", own / static_cast<double>(records.size())}, {"forwards", own / forward}};
  }
  return costs;
}

nlohmann::json curves(const std::vector<Record>& records, const EvaluateOptions& options) {
  auto curves = nlohmann::json::object();
  for (const char* name : {"deletion", "insertion", "road_strongest_first", "road_weakest_first"}) {
    for (const std::string& method : options.methods) {
      std::vector<std::vector<double>> scores;
      for (const Record& record : records) {
        const nlohmann::json& known = record.at("methods").at(method).at("curves");
        if (!known.contains(name)) continue;
        scores.push_back(known.at(name).at("score").get<std::vector<double>>());
        curves[name]["fraction"] = known.at(name).at("fraction");
      }
      if (scores.empty()) continue;
      const auto [mean, low, high] = bootstrap(table(scores), options.seed);
      curves[name]["methods"][method] = {{"mean", list(mean)}, {"low", list(low)}, {"high", list(high)}};
    }
  }
  return curves;
}

}  // namespace

Interval bootstrap(const at::Tensor& rows, std::uint64_t seed) {
  constexpr std::int64_t resamples = 1000;
  const std::int64_t count = rows.size(0);
  const at::Tensor weights = rows.new_zeros({resamples, count});
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::int64_t> any(0, count - 1);
  for (std::int64_t r = 0; r < resamples; ++r) {
    double* weight = weights.data_ptr<double>() + r * count;
    for (std::int64_t n = 0; n < count; ++n) weight[any(random)] += 1.0;
  }
  const at::Tensor means = weights.matmul(rows).div_(static_cast<double>(count));
  return {.mean = rows.mean(0), .low = means.quantile(0.025, 0), .high = means.quantile(0.975, 0)};
}

nlohmann::json summary(const std::vector<Record>& records, const EvaluateOptions& options) {
  auto metrics = nlohmann::json::array();
  for (const MetricName& metric : metric_names()) {
    if (std::ranges::find(options.metrics, metric.name) == options.metrics.end()) continue;
    nlohmann::json results;
    for (const std::string& method : options.methods) {
      const nlohmann::json::json_pointer of("/metrics/" + metric.name);
      results[method] = result(records, method, of, options.seed);
    }
    metrics.push_back({{"name", metric.name},
                       {"meaning", metric.meaning},
                       {"higher", metric.higher_is_better},
                       {"results", results}});
  }
  for (const nlohmann::json& figure : stabilities(records, options)) metrics.push_back(figure);
  return {{"images", records.size()},
          {"methods", options.methods},
          {"metrics", metrics},
          {"costs", costs(records, options.methods)},
          {"curves", curves(records, options)}};
}
