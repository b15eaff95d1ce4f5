// --segments: what the features are of methods that take some away.
#pragma once

#include <salience/method/feature_mask.hpp>

#include <optional>

#include "network.hpp"

/// None where the command line says nothing: each method has its own.
std::optional<salience::FeatureMask> segments(const Settings& settings, const Preprocess& preprocess);
