// The page that evaluate writes: evaluation.html with the results of one run in it.
#pragma once

#include <salience/target/prediction.hpp>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "options.hpp"
#include "records.hpp"

/// The whole page, which needs no other file. `results` is what summary() gave, `skipped` how many pictures
/// could not be read.
std::string evaluation_page(const EvaluateOptions& options, const salience::Labels& labels,
                            const nlohmann::json& results, const std::vector<Record>& records, long skipped);
