#include "shard.hpp"

#include <ATen/ATen.h>
#include <salience/file.hpp>
#include <salience/picture/image_io.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "../common/run_folder.hpp"
#include "../common/views.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

std::string padded(std::int64_t number, int digits) {
  std::string text = std::to_string(number);
  if (text.size() < static_cast<std::size_t>(digits))
    text.insert(0, static_cast<std::size_t>(digits) - text.size(), '0');
  return text;
}

/// (1,h,w) float64: |values| summed over the channels, the mean of each cell.
at::Tensor pooled(const at::Tensor& values) {
  const at::Tensor sizes = values.to(at::kDouble).abs_().sum(1, /*keepdim=*/true);
  const std::int64_t cell = cell_of(values.size(2), values.size(3));
  return at::avg_pool2d(sizes, cell, cell, 0, /*ceil_mode=*/true, /*count_include_pad=*/false).squeeze(1);
}

sal::NamedTensors sums_of(const Block& block, const std::vector<std::string>& methods) {
  std::map<std::int64_t, std::map<std::string, at::Tensor>> sums;
  for (const Outcome& outcome : block.outcomes) {
    if (outcome.record.at("status") != "done") continue;
    auto& of_class = sums[outcome.record.at("target").get<std::int64_t>()];
    for (const std::string& method : methods) {
      at::Tensor& sum = of_class[method];
      const at::Tensor map = pooled(outcome.values.at(method));
      sum = sum.defined() ? sum.add_(map) : map;
    }
  }
  std::vector<std::int64_t> classes;
  for (const auto& entry : sums) classes.push_back(entry.first);
  sal::NamedTensors tensors{{"class", at::tensor(classes, at::kLong)}};
  if (classes.empty()) return tensors;
  for (const std::string& method : methods) {
    std::vector<at::Tensor> maps;
    for (const auto& entry : sums) maps.push_back(entry.second.at(method));
    tensors.emplace_back(method, at::cat(maps));
  }
  return tensors;
}

/// What the shard's file holds of the samples that have values.
sal::NamedTensors tensors_of(const std::vector<const Outcome*>& outcomes, const DatasetOptions& options) {
  std::vector<std::int64_t> samples, targets;
  std::vector<double> scores;
  for (const Outcome* outcome : outcomes) {
    samples.push_back(outcome->record.at("sample").get<std::int64_t>());
    targets.push_back(outcome->record.at("target").get<std::int64_t>());
    const nlohmann::json& score = outcome->record.at("score");
    scores.push_back(score.is_null() ? std::numeric_limits<double>::quiet_NaN() : score.get<double>());
  }
  sal::NamedTensors tensors{{"sample", at::tensor(samples, at::kLong)},
                            {"target", at::tensor(targets, at::kLong)},
                            {"score", at::tensor(scores, at::kDouble)}};
  if (options.no_raw || outcomes.empty()) return tensors;
  for (const std::string& method : options.methods) {
    std::vector<at::Tensor> values;
    for (const Outcome* outcome : outcomes) values.push_back(outcome->values.at(method));
    tensors.emplace_back(method, at::cat(values));
  }
  return tensors;
}

sal::Image view_of(const std::string& name, const at::Tensor& values, sal::ValuesOf values_of,
                   const sal::Image& seen) {
  const bool over = values_of == sal::ValuesOf::regions && seen.channels() == 3;
  for (const View& view : four_views()) {
    if (view.name == name) return over ? view.processor(values, seen) : view.processor(values);
  }
  return sal::AttributionProcessor{overlay_options(values_of)}(values, seen);
}

}  // namespace

std::int64_t cell_of(std::int64_t height, std::int64_t width) {
  constexpr std::int64_t most = 64;
  return (std::max(height, width) + most - 1) / most;
}

fs::path Shards::path(std::int64_t shard, const std::string& ending) const {
  return folder_ / "shards" / (padded(shard, 7) + ending);
}

void Shards::write_file(const fs::path& path, std::string_view bytes, nlohmann::json& files) const {
  sal::write_file_atomically(path, bytes);
  const std::span raw(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  files[path.lexically_relative(folder_).generic_string()] = {{"bytes", bytes.size()},
                                                              {"sha256", sha256(raw)}};
}

ShardSummary Shards::write(const Block& block, const Explainer& explainer) const {
  ShardSummary summary;
  summary.record["shard"] = block.shard;
  nlohmann::json& samples = summary.record["samples"] = nlohmann::json::array();
  nlohmann::json& files = summary.record["files"] = nlohmann::json::object();
  std::vector<const Outcome*> with_values;
  for (const Outcome& outcome : block.outcomes) {
    nlohmann::json record = outcome.record;
    if (!outcome.values.empty()) {
      record["position"] = with_values.size();
      with_values.push_back(&outcome);
    }
    samples.push_back(std::move(record));
  }

  write_file(path(block.shard, ".pt"), sal::pt_bytes(tensors_of(with_values, options_)), files);
  summary.sums = sums_of(block, options_.methods);
  write_file(path(block.shard, ".sums.pt"), sal::pt_bytes(summary.sums), files);
  for (const Outcome* outcome : with_values) {
    if (options_.views.empty() || outcome->record.at("status") != "done") continue;
    const sal::Image seen = explainer.picture(outcome->input);
    const std::string name = padded(outcome->record.at("sample").get<std::int64_t>(), 9);
    for (const std::string& method : options_.methods) {
      for (const std::string& view : options_.views) {
        const std::vector<std::uint8_t> png = sal::encode_image(
            view_of(view, outcome->values.at(method), outcome->values_of.at(method), seen), ".png");
        write_file(folder_ / "pictures" / (name + '_' + method + '_' + view + ".png"),
                   std::string_view(reinterpret_cast<const char*>(png.data()), png.size()), files);
      }
    }
  }
  sal::write_file_atomically(path(block.shard, ".json"), text_of(summary.record));
  return summary;
}

bool Shards::finished(std::int64_t shard) const {
  std::error_code error;
  if (!fs::exists(path(shard, ".json"), error)) return false;
  const nlohmann::json record =
      nlohmann::json::parse(sal::read_file(path(shard, ".json")), nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) return false;
  for (const auto& [name, file] : record.at("files").items()) {
    if (fs::file_size(folder_ / name, error) != file.at("bytes").get<std::uintmax_t>() || error) return false;
  }
  return !options_.retry || std::ranges::all_of(record.at("samples"), [](const nlohmann::json& sample) {
    return sample.contains("target");
  });
}

nlohmann::json Shards::record(std::int64_t shard) const { return read_json(path(shard, ".json")); }

ShardSummary Shards::read(std::int64_t shard) const {
  return {.record = record(shard), .sums = sal::load_named_pt(path(shard, ".sums.pt"))};
}
