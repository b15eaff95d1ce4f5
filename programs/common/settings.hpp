// What the programs that run attribution methods have in common on the command line.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

/// The attribution methods' names, in the order of the library's registry.
std::vector<std::string> method_names();

/// The name of a method in a text.
std::string method_title(const std::string& name);

/// Does this method of the registry heed this option?
bool method_takes(const std::string& name, const std::string& option);

/// The names of the methods that take an option, parted by commas.
std::string methods_that_take(const std::string& option);

/// What --segments says.
struct SegmentsChoice {
  enum class Kind { usual, grid, slic, felzenszwalb, quickshift, file };
  Kind kind = Kind::usual;
  double number = 0.0;              ///< of slic its segments, else the scale or the kernel
  std::vector<std::int64_t> cells;  ///< of the grid
};

/// The network, how it wants its pictures, and what the methods can be told.
struct Settings {
  std::string model;
  std::string labels;
  std::vector<std::string> methods{"vanilla"};
  std::vector<std::string> layers;
  std::string size = "224x224";                 ///< as it was given: height and width
  bool size_given = false, mean_given = false;  ///< on the command line
  int height = 224;
  int width = 224;
  std::vector<float> mean{0.485F, 0.456F, 0.406F};
  std::vector<float> std{0.229F, 0.224F, 0.225F};
  std::string dtype = "float32";
  std::string output_type = "auto";
  std::string entry;              ///< of what the model returns
  std::string archived;           ///< which model of an archive
  std::vector<std::string> bind;  ///< arguments of the model that are held fixed, NAME=VALUE
  std::string prepare = "none";
  std::string device = "auto";
  int threads = 0;
  std::uint64_t seed = 0;
  std::optional<std::int64_t> samples;  ///< by default as many as the method's class takes
  double noise = 0.15;
  std::optional<std::int64_t> steps;  ///< likewise
  std::string baseline = "black";
  double tolerance = 0.0;
  std::string segments;  ///< as it was given
  SegmentsChoice segments_choice;
  std::string window_text, stride_text;      ///< as they were given
  std::vector<std::int64_t> window, stride;  ///< of occlusion; empty: its own
  std::int64_t chunk = 0;
};

/// Of names that are there several times only the first is kept.
void drop_repeated(std::vector<std::string>& names);

/// Adds the options --method and --layer. Gives the former.
CLI::Option* add_method_options(CLI::App& app, Settings& settings);

/// Adds the options from --size to --seed.
void add_settings(CLI::App& app, Settings& settings);

/// Parses, and checks the settings and then what `check` throws for. Warns of options that none of the
/// methods heeds. Gives the program's exit status if it should end here: 0 after --help, 2 for wrong usage;
/// else -1.
int parse(CLI::App& app, int argc, char** argv, Settings& settings, const std::function<void()>& check);
