#include "metrics.hpp"

#include <CLI/CLI.hpp>
#include <salience/metric/completeness.hpp>
#include <salience/metric/complexity.hpp>
#include <salience/metric/confidence.hpp>
#include <salience/metric/deletion_insertion.hpp>
#include <salience/metric/infidelity.hpp>
#include <salience/metric/localisation.hpp>
#include <salience/metric/randomization.hpp>
#include <salience/metric/road.hpp>
#include <salience/metric/sensitivity.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

namespace sal = salience;

namespace {

/// A method as an Attributor that explains one class, whatever it is asked.
struct OfClass {
  const Method* method;
  std::int64_t index;
  sal::Attribution operator()(const at::Tensor& input, const auto& /*target*/) const {
    return (*method)(input, Classes(static_cast<std::size_t>(input.size(0)), index));
  }
};

double only(const at::Tensor& figure) { return figure.to(at::kDouble).item<double>(); }

/// A row of scores (1,S) over fractions (S).
Curve curve(const at::Tensor& fraction, const at::Tensor& score) {
  const auto list = [](const at::Tensor& values) {
    const at::Tensor flat = values.contiguous();
    return std::vector<double>(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
  };
  return {.fraction = list(fraction), .score = list(score)};
}

}  // namespace

const std::vector<MetricName>& metric_names() {
  static const std::vector<MetricName> names{
      {.name = "deletion", .meaning = "area under the probability as the strongest pixels go"},
      {.name = "insertion",
       .meaning = "the same as they come back into a blurred picture",
       .higher_is_better = true},
      {.name = "road",
       .meaning = "probability without the weakest less without the strongest pixels, imputed",
       .higher_is_better = true},
      {.name = "confidence_drop", .meaning = "share of the probability lost where only the map is shown"},
      {.name = "infidelity", .meaning = "error of the scaled map's prediction of noise's effect, squared"},
      {.name = "sensitivity", .meaning = "largest relative change of the map under slight noise"},
      {.name = "completeness", .meaning = "error of the values' sum, relative to the score's change"},
      {.name = "randomization", .meaning = "rank correlation with the map of random weights, its size"},
      {.name = "pointing",
       .meaning = "is the maximum in the mask, or 15 pixels from it",
       .higher_is_better = true,
       .needs_mask = true},
      {.name = "energy",
       .meaning = "share of the map's positive part in the mask",
       .higher_is_better = true,
       .needs_mask = true},
      {.name = "iou",
       .meaning = "overlap of the mask with where the map is above 0.2 of its maximum",
       .higher_is_better = true,
       .needs_mask = true},
      {.name = "gini", .meaning = "how sparse the map is", .higher_is_better = true},
      {.name = "entropy", .meaning = "how many pixels the map spreads over, as a logarithm"},
  };
  return names;
}

std::string one_that_needs_masks(const std::vector<std::string>& metrics) {
  for (const MetricName& metric : metric_names()) {
    if (metric.needs_mask && std::ranges::find(metrics, metric.name) != metrics.end()) return metric.name;
  }
  return {};
}

std::map<std::string, Metric> metrics(const Network& network, const Settings& settings,
                                      const std::string& sign, const sal::Baseline& baseline) {
  const std::int64_t chunk = settings.chunk;
  const std::uint64_t seed = settings.seed;
  const auto target = [](const Case& of) { return sal::ClassIndex{of.index}; };
  const auto map = [sign](const Case& of) { return pixel_options(sign, of.method); };
  /// The figure where there is a mask.
  const auto masked = [](auto figure) {
    return [figure](const Case& of) -> Measured {
      if (!of.mask.defined()) return {.value = std::numeric_limits<double>::quiet_NaN()};
      return {.value = only(figure(of))};
    };
  };
  return {
      {"deletion",
       [=](const Case& of) -> Measured {
         const sal::Deletion deletion(network, {.map = map(of), .chunk = chunk});
         const sal::PerturbationCurve result = deletion(of.input, of.attribution);
         return {.value = only(result.area), .curves = {{"deletion", curve(result.fraction, result.score)}}};
       }},
      {"insertion",
       [=](const Case& of) -> Measured {
         const sal::Insertion insertion(network, {.map = map(of), .chunk = chunk});
         const sal::PerturbationCurve result = insertion(of.input, of.attribution);
         return {.value = only(result.area), .curves = {{"insertion", curve(result.fraction, result.score)}}};
       }},
      {"road",
       [=](const Case& of) -> Measured {
         const sal::Road road(network, {.seed = seed, .map = map(of), .chunk = chunk});
         const sal::RoadCurves result = road(of.input, of.attribution);
         return {.value = only(result.gap),
                 .curves = {{"road_strongest_first", curve(result.fraction, result.most_relevant_first)},
                            {"road_weakest_first", curve(result.fraction, result.least_relevant_first)}}};
       }},
      {"confidence_drop",
       [=](const Case& of) -> Measured {
         const sal::Confidence confidence(network, {.map = map(of), .chunk = chunk});
         return {.value = only(confidence(of.input, of.attribution).drop)};
       }},
      {"infidelity",
       [=](const Case& of) -> Measured {
         const sal::Infidelity infidelity(network, {.seed = seed, .normalize = true, .chunk = chunk});
         return {.value = only(infidelity(of.input, of.attribution))};
       }},
      {"sensitivity",
       [=](const Case& of) -> Measured {
         const sal::MaxSensitivity sensitivity(OfClass{&of.explain, of.index},
                                               {.seed = seed, .chunk = chunk});
         return {.value = only(sensitivity(of.input, target(of)).maximum)};
       }},
      {"completeness",
       [=](const Case& of) -> Measured {
         const sal::Completeness completeness(network, {.baseline = baseline});
         return {.value = only(completeness(of.input, of.attribution).relative)};
       }},
      {"randomization",
       [=](const Case& of) -> Measured {
         const sal::RandomizationCheck check(
             OfClass{&of.explain, of.index},
             [&of](std::int64_t) {
               return OfClass{of.randomized, of.index};
             },
             map(of));
         return {.value = std::abs(only(check(of.input, 1, target(of)).spearman))};
       }},
      {"pointing", masked([=](const Case& of) {
         return sal::pointing_game(of.attribution.values, of.mask, {.map = map(of)});
       })},
      {"energy",
       masked([=](const Case& of) { return sal::energy(of.attribution.values, of.mask, map(of)); })},
      {"iou",
       masked([=](const Case& of) { return sal::iou(of.attribution.values, of.mask, {.map = map(of)}); })},
      {"gini",
       [=](const Case& of) -> Measured {
         return {.value = only(sal::gini(of.attribution.values, map(of)))};
       }},
      {"entropy",
       [=](const Case& of) -> Measured {
         return {.value = only(sal::entropy(of.attribution.values, map(of)))};
       }},
  };
}

sal::PixelMapOptions pixel_options(const std::string& sign, const std::string& method) {
  // The sign of a gradient says how the score changes with a pixel's brightness, not whether the pixel
  // speaks for the class; of all else it says this.
  static const std::set<std::string> gradients{"vanilla",         "smooth_grad", "smooth_grad_sq", "var_grad",
                                               "guided_backprop", "deconvnet",   "guided_grad_cam"};
  const bool absolute = sign == "absolute" || (sign == "auto" && gradients.contains(method));
  return {.activation = absolute ? sal::Activation::abs : sal::Activation::none};
}

void add_sign_option(CLI::App& app, std::string& sign) {
  app.add_option(
         "--sign", sign,
         "whether metrics of pixels look at the signed sum of a pixel's values or at the sum of their "
         "sizes; auto: at sizes for gradients, whose sign says nothing")
      ->check(CLI::IsMember({"auto", "signed", "absolute"}));
}
