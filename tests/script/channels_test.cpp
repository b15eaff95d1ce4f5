// Where the channels of a TorchScript module's layers are, and what class activation maps make of that.
#include <salience/model/script_model.hpp>

#include <doctest/doctest.h>
#include <salience/method/grad_cam.hpp>

#include <string>
#include <vector>

#include "../support.hpp"
#include "../warnings.hpp"

using namespace salience;
using support::contains;
using support::distance;
using support::message;
using support::normal;
using torch::jit::Module;

namespace {

using Names = std::vector<std::string>;

/// Gives its input; its name makes a value of the program a layer.
Module here() {
  Module made("Identity");
  made.define("def forward(self, x):\n    return x\n");
  return made;
}

/// A module that has the weights of every test and runs `body`, which ends with `return`. Each `self.see(x)`
/// shows the layer 'see'.
Module net(const std::string& body) {
  Module made("Net");
  const auto add = [&made](const char* name, std::vector<std::int64_t> sizes, int salt) {
    made.register_parameter(name, normal(sizes, at::kDouble, salt) * 0.3, false);
  };
  add("w", {6, 3, 3, 3}, 1);          // of conv2d
  add("pointwise", {6, 6, 1, 1}, 2);  // of another
  add("up", {6, 5, 2, 2}, 3);         // of conv_transpose2d
  add("w1", {6, 3, 3}, 4);            // of conv1d
  add("square", {6, 6}, 5);           // of linear
  add("wide", {8, 6}, 6);
  add("places", {64, 64}, 7);  // of a linear layer over places
  add("channel", {6}, 8);
  add("token", {1, 1, 6}, 9);
  made.register_attribute("first", c10::BoolType::get(), true);
  made.register_attribute("training", c10::BoolType::get(), true);
  made.register_attribute("width", c10::IntType::get(), 6);
  made.register_module("see", here());
  made.define("def forward(self, x):\n" + body + "\n");
  return made;
}

const std::string conv = "    x = torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n";
const at::Tensor picture = normal({2, 3, 8, 8}, at::kDouble, 9);

/// Where the channels are that the layer 'see' gives in a program of these lines.
ChannelAxis seen(const std::string& lines, const at::Tensor& input = picture) {
  const Names names{"see"};
  const Tapped tapped =
      ScriptModel(net(lines + "    x = self.see.forward(x)\n    return x.flatten(1).sum([1]).unsqueeze(1)"))
          .tapped(input, names);
  REQUIRE(tapped.channels.size() == 1);
  return tapped.channels.front();
}

constexpr ChannelAxis first = ChannelAxis::first, last = ChannelAxis::last, unknown = ChannelAxis::unknown;

}  // namespace

namespace doctest {
template <>
struct StringMaker<ChannelAxis> {
  static String convert(ChannelAxis axis) {
    return axis == first ? "first" : axis == last ? "last" : "unknown";
  }
};
}  // namespace doctest

TEST_CASE("convolutions give their channels first, and what keeps the layout keeps them there") {
  CHECK(seen(conv) == first);
  CHECK(seen("    x = torch.conv_transpose2d(torch.conv2d(x, self.w), self.up)\n") == first);
  CHECK(seen("    x = torch.conv1d(x.flatten(2), self.w1)\n") == first);
  CHECK(seen(conv + "    x = torch.relu_(x * 2.0 + 1.0) / x.mean([2, 3], True)\n") == first);
  CHECK(seen(conv + "    x = torch.max_pool2d(x, [2, 2])\n") == first);
  CHECK(seen(conv + "    x = torch.upsample_nearest2d(x, [16, 16], None)\n") == first);
  CHECK(seen(conv + "    x = torch.pixel_shuffle(torch.cat([x, x], 1), 2)\n") == first);
  CHECK(seen(conv + "    a, b = x.chunk(2, 1)\n    x = torch.cat([b, a], 1)\n") == first);
  CHECK(seen(conv + "    x = x[:, 1:, ::2, ::2]\n") == first);
  CHECK(seen(conv + "    x = x + self.channel.view([6, 1, 1])\n") == first);
  CHECK(seen(conv + "    x = torch.group_norm(x.view(x.size(0), x.size(1), 4, -1), 2)\n") == first);
  CHECK(seen(conv + "    x = x.permute([0, 2, 3, 1]).permute([0, 3, 1, 2])\n") == first);
  CHECK(seen(conv + "    x = torch.linear(x.flatten(2), self.places)\n") == first);  // over places
}

TEST_CASE("permutations, reshapes, linear layers and norms put them last") {
  CHECK(seen(conv + "    x = x.permute([0, 2, 3, 1])\n") == last);
  CHECK(seen(conv + "    x = x.permute([0, -2, -1, -3])\n") == last);
  CHECK(seen(conv + "    x = x.flatten(2).transpose(1, 2)\n") == last);
  CHECK(seen(conv + "    x = x.flatten(2).transpose(-1, -2)\n") == last);
  CHECK(seen(conv + "    n, c, h, w = x.shape\n    x = x.reshape(n, c, h * w).permute([0, 2, 1])\n") == last);
  CHECK(seen(conv + "    x = x.reshape(x.size(0), self.width, -1).permute([0, 2, 1])\n") == last);
  const std::string tokens = conv + "    x = x.flatten(2).transpose(1, 2)\n";
  CHECK(seen(tokens + "    x = torch.cat([self.token.expand([x.size(0), -1, -1]), x], 1)\n") == last);
  CHECK(seen(tokens + "    x = torch.layer_norm(x, [6])\n") == last);
  CHECK(seen(tokens + "    x = x + torch.softmax(x @ x.transpose(1, 2), -1) @ x\n") == last);
  CHECK(seen(tokens + "    x = torch.linear(torch.softmax(x @ x.transpose(1, 2), -1) @ x, self.wide)\n") ==
        last);
  CHECK(seen(tokens +
             "    y = torch.linear(x.transpose(1, 2), self.places).transpose(1, 2)\n    x = x + y\n") ==
        last);
  CHECK(seen(tokens + "    n, t, c = x.shape\n    x = x.view(n, 8, 8, c)\n") == last);
  CHECK(seen(tokens + "    n, t, c = x.shape\n    x = x.transpose(1, 2).view(n, c, 8, 8)\n") == first);
  CHECK(seen(tokens + "    n, t, c = x.shape\n    x = torch.linear(x.reshape(n * t, c), self.square)\n"
                      "    x = x.view(n, t, c)\n") == last);
}

TEST_CASE("what is not known is not known: attention's heads, other operators, windows, the input itself") {
  CHECK(seen("    x = x * 2.0\n") == unknown);
  CHECK(seen(conv + "    x = torch.fft_fft(x).abs()\n") == unknown);
  CHECK(seen(conv + "    x = x.flatten(2)\n    x = x @ x.transpose(1, 2)\n") == unknown);
  CHECK(seen(conv + "    x = x.reshape(x.size(0), 8, 6, 8)\n") == unknown);
  CHECK(seen(conv + "    x = x.reshape(x.size(0), 8, 8, 6)\n") == unknown);  // not a permutation
  CHECK(seen(conv + "    x = x.permute([1, 0, 2, 3])\n") == unknown);
  CHECK(seen(conv + "    x = x + x.permute([0, 3, 2, 1])[:, :6].repeat([1, 1, 1, 2])[:, :, :, :8]\n") ==
        unknown);  // its operands do not agree
  CHECK(seen(conv + "    x = x.clone().transpose_(1, 3)\n") == last);
  CHECK(seen(conv + "    x = x.clone()\n    x.transpose_(1, 3)\n") == unknown);
}

TEST_CASE("branches that agree, that do not, and that are never taken; loops") {
  const std::string permuted = "        x = x.permute([0, 2, 3, 1])\n", relu = "        x = torch.relu(x)\n";
  CHECK(seen(conv + "    if x.sum() > 1.0:\n" + relu + "    else:\n        x = x * 2.0\n") == first);
  CHECK(seen(conv + "    if x.sum() > 1.0:\n" + relu + "    else:\n" + permuted) == unknown);
  CHECK(seen(conv + "    if self.first:\n" + relu + "    else:\n" + permuted) == first);
  CHECK(seen(conv + "    if not self.first:\n" + relu + "    else:\n" + permuted) == last);
  CHECK(seen(conv + "    if self.first and not self.training:\n" + relu + "    else:\n" + permuted) == first);
  CHECK(seen(conv + "    assert x.size(1) != 5\n    x = x * 2.0\n") == first);
  CHECK(seen(conv + "    for i in range(3):\n        x = torch.conv2d(x, self.pointwise)\n") == first);
  CHECK(seen(conv + "    for i in range(2):\n        x = x.transpose(1, 3)\n") == unknown);
  CHECK(seen(conv + "    y = [x]\n    for i in range(2):\n        y.append(y[-1] * 2.0)\n"
                    "    x = torch.cat(y, 1)\n") == first);
  // A program that assigns to a flag is not read as if it did not.
  CHECK(seen("    self.first = bool(x.sum() > 1e9)\n" + conv + "    if self.first:\n" + relu + "    else:\n" +
             permuted) == unknown);
}

TEST_CASE("tuples pass the place on, and several uses of a layer are told apart by their shapes") {
  CHECK(seen(conv + "    y = (x, x.permute([0, 2, 3, 1]))\n    a, b = y\n    x = b\n") == last);
  CHECK(seen(conv + "    y = self.see.forward(x.flatten(2).transpose(1, 2))\n    x = x + y.mean()\n") ==
        first);
  CHECK(seen("    x = torch.conv2d(x[0], self.w)\n") == unknown);  // without a batch
}

TEST_CASE("a convolution that is not square is taken as it is, by its name and by default") {
  // The case of spectrograms: 16 channels of 32x16 places look like 32x32 places of 16 channels.
  Module strided("Net");
  strided.register_parameter("w", normal({32, 1, 3, 3}, at::kDouble, 1), false);
  strided.define(
      "def forward(self, x):\n    return torch.conv2d(x, self.w, None, [2, 4], [1, 1]).relu().mean([2, "
      "3])\n");
  const at::Tensor x = normal({1, 1, 64, 64}, at::kDouble, 2);
  const ScriptModel model(strided);
  const Tapped tapped = model.tapped(x, Names{""});
  REQUIRE(tapped.layers[0].sizes() == at::IntArrayRef({1, 32, 32, 16}));
  CHECK(tapped.channels[0] == first);
  const CamOptions raw{.relu = false, .upsample = false};
  const Attribution map = GradCam(model, raw)(x, ClassIndex{3});
  const at::Tensor a = tapped.layers[0].detach();
  const at::Tensor weight = a.select(1, 3).gt(0.0).to(at::kDouble).mean() / 512.0;
  CHECK(distance(map.values, (a.select(1, 3) * weight).unsqueeze(1)) < 1e-13);
}

TEST_CASE("Conv1d's output is a line for signals, and for pictures an error that says what to do") {
  const Module lines = net("    x = torch.conv1d(x.flatten(2), self.w1)\n    return torch.relu(x).mean([2])");
  const ScriptModel model(lines);
  const at::Tensor signal = normal({2, 3, 18}, at::kDouble, 3);
  CHECK(GradCam(model, {.upsample = false})(signal).values.sizes() == at::IntArrayRef({2, 1, 16}));
  CHECK(GradCam(model)(signal).values.sizes() == at::IntArrayRef({2, 1, 18}));
  const std::string said = message<ArgumentError>([&] { (void)GradCam(model)(picture); });
  CHECK(contains(said,
                 "the last convolution gives (2, 6, 62), a map of 62 places, which cannot be upsampled to "
                 "an input of 8x8; give the option reshape, ChannelsFirst{1} for a line along the width"));
  CHECK(contains(said, "ChannelsFirst{height, width}"));
  CHECK(GradCam(model, {.reshape = ChannelsFirst{1}})(picture).values.sizes() ==
        at::IntArrayRef({2, 1, 8, 8}));
  CHECK(GradCam(model, {.upsample = false})(picture).values.sizes() == at::IntArrayRef({2, 1, 62}));
}

TEST_CASE("the default layer of a vision transformer is its first one, which is said with a layer to use") {
  Module block("Block");
  block.register_module("norm", here());
  block.define(
      "def forward(self, x):\n    x = self.norm.forward(torch.layer_norm(x, [6]))\n"
      "    return x + torch.softmax(x @ x.transpose(1, 2), -1) @ x\n");
  const auto with_blocks = [&](const std::string& stem) {
    Module made("Net");
    made.register_parameter("w", normal({6, 3, 3, 3}, at::kDouble, 1), false);
    made.register_parameter("pointwise", normal({6, 6, 1, 1}, at::kDouble, 2), false);
    for (const char* name : {"block_0", "block_1", "block_2"}) made.register_module(name, block);
    made.define("def forward(self, x):\n" + stem +
                "    x = x.flatten(2).transpose(1, 2)\n"
                "    x = self.block_2.forward(self.block_1.forward(self.block_0.forward(x)))\n"
                "    return x.mean([1])\n");
    return made;
  };
  const support::CatchWarnings warnings;
  const ScriptModel model(with_blocks(conv));
  (void)GradCam(model)(picture);
  REQUIRE(warnings.messages().size() == 1);
  CHECK(contains(warnings.messages()[0], "the last convolution is also the first one"));
  CHECK(contains(warnings.messages()[0], "such as 'block_1'"));
  (void)GradCam(model, {.layer = "block_1"})(picture);
  (void)GradCam(model, {.layer = "convolution.0"})(picture);
  (void)GradCam(model).predict(picture);
  (void)GradCam(ScriptModel(with_blocks(conv + "    x = torch.conv2d(x, self.pointwise)\n")))(picture);
  (void)GradCam(ScriptModel(net(conv + "    return x.mean([2, 3])")))(picture);
  CHECK(warnings.messages().size() == 1);
}
