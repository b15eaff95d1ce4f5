#include "aggregates.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "../common/network.hpp"

namespace {

constexpr std::array statuses{"done", "non_finite", "failed", "unreadable"};

Exact exact(double value) {
  constexpr double most = 0x1p40;  // so that eight million of them fit
  return static_cast<Exact>(std::ldexp(std::clamp(value, -most, most), 64));
}

double as_double(Exact sum) { return std::ldexp(static_cast<double>(sum), -64); }

struct Range {
  double low, high;
};

/// Where the metrics lie that have a range.
const std::map<std::string, Range>& ranges() {
  static const std::map<std::string, Range> known{
      {"deletion", {0, 1}}, {"insertion", {0, 1}}, {"road", {-1, 1}}, {"confidence_drop", {0, 1}},
      {"pointing", {0, 1}}, {"energy", {0, 1}},    {"iou", {0, 1}},   {"gini", {0, 1}}};
  return known;
}

}  // namespace

Aggregates::Aggregates(const Options& options)
    : methods_(options.methods), height_(methods_.size()), width_(methods_.size()) {
  for (const char* status : statuses) status_[status] = 0;
  figures_.push_back({.name = "probability", .method = {}, .low = 0, .high = 1});
  figures_.push_back({.name = "score", .method = {}, .low = -50, .high = 50});
  for (const std::string& method : methods_) {
    for (const char* error : {"relative_completeness", "standard_error"}) {
      figures_.push_back({.name = error, .method = method, .low = -8, .high = 2, .logarithm = true});
    }
    for (const std::string& metric : options.metrics) {
      const auto range = ranges().find(metric);
      const bool known = range != ranges().end();
      figures_.push_back({.name = metric,
                          .method = method,
                          .low = known ? range->second.low : -6,
                          .high = known ? range->second.high : 4,
                          .logarithm = !known});
    }
  }
}

void Aggregates::Figure::add(const nlohmann::json& value) {
  if (value.is_null()) return;
  const double number = value.get<double>();
  cells[0] += 1;
  cells[1] += exact(number);
  cells[2] += exact(number * number);
  const double place = ((logarithm ? std::log10(number) : number) - low) / (high - low);
  if (!(place >= 0.0)) {
    cells[3] += 1;
  } else if (place > 1.0) {
    cells[4] += 1;
  } else {
    cells[5 + std::min(static_cast<std::size_t>(place * double{bins}), bins - 1)] += 1;
  }
}

void Aggregates::add(const ShardSummary& shard) {
  for (const nlohmann::json& sample : shard.record.at("samples")) {
    status_.at(sample.at("status").get<std::string>()) += 1;
    if (!sample.contains("target")) continue;
    for (Figure& figure : figures_) {
      const nlohmann::json& of = figure.method.empty() ? sample : sample.at("methods").at(figure.method);
      if (of.contains(figure.name)) figure.add(of.at(figure.name));
    }
    if (sample.at("status") != "done") continue;
    OfClass& of_class = classes_[sample.at("target").get<std::int64_t>()];
    of_class.count += 1;
    const nlohmann::json& probability = sample.at("probability");
    if (!probability.is_null()) of_class.probability += exact(probability.get<double>());
  }

  const at::Tensor classes = shard.sums.front().second;
  for (std::int64_t k = 0; k < classes.numel(); ++k) {
    std::vector<Exact>& maps = classes_[classes[k].item<std::int64_t>()].maps;
    std::size_t begin = 0;
    for (std::size_t m = 0; m < methods_.size(); ++m) {
      const at::Tensor map = shard.sums.at(m + 1).second[k].contiguous();
      height_[m] = map.size(0);
      width_[m] = map.size(1);
      const auto cells = static_cast<std::size_t>(map.numel());
      if (maps.size() < begin + cells) maps.resize(begin + cells);
      const float* next = map.data_ptr<float>();
      for (std::size_t i = 0; i < cells; ++i) maps[begin + i] += exact(double{next[i]});
      begin += cells;
    }
  }
}

void Aggregates::merge(Team& team) {
  if (team.size() == 1) return;
  std::vector<Exact> counts;
  for (auto& [status, count] : status_) counts.push_back(count);
  team.sum(counts);
  std::size_t next = 0;
  for (auto& [status, count] : status_) count = counts[next++];
  for (Figure& figure : figures_) team.sum(figure.cells);

  std::size_t cells = 0;
  for (std::size_t m = 0; m < methods_.size(); ++m) {
    height_[m] = team.maximum(height_[m]);
    width_[m] = team.maximum(width_[m]);
    cells += static_cast<std::size_t>(height_[m] * width_[m]);
  }
  const std::int64_t last = team.maximum(classes_.empty() ? -1 : classes_.rbegin()->first);
  for (std::int64_t index = 0; index <= last; ++index) {
    const auto found = classes_.find(index);
    std::vector<Exact> row(2 + cells);
    if (found != classes_.end()) {
      row[0] = found->second.count;
      row[1] = found->second.probability;
      std::ranges::copy(found->second.maps, row.begin() + 2);
    }
    team.sum(row);
    if (team.rank() != 0 || row[0] == 0) continue;
    classes_[index] = {.count = row[0], .probability = row[1], .maps = {row.begin() + 2, row.end()}};
  }
}

nlohmann::json Aggregates::summary(const salience::Labels& labels) const {
  const auto whole = [](Exact count) { return static_cast<std::int64_t>(count); };
  auto status = nlohmann::json::object();
  std::int64_t samples = 0;
  for (const auto& [name, count] : status_) {
    status[name] = whole(count);
    samples += whole(count);
  }
  auto classes = nlohmann::json::array();
  for (const auto& [index, of] : classes_) {
    classes.push_back({{"class", index},
                       {"label", label_of(index, labels)},
                       {"count", whole(of.count)},
                       {"probability", as_double(of.probability) / static_cast<double>(of.count)}});
  }
  auto figures = nlohmann::json::array();
  for (const Figure& figure : figures_) {
    const auto count = static_cast<double>(figure.cells[0]);
    if (figure.cells[0] == 0) continue;
    const double mean = as_double(figure.cells[1]) / count;
    const double variance = as_double(figure.cells[2]) / count - mean * mean;
    std::vector<std::int64_t> counts;
    for (std::size_t i = 5; i < figure.cells.size(); ++i) counts.push_back(whole(figure.cells[i]));
    figures.push_back({{"name", figure.name},
                       {"method", figure.method},
                       {"count", whole(figure.cells[0])},
                       {"mean", mean},
                       {"std", std::sqrt(std::max(variance, 0.0))},
                       {"histogram",
                        {{"low", figure.low},
                         {"high", figure.high},
                         {"log10", figure.logarithm},
                         {"below", whole(figure.cells[3])},
                         {"above", whole(figure.cells[4])},
                         {"counts", counts}}}});
  }
  return {{"samples", samples}, {"status", status}, {"classes", classes}, {"figures", figures}};
}

NamedTensors Aggregates::mean_maps() const {
  std::vector<std::int64_t> classes, counts;
  for (const auto& [index, of] : classes_) {
    classes.push_back(index);
    counts.push_back(static_cast<std::int64_t>(of.count));
  }
  NamedTensors tensors{{"class", at::tensor(classes, at::kLong)}, {"count", at::tensor(counts, at::kLong)}};
  std::size_t begin = 0;
  for (std::size_t m = 0; m < methods_.size(); ++m) {
    at::Tensor maps = at::zeros({std::ssize(classes), height_[m], width_[m]});
    float* next = maps.data_ptr<float>();
    const auto cells = static_cast<std::size_t>(height_[m] * width_[m]);
    for (const auto& [index, of] : classes_) {
      for (std::size_t i = 0; i < cells; ++i) {
        *next++ = static_cast<float>(as_double(of.maps[begin + i]) / static_cast<double>(of.count));
      }
    }
    begin += cells;
    tensors.emplace_back(methods_[m], maps);
  }
  return tensors;
}
