// The page that --report writes: report.html with the data of one run in it.
#pragma once

#include <salience/method/attribution.hpp>
#include <salience/picture/image.hpp>

#include <nlohmann/json.hpp>
#include <string>

#include "options.hpp"

/// What the page shows of one method, whose values are the map: its figures, target and score, and for each
/// sign a gray picture of positions in a colour map of 256 colours. So the page colours as the library does,
/// to the byte.
nlohmann::json report_method(const std::string& name, const salience::Attribution& attribution,
                             const at::Tensor& map, const nlohmann::json& figures);

/// The whole page, which needs no other file. `summary` is what prediction.json holds, `methods` a list of
/// report_method, `seen` what the network saw. Whatever is not UTF-8 in it gets replacement characters.
std::string report_page(const AttributeOptions& options, const std::string& device,
                        const salience::Image& seen, const nlohmann::json& summary, nlohmann::json methods);
