// Draws scenes and their masks as PNG files.
//
//     draw_scenes --output DIR --count 200 --seed 5000      a test set: 00005000_heart.png,
//     00005000_heart_mask.png, ... draw_scenes --output DIR --one-of-each --seed 42      scene_disc.png,
//     scene_disc_mask.png, scene_ring.png, ...
//
// index.csv lists the files with kind and seed; labels.txt names the kinds in the order of the network's
// outputs.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <salience/picture/image_io.hpp>

#include "scene.hpp"

namespace {

struct Options {
  std::filesystem::path output;
  std::uint64_t count = 100;
  std::uint64_t seed = 0;
  std::string kind;
  bool one_of_each = false;
};

Options parse(CLI::App& app, int argc, char** argv) {
  Options options;
  const std::vector<std::string> names(scenes::kind_names.begin(), scenes::kind_names.end());
  app.add_option("--output", options.output, "folder for the pictures")->required();
  app.add_option("--count", options.count, "scenes to draw")->capture_default_str();
  app.add_option("--seed", options.seed, "of the first scene; each further one has the next seed")
      ->capture_default_str();
  auto* kind = app.add_option("--kind", options.kind, "draw only this kind")->check(CLI::IsMember(names));
  app.add_flag("--one-of-each", options.one_of_each, "one scene of every kind, named after it")
      ->excludes(kind);
  app.parse(argc, argv);
  return options;
}

std::optional<int> kind_number(const std::string& name) {
  if (name.empty()) return {};
  return static_cast<int>(
      std::distance(scenes::kind_names.begin(), std::ranges::find(scenes::kind_names, name)));
}

void run(const Options& options) {
  std::filesystem::create_directories(options.output);
  std::ofstream labels(options.output / "labels.txt");
  for (const auto name : scenes::kind_names) labels << name << '\n';
  std::ofstream index(options.output / "index.csv");
  index << "picture,mask,kind,seed\n";

  const std::uint64_t count = options.one_of_each ? scenes::kind_count : options.count;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t seed = options.seed + i;
    const auto kind = options.one_of_each ? static_cast<int>(i) : kind_number(options.kind);
    const scenes::Scene scene = scenes::draw_scene(seed, kind);
    const std::string name(scenes::kind_names[static_cast<std::size_t>(scene.kind)]);
    std::string number = std::to_string(seed);
    number.insert(0, 8 - std::min<std::size_t>(8, number.size()), '0');
    const std::string stem = options.one_of_each ? "scene_" + name : number + "_" + name;
    salience::save_image(options.output / (stem + ".png"), scene.picture);
    salience::save_image(options.output / (stem + "_mask.png"), scene.mask);
    index << stem << ".png," << stem << "_mask.png," << name << ',' << seed << '\n';
  }
  if (!index.flush() || !labels.flush())
    throw std::runtime_error("cannot write in " + options.output.string());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Draws test pictures with one object each, and the objects' masks"};
  try {
    run(parse(app, argc, argv));
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::cerr << "draw_scenes: " << error.what() << '\n';
    return 1;
  }
}
