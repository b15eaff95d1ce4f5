#include "views.hpp"

namespace sal = salience;

std::vector<View> four_views() {
  using sal::Activation;
  return {
      {"no_activation", sal::AttributionProcessor<>{{}}},
      {"relu_hot", sal::AttributionProcessor<>{{.activation = Activation::relu, .colormap = "hot"}}},
      {"abs_coolwarm",
       sal::AttributionProcessor<>{{.activation = Activation::abs, .skew = 0.5, .colormap = "coolwarm"}}},
      {"abs_grayscale",
       sal::AttributionProcessor<>{{.activation = Activation::abs, .skew = 0.8, .grayscale = true}}},
  };
}

bool is_class_activation_map(const sal::Attribution& attribution) {
  return attribution.empty.defined() && attribution.values.size(1) == 1;
}

sal::AttributionProcessorOptions overlay_options(const sal::Attribution& attribution) {
  if (is_class_activation_map(attribution)) {
    return {.activation = sal::Activation::relu, .colormap = "jet"};
  }
  return {.activation = sal::Activation::abs, .percentile = 99, .skew = 0.5, .colormap = "inferno"};
}
