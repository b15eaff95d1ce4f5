// The library's registry of methods, as the programs use it.
#pragma once

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "settings.hpp"

namespace salience {
class GraphModel;
struct MethodEntry;
}  // namespace salience

/// The library's methods(), compiled once.
std::span<const salience::MethodEntry> registered_methods();

/// The class to explain of each sample of a batch; the predicted one where there is none.
using Classes = std::vector<std::optional<std::int64_t>>;

/// Takes a batch and its classes.
using Method = std::function<salience::Attribution(const at::Tensor&, const Classes&)>;

/// From the model's output to one score per sample.
using Score = std::function<at::Tensor(const at::Tensor&)>;

/// Every method of the registry. With a score that is explained, and no class. `of_pictures`: the model takes
/// pictures, so that black and white are known.
std::map<std::string, Method> methods(const salience::GraphModel& model, const Settings& settings,
                                      const salience::Baseline& baseline,
                                      const salience::ProgressCallback& progress, const Score& score = {},
                                      bool of_pictures = true);
