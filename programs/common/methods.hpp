// The library's registry of methods, as the programs use it.
#pragma once

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "settings.hpp"

namespace salience {
class ScriptModel;
}

/// The class to explain of each sample of a batch; the predicted one where there is none.
using Classes = std::vector<std::optional<std::int64_t>>;

/// Takes a batch and its classes.
using Method = std::function<salience::Attribution(const at::Tensor&, const Classes&)>;

/// Every method of the registry.
std::map<std::string, Method> methods(const salience::ScriptModel& model, const Settings& settings,
                                      const salience::Baseline& baseline,
                                      const salience::ProgressCallback& progress);
