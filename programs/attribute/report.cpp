#include "report.hpp"

#include <ATen/Parallel.h>
#include <torch/version.h>
#include <salience/picture/colormap.hpp>
#include <salience/version.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "../common/page.hpp"
#include "../common/views.hpp"
#include "report_template.hpp"

namespace sal = salience;

namespace {

/// The processor's heatmap as positions in a map of 256 colours: what Colormap and AttributionProcessor do
/// before they look a colour up, with the same rounding.
sal::Image color_positions(const sal::AttributionProcessorOptions& options, const at::Tensor& attribution) {
  const at::Tensor values = sal::AttributionProcessor{options}.values(attribution);
  const at::Tensor channels = values.dim() == 3 ? values : values.unsqueeze(-1);  // (H,W,C)
  at::Tensor mean = channels.select(-1, 0);
  for (std::int64_t c = 1; c < channels.size(-1); ++c) mean = mean.add(channels.select(-1, c));
  mean = mean.div(channels.size(-1));
  const at::Tensor positions = mean.mul(256).clamp(0, 255).to(at::kByte).contiguous();
  const std::uint8_t* first = positions.data_ptr<std::uint8_t>();
  return sal::Image(static_cast<int>(positions.size(0)), static_cast<int>(positions.size(1)), 1,
                    std::vector<std::uint8_t>(first, first + positions.numel()));
}

/// Both signs on one scale, with 0 in the middle of the colour map. The channels are taken together first:
/// those of opposite sign cancel, as they do in the score.
sal::Image signed_positions(sal::AttributionProcessorOptions options, const at::Tensor& attribution) {
  options.activation = sal::Activation::none;
  options.skew.reset();
  const at::Tensor mean = attribution.mean(1, /*keepdim=*/true);
  const auto [lowest, highest] = sal::AttributionProcessor{options}.range(mean);
  const double largest = std::max(-lowest, highest);
  const double limit = largest > 0 ? largest : 1.0;
  options.range = {-limit, limit};
  return color_positions(options, mean);
}

nlohmann::json colormaps() {
  auto list = nlohmann::json::array();
  const auto add = [&list](const std::string& name, bool diverging) {
    const sal::Colormap map = sal::colormap(name);
    std::vector<std::uint8_t> colors;
    for (std::size_t i = 0; i < map.size(); ++i) {
      const sal::Colormap::Color color = map[i];
      colors.insert(colors.end(), color.begin(), color.end());
    }
    list.push_back({{"name", name}, {"diverging", diverging}, {"colors", base64(colors)}});
  };
  for (const char* name : {"inferno", "viridis", "hot", "jet", "gray"}) add(name, false);
  for (const char* name : {"coolwarm", "RdBu_r"}) add(name, true);
  return list;
}

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

}  // namespace

nlohmann::json report_method(const std::string& name, const sal::Attribution& attribution,
                             const at::Tensor& map, const nlohmann::json& figures) {
  sal::AttributionProcessorOptions options = overlay_options(attribution.values_of);
  options.colormap.clear();
  nlohmann::json maps;
  const auto add = [&](const char* sign, sal::Activation activation) {
    options.activation = activation;
    maps[sign] = data_uri(color_positions(options, map));
  };
  add("absolute", sal::Activation::abs);
  add("positive", sal::Activation::relu);
  add("negative", sal::Activation::negative);
  maps["signed"] = data_uri(signed_positions(options, map));
  return {{"name", name},
          {"title", method_title(name)},
          {"figures", figures},
          {"target", attribution.target.defined() ? nlohmann::json(attribution.target.item<std::int64_t>())
                                                  : nlohmann::json()},
          {"score", attribution.score.to(at::kDouble).item<double>()},
          {"maps", maps}};
}

std::string report_page(const AttributeOptions& options, const std::string& device, const sal::Image& seen,
                        const nlohmann::json& summary, nlohmann::json methods) {
  const nlohmann::json data{
      {"picture", file_name(options.image)},
      {"model", file_name(options.model)},
      {"entry", options.entry},
      {"at", options.at},
      {"computed", {{"dtype", options.dtype}, {"device", device}, {"threads", at::get_num_threads()}}},
      {"versions", {{"salience", SALIENCE_VERSION}, {"libtorch", TORCH_VERSION}}},
      {"height", seen.height()},
      {"width", seen.width()},
      {"input", data_uri(seen)},
      {"top", summary.at("top")},
      {"target_label", summary.at("target_label")},
      {"colormaps", colormaps()},
      {"methods", std::move(methods)}};
  return page(report_template, data);
}
