// The page of a data set: dataset.html with the aggregates of a run in it.
#pragma once

#include <salience/io/pt.hpp>

#include <nlohmann/json.hpp>
#include <string>

#include "options.hpp"

/// The whole page, which needs no other file. `summary` is what Aggregates::summary() gave, `maps` what
/// mean_maps() did. It holds nothing that differs between runs with the same results.
std::string dataset_page(const DatasetOptions& options, const nlohmann::json& summary,
                         const salience::NamedTensors& maps);
