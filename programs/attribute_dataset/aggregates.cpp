#include "aggregates.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

#include "../common/network.hpp"

namespace {

constexpr std::array statuses{"done", "non_finite", "failed", "unreadable"};

/// Rank 0's become those of all ranks.
void sum_over(Team& team, ExactSums& sums) {
  std::array<std::int64_t, 2> kept{-sums.begin(), sums.end()};
  team.maximum(kept);
  sums.widen(static_cast<int>(-kept[0]), static_cast<int>(kept[1]));
  if (sums.width() > 0) team.sum(sums.words(), sums.width());
}

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

Aggregates::Aggregates(const DatasetOptions& options)
    : methods_(options.methods), height_(methods_.size()), width_(methods_.size()) {
  for (const char* status : statuses) status_[status] = 0;
  figures_.push_back({.name = "probability", .method = {}, .low = 0, .high = 1});
  figures_.push_back({.name = "score", .method = {}, .low = -50, .high = 50});
  for (const std::string& method : methods_) {
    for (const char* error : {"relative_completeness_error", "standard_error"}) {
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
  counts[0] += 1;
  sums.add(0, number);
  sums.add_square(1, number);
  const double place = ((logarithm ? std::log10(number) : number) - low) / (high - low);
  if (!(place >= 0.0)) {
    counts[1] += 1;
  } else if (place > 1.0) {
    counts[2] += 1;
  } else {
    counts[3 + std::min(static_cast<std::size_t>(place * double{bins}), bins - 1)] += 1;
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
    if (!probability.is_null()) of_class.probability.add(0, probability.get<double>());
  }

  const at::Tensor classes = shard.sums.front().second;
  for (std::int64_t k = 0; k < classes.numel(); ++k) {
    std::vector<ExactSums>& maps = classes_[classes[k].item<std::int64_t>()].maps;
    for (std::size_t m = 0; m < methods_.size(); ++m) {
      const at::Tensor map = shard.sums.at(m + 1).second[k].to(at::kDouble).contiguous();
      height_[m] = map.size(0);
      width_[m] = map.size(1);
      if (m == maps.size()) maps.emplace_back(static_cast<std::size_t>(map.numel()));
      const double* next = map.data_ptr<double>();
      for (std::size_t i = 0; i < maps[m].size(); ++i) maps[m].add(i, next[i]);
    }
  }
}

void Aggregates::merge(Team& team) {
  if (team.size() == 1) return;
  for (auto& [status, count] : status_) team.sum(std::span(&count, 1), 1);
  for (Figure& figure : figures_) {
    team.sum(figure.counts, 1);
    sum_over(team, figure.sums);
  }
  team.maximum(height_);
  team.maximum(width_);

  std::array<std::int64_t, 1> last{classes_.empty() ? -1 : classes_.rbegin()->first};
  team.maximum(last);
  std::vector<std::int64_t> met(static_cast<std::size_t>(last[0] + 1));  // 1 where some rank has the class
  for (const auto& entry : classes_) met[static_cast<std::size_t>(entry.first)] = 1;
  team.maximum(met);
  for (std::int64_t index = 0; index <= last[0]; ++index) {
    if (met[static_cast<std::size_t>(index)] == 0) continue;
    OfClass& of = classes_[index];
    team.sum(std::span(&of.count, 1), 1);
    sum_over(team, of.probability);
    for (std::size_t m = 0; m < methods_.size(); ++m) {
      if (m == of.maps.size()) of.maps.emplace_back(static_cast<std::size_t>(height_[m] * width_[m]));
      sum_over(team, of.maps[m]);
    }
  }
}

nlohmann::json Aggregates::summary(const salience::Labels& labels) const {
  const auto whole = [](std::uint64_t count) { return static_cast<std::int64_t>(count); };
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
                       {"probability", of.probability.mean(0, whole(of.count))}});
  }
  auto figures = nlohmann::json::array();
  for (const Figure& figure : figures_) {
    const std::int64_t count = whole(figure.counts[0]);
    if (count == 0) continue;
    std::vector<std::int64_t> counts;
    for (std::size_t i = 3; i < figure.counts.size(); ++i) counts.push_back(whole(figure.counts[i]));
    figures.push_back({{"name", figure.name},
                       {"method", figure.method},
                       {"count", count},
                       {"mean", figure.sums.mean(0, count)},
                       {"std", figure.sums.deviation(0, 1, count)},
                       {"histogram",
                        {{"low", figure.low},
                         {"high", figure.high},
                         {"log10", figure.logarithm},
                         {"below", whole(figure.counts[1])},
                         {"above", whole(figure.counts[2])},
                         {"counts", counts}}}});
  }
  return {{"samples", samples}, {"status", status}, {"classes", classes}, {"figures", figures}};
}

salience::NamedTensors Aggregates::mean_maps() const {
  std::vector<std::int64_t> classes, counts;
  for (const auto& [index, of] : classes_) {
    classes.push_back(index);
    counts.push_back(static_cast<std::int64_t>(of.count));
  }
  salience::NamedTensors tensors{{"class", at::tensor(classes, at::kLong)},
                                 {"count", at::tensor(counts, at::kLong)}};
  for (std::size_t m = 0; m < methods_.size(); ++m) {
    at::Tensor maps = at::zeros({std::ssize(classes), height_[m], width_[m]});
    float* next = maps.data_ptr<float>();
    const auto cells = static_cast<std::size_t>(height_[m] * width_[m]);
    for (const auto& [index, of] : classes_) {
      for (std::size_t i = 0; i < cells; ++i) {
        *next++ = static_cast<float>(of.maps[m].mean(i, static_cast<std::int64_t>(of.count)));
      }
    }
    tensors.emplace_back(methods_[m], maps);
  }
  return tensors;
}
