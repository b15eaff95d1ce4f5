// What is said of all samples together, counted while they stream by. The sums are exact, so the figures do
// not depend on who counted what, or when.
#pragma once

#include <salience/io/pt.hpp>
#include <salience/target/prediction.hpp>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "exact.hpp"
#include "options.hpp"
#include "shard.hpp"
#include "team.hpp"

class Aggregates {
 public:
  explicit Aggregates(const DatasetOptions& options);

  void add(const ShardSummary& shard);

  /// Rank 0's become those of all ranks. All ranks call it, and wait busily.
  void merge(Team& team);

  /// {"samples", "status": {NAME: count}, "classes": [{"class", "label", "count", "probability"}], "figures":
  /// [{"name", "method", "count", "mean", "std", "histogram": {"low", "high", "log10", "counts", "below",
  /// "above"}}]}. A figure that no sample has is left out.
  nlohmann::json summary(const salience::Labels& labels) const;

  /// "class" (K) int64, "count" (K) int64, and of each method (K,h,w) float32, the mean over the class's
  /// samples of |values|, summed over the channels.
  salience::NamedTensors mean_maps() const;

 private:
  using Counts = std::vector<std::uint64_t>;

  /// A figure's count, sum, sum of squares and histogram.
  struct Figure {
    std::string name, method;
    double low = 0.0, high = 0.0;  ///< of the histogram; of its logarithm if that is what is counted
    bool logarithm = false;
    Counts counts = Counts(3 + bins);  // all, below, above, the bins
    ExactSums sums{2};                 // of the values and of their squares
    void add(const nlohmann::json& value);
  };

  struct OfClass {
    std::uint64_t count = 0;
    ExactSums probability{1};
    std::vector<ExactSums> maps;  ///< of each method
  };

  static constexpr std::size_t bins = 20;
  std::vector<std::string> methods_;
  std::vector<std::int64_t> height_, width_;  ///< of each method's map
  std::map<std::string, std::uint64_t> status_;
  std::vector<Figure> figures_;
  std::map<std::int64_t, OfClass> classes_;
};
