// A shard: what becomes of one block of consecutive samples, and its files.
#pragma once

#include <salience/io/pt.hpp>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "explainer.hpp"
#include "options.hpp"

/// The outcomes of block i: samples i * N to i * N + N - 1 of the manifest.
struct Block {
  std::int64_t shard = 0;
  std::vector<Outcome> outcomes;
};

/// What the aggregates need of a shard, and what another run reads back.
struct ShardSummary {
  nlohmann::json record;  ///< {"shard", "samples": [RECORD...], "files": {NAME: {"bytes", "sha256"}}}
  salience::NamedTensors
      sums;  ///< "class" (K) int64, and of each method (K,h,w) float64: sums of pooled |values|
};

/// The folder of results.
class Shards {
 public:
  explicit Shards(const DatasetOptions& options) : options_(options), folder_(options.output) {}

  /// Writes the block's files, the record last: a shard with its record is whole. The same outcomes give the
  /// same bytes. May be called by several threads at once.
  ShardSummary write(const Block& block, const Explainer& explainer) const;

  /// Is there a record, and all its files in the size that it says? With --retry: and no sample that was
  /// unreadable or failed.
  bool finished(std::int64_t shard) const;
  std::filesystem::path record_path(std::int64_t shard) const { return path(shard, ".json"); }
  nlohmann::json record(std::int64_t shard) const;
  ShardSummary read(std::int64_t shard) const;

 private:
  std::filesystem::path path(std::int64_t shard, const std::string& ending) const;
  void write_file(const std::filesystem::path& path, std::string_view bytes, nlohmann::json& files) const;

  const DatasetOptions& options_;
  std::filesystem::path folder_;
};

/// How many pixels a cell of a mean map is wide: maps larger than 64 cells are pooled, so that those of a
/// thousand classes fit into memory.
std::int64_t cell_of(std::int64_t height, std::int64_t width);
