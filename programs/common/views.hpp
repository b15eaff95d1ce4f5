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

/// Is it the map of a layer, smooth and of one channel, which says little without the picture under it?
bool is_class_activation_map(const salience::Attribution& attribution);

/// What is laid over the picture: of a class activation map what speaks for the target, of other methods how
/// much each pixel matters, with the small values brought out.
salience::AttributionProcessorOptions overlay_options(const salience::Attribution& attribution);
