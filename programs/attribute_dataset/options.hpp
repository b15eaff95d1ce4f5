// The command line of the program `attribute_dataset`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../common/settings.hpp"

struct DatasetOptions : Settings {
  std::string images;
  std::string manifest;
  std::string masks;
  std::string output;
  std::vector<std::string> metrics;
  std::string sign = "auto";
  bool no_raw = false;
  std::vector<std::string> views;  ///< pictures of each sample
  std::int64_t batch = 8;
  std::int64_t shard = 64;
  int readers = 2;
  int writers = 1;
  bool retry = false;
  bool verify = false;
  double every = 30.0;  ///< seconds between lines of progress where there is no terminal
};

/// Fills `options`; usage and messages begin with `called`. Gives the program's exit status if it should end
/// here: 0 after --help, 2 for wrong usage; else -1.
int parse(const std::string& called, int argc, char** argv, DatasetOptions& options);
