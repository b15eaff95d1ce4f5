// How the program shows an attribution.
#pragma once

#include <salience/method/attribution.hpp>
#include <salience/view/attribution_processor.hpp>

#include <string>
#include <vector>

struct View {
  std::string name;
  salience::AttributionProcessor<> processor;
};

/// The four views of docs/methods/vanilla_gradient.md.
std::vector<View> four_views();

/// What is laid over the picture: of a map of regions what speaks for the target, of other values how much
/// each pixel matters, with the small values brought out.
salience::AttributionProcessorOptions overlay_options(salience::ValuesOf values_of);
