#include "dataset_page.hpp"

#include <torch/version.h>
#include <salience/version.hpp>
#include <salience/view/attribution_processor.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <vector>

#include "../common/page.hpp"
#include "dataset_template.hpp"

namespace sal = salience;

std::string dataset_page(const DatasetOptions& options, const nlohmann::json& summary,
                         const sal::NamedTensors& maps) {
  constexpr std::size_t most = 60;  // classes whose maps the page shows
  nlohmann::json data = summary;
  data["methods"] = options.methods;
  data["model"] = std::filesystem::path(options.model).filename().string();
  data["size"] = {options.height, options.width};
  data["versions"] = {{"salience", SALIENCE_VERSION}, {"libtorch", TORCH_VERSION}};

  nlohmann::json& classes = data["classes"];
  std::vector<std::size_t> order(classes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, std::greater<>(),
                           [&classes](std::size_t i) { return classes[i]["count"].get<std::int64_t>(); });
  order.resize(std::min(order.size(), most));
  const sal::AttributionProcessor<> view{{.percentile = 99, .colormap = "inferno"}};
  for (const std::size_t i : order) {
    for (std::size_t m = 0; m < options.methods.size(); ++m) {
      const at::Tensor map = maps.at(m + 2).second[static_cast<std::int64_t>(i)];
      classes[i]["maps"][options.methods[m]] = data_uri(view(map.view({1, 1, map.size(0), map.size(1)})));
    }
  }
  return page(dataset_template, data);
}
