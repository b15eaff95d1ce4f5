// The command line of the program `evaluate`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../common/settings.hpp"

struct EvaluateOptions : Settings {
  std::string images;
  std::string masks;
  std::string output;
  std::vector<std::string> metrics;
  std::string sign = "auto";
  std::int64_t seeds = 1;  ///< each picture is explained with so many: `seed` and those that follow
};

/// Is the method explained with several seeds, so that it has a stability?
bool with_seeds(const EvaluateOptions& options, const std::string& method);

/// Fills `options`; usage and messages begin with `called`. Gives the program's exit status if it should end
/// here: 0 after --help, 2 for wrong usage; else -1.
int parse(const std::string& called, int argc, char** argv, EvaluateOptions& options);
