#include "results.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <salience/file.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <iostream>
#include <utility>

#include "../common/network.hpp"
#include "../common/run_folder.hpp"
#include "dataset_page.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

/// A file that is written piece by piece and takes its name at the end.
class GrowingFile {
 public:
  explicit GrowingFile(fs::path path)
      : path_(std::move(path)),
        temporary_(path_.parent_path() / (".salience-" + path_.filename().string() + ".tmp")) {
    file_.open(temporary_, std::ios::binary | std::ios::trunc);
  }
  std::ofstream& out() { return file_; }
  void commit() {
    file_.close();
    if (!file_) throw sal::FileError::at(path_.string(), "cannot be written");
    fs::rename(temporary_, path_);
  }

 private:
  fs::path path_, temporary_;
  std::ofstream file_;
};

void remove_temporary_files(const fs::path& folder) {
  if (!fs::is_directory(folder)) return;
  std::vector<fs::path> found;
  for (const fs::directory_entry& file : fs::directory_iterator(folder)) {
    const std::string name = file.path().filename().string();
    if (name.starts_with(".salience-") && name.ends_with(".tmp")) found.push_back(file.path());
  }
  for (const fs::path& file : found) fs::remove(file);
}

std::string digits(const nlohmann::json& value) {
  if (value.is_null()) return "nan";
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value.get<double>()).ptr};
}

/// `name`: as the manifest has it, which need not be UTF-8 as JSON is.
std::string index_row(const nlohmann::json& sample, const std::string& name, std::int64_t shard) {
  std::string row = std::to_string(sample.at("sample").get<std::int64_t>()) + ',' + csv_field(name) + ',' +
                    std::to_string(shard) + ',';
  if (sample.contains("target")) {
    row += std::to_string(sample.at("position").get<std::int64_t>()) + ',' +
           std::to_string(sample.at("target").get<std::int64_t>()) + ',' + digits(sample.at("score"));
  } else {
    row += ",,";
  }
  return row + ',' + sample.at("status").get<std::string>() + '\n';
}

/// How many shards that many samples make.
std::int64_t shards_of(std::int64_t samples, std::int64_t shard) { return (samples + shard - 1) / shard; }

}  // namespace

nlohmann::json settings_of(const DatasetOptions& options, const Manifest& manifest) {
  nlohmann::json settings = settings_json(options);
  const bool listed = !options.manifest.empty();
  settings[listed ? "manifest" : "images"] = {{"count", manifest.size()},
                                              {"names", manifest.fingerprint()},
                                              {"folder", listed ? "" : absolute(options.images)}};
  settings["masks"] = absolute(options.masks);
  settings["labels"] = options.labels.empty() ? "" : sha256_of_file(options.labels);
  settings["method"] = options.methods;
  settings["metrics"] = options.metrics;
  settings["sign"] = options.sign;
  settings["no-raw"] = options.no_raw;
  settings["views"] = options.views;
  settings["batch"] = options.batch;
  settings["shard"] = options.shard;
  return settings;
}

Results::Results(const DatasetOptions& options, const Manifest& manifest, const Shards& shards)
    : options_(options), manifest_(manifest), shards_(shards), folder_(options.output) {
  make_folder(folder_);
  lock_ = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(lock_);
    throw sal::FileError::at(
        folder_.string(),
        "another run is at work there; ranks that mpirun starts work together only if the "
        "program was built with MPI");
  }
  claim_folder(folder_, "shards", settings_of(options, manifest));
  if (!options.views.empty()) make_folder(folder_ / "pictures");
  for (const char* part : {"", "shards", "pictures"}) remove_temporary_files(folder_ / part);
  for (std::int64_t shard = 0; shard < shards_of(manifest.size(), options.shard); ++shard) {
    (shards_.finished(shard) ? finished_ : missing_).push_back(shard);
  }
  mend_log();
  log_.open(folder_ / "log.jsonl", std::ios::binary | std::ios::app);
  if (!log_) throw sal::FileError::at((folder_ / "log.jsonl").string(), "cannot be written");
}

Results::~Results() { close(lock_); }

void Results::log(const std::string& lines) {
  log_ << lines << std::flush;
  if (!log_) throw sal::FileError::at((folder_ / "log.jsonl").string(), "cannot be written");
}

/// A run that was killed may have left half a line, or none for samples that it had finished; and shards may
/// have been removed.
void Results::mend_log() {
  std::vector<bool> logged(static_cast<std::size_t>(manifest_.size()));
  GrowingFile mended(folder_ / "log.jsonl");
  std::ifstream old(folder_ / "log.jsonl", std::ios::binary);
  for (std::string line; std::getline(old, line);) {
    const nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!record.is_object() || !record.contains("sample") || !record.contains("shard")) continue;
    const auto sample = static_cast<std::size_t>(record["sample"].get<std::int64_t>());
    if (sample >= logged.size() || logged[sample]) continue;
    if (!std::ranges::binary_search(finished_, record["shard"].get<std::int64_t>())) continue;
    logged[sample] = true;
    mended.out() << line << '\n';
  }
  for (const std::int64_t shard : finished_) {
    const auto begin = logged.begin() + shard * options_.shard;
    const auto end = begin + std::min(options_.shard, manifest_.size() - shard * options_.shard);
    if (std::find(begin, end, false) == end) continue;
    nlohmann::json samples = shards_.record(shard).at("samples");
    for (nlohmann::json& record : samples) {
      if (logged[static_cast<std::size_t>(record.at("sample").get<std::int64_t>())]) continue;
      record["shard"] = shard;
      record["rank"] = record["seconds"] = nullptr;
      mended.out() << text_of(record);
    }
  }
  mended.commit();
}

nlohmann::json Results::complete(const Aggregates& aggregates, const sal::Labels& labels) const {
  GrowingFile index(folder_ / "index.csv"), sums(folder_ / "SHA256SUMS");
  index.out() << "sample,path,shard,position,target,score,status\n";
  for (std::int64_t shard = 0; shard < shards_of(manifest_.size(), options_.shard); ++shard) {
    const nlohmann::json record = shards_.record(shard);
    for (const nlohmann::json& sample : record.at("samples")) {
      index.out() << index_row(sample, manifest_[sample.at("sample").get<std::int64_t>()].name, shard);
    }
    for (const auto& [name, file] : record.at("files").items()) {
      sums.out() << file.at("sha256").get<std::string>() << "  " << name << '\n';
    }
    const fs::path path = shards_.record_path(shard);
    sums.out() << sha256_of_file(path) << "  shards/" << path.filename().string() << '\n';
  }
  index.commit();
  const nlohmann::json summary = aggregates.summary(labels);
  const sal::NamedTensors maps = aggregates.mean_maps();
  sal::write_file_atomically(folder_ / "aggregates.json", text_of(summary));
  sal::write_file_atomically(folder_ / "mean_maps.pt", sal::pt_bytes(maps));
  sal::write_file_atomically(folder_ / "index.html", dataset_page(options_, summary, maps));
  for (const char* name : {"aggregates.json", "index.csv", "index.html", "mean_maps.pt", "settings.json"}) {
    sums.out() << sha256_of_file(folder_ / name) << "  " << name << '\n';
  }
  sums.commit();
  return summary;
}

std::int64_t verify(const DatasetOptions& options, std::int64_t first, std::int64_t step) {
  const fs::path folder = options.output;
  const Shards shards(options);
  std::int64_t problems = 0, looked = 0;
  const auto compare = [&](const std::string& name, const std::string& hash) {
    if (looked++ % step != first) return;
    const bool there = fs::exists(folder / name);
    if (there && sha256_of_file(folder / name) == hash) return;
    std::string what = there ? "is not what was written; " : "is missing; ";
    if (name == "settings.json") {  // without which nobody knows whose the results are
      what += "start again with another --output";
    } else {
      what += there ? "remove it and start the run again" : "start the run again";
    }
    ++problems;
    std::cerr << (folder / name).string() + ": " + what + '\n';
  };

  // Of a run that has ended SHA256SUMS has all files; else the records of the shards that are there have
  // theirs.
  if (fs::exists(folder / "SHA256SUMS")) {
    std::ifstream sums(folder / "SHA256SUMS");
    constexpr std::size_t hash = 64;
    for (std::string line; std::getline(sums, line);) {
      if (line.size() > hash + 2) compare(line.substr(hash + 2), line.substr(0, hash));
    }
    return problems;
  }
  if (!fs::exists(folder / "settings.json")) {
    throw sal::FileError::at(folder.string(), "there are no results of attribute_dataset in it");
  }
  const nlohmann::json settings = read_json(folder / "settings.json");
  const nlohmann::json pictures =
      settings.value(settings.contains("images") ? "images" : "manifest", nlohmann::json());
  if (!pictures.contains("count") || !settings.contains("shard")) {
    throw sal::FileError::at((folder / "settings.json").string(), "is not what attribute_dataset wrote");
  }
  const std::int64_t count =
      shards_of(pictures["count"].get<std::int64_t>(), settings["shard"].get<std::int64_t>());
  std::int64_t missing = 0;
  for (std::int64_t shard = 0; shard < count; ++shard) {
    if (!fs::exists(shards.record_path(shard))) {
      ++missing;
      continue;
    }
    const nlohmann::json record = shards.record(shard);
    for (const auto& [name, file] : record.at("files").items()) {
      compare(name, file.at("sha256").get<std::string>());
    }
  }
  if (first == 0) {
    ++problems;
    std::cerr << folder.string() + ": the run has not ended, " + std::to_string(missing) + " of " +
                     std::to_string(count) + " shards are missing; start it again\n";
  }
  return problems;
}
