#include "evaluation_page.hpp"

#include <ATen/Parallel.h>
#include <torch/version.h>
#include <salience/version.hpp>

#include <filesystem>

#include "../common/network.hpp"
#include "../common/page.hpp"
#include "evaluation_template.hpp"

namespace sal = salience;

std::string evaluation_page(const EvaluateOptions& options, const sal::Labels& labels,
                            const nlohmann::json& results, const std::vector<Record>& records, long skipped) {
  nlohmann::json data = results;
  data["skipped"] = skipped;
  data["model"] = std::filesystem::path(options.model).filename().string();
  data["size"] = {options.height, options.width};
  data["computed"] = {
      {"dtype", options.dtype}, {"device", device(options).str()}, {"threads", at::get_num_threads()}};
  data["versions"] = {{"salience", SALIENCE_VERSION}, {"libtorch", TORCH_VERSION}};
  data["examples"] = nlohmann::json::array();
  for (const Record& record : records) {
    if (!record.contains("example")) continue;
    nlohmann::json example = record["example"];
    example["image"] = record["image"];
    example["label"] = label_of(record["class"].get<std::int64_t>(), labels);
    data["examples"].push_back(example);
  }
  return page(evaluation_template, data);
}
