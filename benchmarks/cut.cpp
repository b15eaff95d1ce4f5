// What a model from a layer on costs beside the part of the network behind that layer as a model of its own,
// and what a bound argument costs beside a parameter.
//
//   cut FOLDER [ROUNDS] NAME...      of export_models.py's FOLDER/NAME.pt, ResNets; rounds take turns;
//   medians of ratios
#include <salience/method/gradient_attributor.hpp>
#include <salience/model/script_model.hpp>

#include <torch/script.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "turns.hpp"

namespace sal = salience;
namespace fs = std::filesystem;

namespace {

using torch::jit::Module;

/// Prints the median ratio of a gradient of `ours` to one of `other`.
void compare(const std::string& what, const sal::GraphModel& ours, const sal::GraphModel& other,
             const at::Tensor& x, int rounds) {
  const sal::GradientAttributor our_gradient{ours}, other_gradient{other};
  const bench::Turns turns = bench::take_turns([&] { other_gradient(x, sal::ClassIndex{5}); },
                                               [&] { our_gradient(x, sal::ClassIndex{5}); }, rounds);
  std::cout << "  " << what << ": " << 1000 * turns.second << " ms, " << 1000 * turns.first << " ms; "
            << turns.ratio << '\n';
}

/// A module of parts of another one, which has such a forward.
Module made_of(const Module& whole, const std::vector<std::string>& parts, const std::string& forward) {
  Module made("Rest");
  for (const std::string& part : parts) made.register_module(part, whole.attr(part).toModule());
  made.define(forward);
  return made;
}

void compare_cuts(const fs::path& file, sal::Prepare prepare, int rounds) {
  const sal::ModelOptions options{.prepare = prepare};
  const Module network = torch::jit::load(file.string());
  const sal::ScriptModel model(network, options);
  const at::Tensor x = at::randn({1, 3, 224, 224});

  const std::string end =
      "  return self.fc.forward(torch.flatten(self.avgpool.forward(self.layer4.forward(x)), 1))\n";
  const sal::ScriptModel behind(
      made_of(network, {"layer4", "avgpool", "fc"}, "def forward(self, x):\n" + end), options);
  compare("behind layer3", model.from("layer3", x), behind, model.until("layer3")(x), rounds);

  // Inside of a residual block: the way around is held.
  const Module first = network.attr("layer4").toModule().attr("0").toModule();
  Module inside = made_of(network, {"avgpool", "fc"}, "def unused(self, x):\n  return x\n");
  for (const char* part : {"conv2", "bn2", "conv3", "bn3", "relu"})
    inside.register_module(part, first.attr(part).toModule());
  for (const char* part : {"1", "2"}) {
    inside.register_module(std::string("block") + part,
                           network.attr("layer4").toModule().attr(part).toModule());
  }
  inside.define(
      "def forward(self, x, around):\n"
      "  x = torch.relu(self.bn2.forward(self.conv2.forward(x)))\n"
      "  x = torch.relu(self.bn3.forward(self.conv3.forward(x)) + around)\n"
      "  x = self.block2.forward(self.block1.forward(x))\n"
      "  return self.fc.forward(torch.flatten(self.avgpool.forward(x), 1))\n");
  const at::Tensor around = model.until("layer4.0.downsample")(x);
  compare("inside of layer4.0", model.from("layer4.0.conv2:input", x),
          sal::ScriptModel(inside, {.prepare = prepare, .bind = {{"around", around}}}),
          model.until("layer4.0.conv2:input")(x), rounds);

  Module bound = made_of(network, {"conv1", "bn1"},
                         "def forward(self, x, scale):\n  return self.bn1.forward(self.conv1.forward(x * "
                         "scale)).mean([2, 3])\n");
  Module kept = made_of(network, {"conv1", "bn1"}, "def unused(self, x):\n  return x\n");
  const at::Tensor scale = at::rand({1, 3, 1, 1});
  kept.register_buffer("scale", scale);
  kept.define(
      "def forward(self, x):\n  return self.bn1.forward(self.conv1.forward(x * self.scale)).mean([2, 3])\n");
  compare("a bound argument", sal::ScriptModel(bound, {.prepare = prepare, .bind = {{"scale", scale}}}),
          sal::ScriptModel(kept, options), x, rounds);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: cut FOLDER ROUNDS NAME...\n";
    return 2;
  }
  for (int i = 3; i < argc; ++i) {
    for (const sal::Prepare prepare : {sal::Prepare::none, sal::Prepare::fast}) {
      std::cout << argv[i] << (prepare == sal::Prepare::fast ? ", prepared" : "")
                << ": from a layer, the part behind it; the ratio\n";
      compare_cuts(fs::path(argv[1]) / (std::string(argv[i]) + ".pt"), prepare, std::stoi(argv[2]));
    }
  }
}
