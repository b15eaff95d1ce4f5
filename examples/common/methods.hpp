// The attribution methods by their names on the command line.
#pragma once

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "settings.hpp"

namespace salience {
class ScriptModel;
}

/// Takes an input and a class; without one, the predicted class.
using Method = std::function<salience::Attribution(const at::Tensor&, const std::optional<std::int64_t>&)>;

/// Every name of method_names().
std::map<std::string, Method> methods(const salience::ScriptModel& model, const Settings& settings,
                                      const salience::Baseline& baseline,
                                      const salience::ProgressCallback& progress);
