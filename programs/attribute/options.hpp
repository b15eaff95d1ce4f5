// The command line of the program `attribute`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../common/settings.hpp"

struct AttributeOptions : Settings {
  std::string image;
  std::string output;
  std::string report;
  bool list_layers = false;
  std::string target = "argmax";
  std::string at;      ///< the place in the model that is explained instead of the picture
  std::string neuron;  ///< what is explained instead of a class: a place, and a position in it
  std::int64_t top = 5;
};

/// Fills `options`; usage and messages begin with `called`. Gives the program's exit status if it should end
/// here: 0 after --help, 2 for wrong usage; else -1.
int parse(const std::string& called, int argc, char** argv, AttributeOptions& options);
