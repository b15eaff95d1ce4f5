// The folder of results as a whole: taken up at the start, completed at the end. Rank 0's part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "aggregates.hpp"
#include "manifest.hpp"
#include "options.hpp"
#include "shard.hpp"

/// What the bytes of the results depend on.
nlohmann::json settings_of(const DatasetOptions& options, const Manifest& manifest);

/// While it lives no other run works in the folder.
class Results {
 public:
  /// Makes the folder or takes up what is there; clears away what a killed run left half done, and brings the
  /// log to what the shards say. Throws FileError if the results there were made with other settings, or if
  /// another run is at work.
  Results(const DatasetOptions& options, const Manifest& manifest, const Shards& shards);
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;
  ~Results();

  const std::vector<std::int64_t>& missing() const { return missing_; }
  const std::vector<std::int64_t>& finished() const { return finished_; }

  /// Throws FileError if that fails.
  void log(const std::string& lines);

  /// index.csv, aggregates.json, mean_maps.pt, index.html and SHA256SUMS. Gives what aggregates.json holds.
  nlohmann::json complete(const Aggregates& aggregates, const salience::Labels& labels) const;

 private:
  void mend_log();

  const DatasetOptions& options_;
  const Manifest& manifest_;
  const Shards& shards_;
  std::filesystem::path folder_;
  int lock_ = -1;
  std::vector<std::int64_t> missing_, finished_;
  std::ofstream log_;
};

/// Says on stderr which results are missing or not what was written; looks at every `step`-th of them from
/// `first` on. Gives their number. Throws FileError if the folder holds no results.
std::int64_t verify(const DatasetOptions& options, std::int64_t first, std::int64_t step);
