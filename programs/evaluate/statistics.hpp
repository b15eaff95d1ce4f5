// Means over pictures and how sure they are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "options.hpp"
#include "records.hpp"

/// Each (P), float64.
struct Interval {
  at::Tensor mean, low, high;
};

/// The mean of rows (N,P) and its 95% bootstrap interval: the 2.5th and 97.5th percentile of the means of
/// 1000 resamples of N rows with replacement.
Interval bootstrap(const at::Tensor& rows, std::uint64_t seed);

/// What is said of all pictures together, for the terminal and the page: {"images", "methods", "metrics":
/// [{"name", "meaning", "higher", "results": {METHOD: {"mean", "low", "high", "count"}}}], "costs": {METHOD:
/// {"seconds", "forwards"}}, "curves": {NAME: {"fraction", "methods": {METHOD: {"mean", "low", "high"}}}}}. A
/// metric without any value has no mean. The last metrics, where there are several seeds, are stability and
/// error_ratio, whose "higher" is null, since it should be 1; their results are of the methods with seeds
/// alone.
nlohmann::json summary(const std::vector<Record>& records, const EvaluateOptions& options);
