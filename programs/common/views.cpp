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

sal::AttributionProcessorOptions overlay_options(sal::ValuesOf values_of) {
  if (values_of == sal::ValuesOf::regions) {
    return {.activation = sal::Activation::relu, .colormap = "jet"};
  }
  return {.activation = sal::Activation::abs, .percentile = 99, .skew = 0.5, .colormap = "inferno"};
}
