// Trains a small VGG-style network to name the object in a drawn scene, and saves it as TorchScript.
//
//     train_scenes --output ../data
//
// Every batch is drawn afresh, so the network never sees a scene twice. Accuracy is measured with the saved
// file, on scenes of seeds that training cannot reach.

#include <torch/script.h>
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <memory>
#include <mutex>
#include <numbers>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "scene.hpp"

namespace {

struct Options {
  std::filesystem::path output;
  std::uint64_t seed = 1;
  std::int64_t steps = 2400;
  std::int64_t batch = 64;
  double minutes = 10;
  double learning_rate = 4e-3;
  double weight_decay = 0.05;
  double helper = 0.5;
  double close_share = 0.25;
  int close_size = 64;
  int threads = 2;
  std::int64_t test_scenes = 5000;
  std::uint64_t test_seed = 1'000'000;
};

// ---- data ----

/// The first and last rows and columns of an object's mask.
struct Box {
  int top = scenes::scene_size, bottom = 0, left = scenes::scene_size, right = 0;
};

Box box_of(const salience::Image& mask) {
  Box box;
  for (int y = 0; y < mask.height(); ++y) {
    for (int x = 0; x < mask.width(); ++x) {
      if (mask(y, x, 0) == 0) continue;
      box = {std::min(box.top, y), std::max(box.bottom, y), std::min(box.left, x), std::max(box.right, x)};
    }
  }
  return box;
}

struct Batch {
  at::Tensor pixels;  // (N,H,W,3) uint8
  at::Tensor kinds;   // (N) int64
  std::vector<Box> objects;
};

Batch draw_batch(std::uint64_t first_seed, std::int64_t count) {
  constexpr std::int64_t size = scenes::scene_size;
  Batch batch{at::empty({count, size, size, 3}, at::kByte), at::empty({count}, at::kLong), {}};
  auto* pixels = batch.pixels.data_ptr<std::uint8_t>();
  auto* kinds = batch.kinds.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    const scenes::Scene scene = scenes::draw_scene(first_seed + static_cast<std::uint64_t>(i));
    const auto drawn = scene.picture.pixels();
    std::memcpy(pixels, drawn.data(), drawn.size());
    pixels += drawn.size();
    kinds[i] = scene.kind;
    batch.objects.push_back(box_of(scene.mask));
  }
  return batch;
}

/// What the `imagenet` preprocessing of the library does to a picture of this size: (N,3,H,W) float32.
at::Tensor normalised(const at::Tensor& pixels) {
  const at::Tensor mean = at::tensor({0.485f, 0.456f, 0.406f}).view({1, 3, 1, 1});
  const at::Tensor deviation = at::tensor({0.229f, 0.224f, 0.225f}).view({1, 3, 1, 1});
  return pixels.permute({0, 3, 1, 2}).to(at::kFloat).div_(255).sub_(mean).div_(deviation);
}

/// A square of `size` pixels out of every picture, at a random place where it shows the whole object.
at::Tensor cropped(const Batch& batch, int size, std::mt19937_64& random) {
  const auto offset = [&](int first, int last) {
    const int low = std::max(0, last + 1 - size);
    const int high = std::max(low, std::min(first, scenes::scene_size - size));
    return low + static_cast<int>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  std::vector<at::Tensor> crops;
  for (std::size_t i = 0; i < batch.objects.size(); ++i) {
    const Box& box = batch.objects[i];
    const int top = offset(box.top, box.bottom);
    const int left = offset(box.left, box.right);
    crops.push_back(batch.pixels[static_cast<std::int64_t>(i)].narrow(0, top, size).narrow(1, left, size));
  }
  return at::stack(crops);
}

/// Draws the batches in a thread of its own, a few ahead of the training.
class BatchStream {
 public:
  BatchStream(std::uint64_t first_seed, std::int64_t batch)
      : next_seed_(first_seed), batch_(batch), worker_([this] { work(); }) {}

  ~BatchStream() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    worker_.join();
  }

  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  Batch next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ready_.empty(); });
    Batch batch = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return batch;
  }

 private:
  static constexpr std::size_t ahead = 4;

  void work() {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || ready_.size() < ahead; });
        if (stopping_) return;
      }
      Batch batch = draw_batch(next_seed_, batch_);
      next_seed_ += static_cast<std::uint64_t>(batch_);
      {
        const std::lock_guard lock(mutex_);
        ready_.push_back(std::move(batch));
      }
      changed_.notify_all();
    }
  }

  std::uint64_t next_seed_;
  std::int64_t batch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  bool stopping_ = false;
  std::thread worker_;
};

// ---- the network ----

/// Channels of the 3x3 convolutions, in order; `pool` is a 2x2 max-pool. The last map has 12x12 cells of
/// which each sees 62x62 of the 96x96 pixels: about one object.
constexpr int pool = 0;
constexpr int plan[] = {16, pool, 32, pool, 64, 64, pool, 128, 128};
constexpr int features = 128;

/// A convolution of the network as it is trained: followed by batch normalisation, which is folded away when
/// saving.
struct Block {
  torch::nn::Conv2d convolution{nullptr};
  torch::nn::BatchNorm2d normalisation{nullptr};
};

struct NetworkImpl : torch::nn::Module {
  std::vector<Block> blocks;
  torch::nn::Linear head{nullptr};
  /// Names the kind from each feature's peak instead of its mean. The features learn sooner with it; it is
  /// not saved.
  torch::nn::Linear helper{nullptr};

  NetworkImpl() {
    int channels = 3;
    for (const int width : plan) {
      if (width == pool) continue;
      const std::string index = std::to_string(blocks.size());
      Block block;
      block.convolution = register_module(
          "convolution" + index,
          torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, width, 3).padding(1).bias(false)));
      block.normalisation = register_module("normalisation" + index, torch::nn::BatchNorm2d(width));
      torch::nn::init::kaiming_normal_(block.convolution->weight, 0, torch::kFanOut, torch::kReLU);
      at::Tensor& weight = block.convolution->weight;
      weight.set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
      blocks.push_back(block);
      channels = width;
    }
    helper = register_module("helper", torch::nn::Linear(features, scenes::kind_count));
    head = register_module("head", torch::nn::Linear(features, scenes::kind_count));
  }

  /// The last feature map (N,features,H/8,W/8).
  at::Tensor map(at::Tensor x) {
    std::size_t next = 0;
    for (const int width : plan) {
      if (width == pool) {
        x = at::max_pool2d(x, {2, 2});
      } else {
        Block& block = blocks[next++];
        x = block.normalisation(block.convolution(x)).relu_();
      }
    }
    return x;
  }
};
TORCH_MODULE(Network);

// ---- TorchScript: the tree of modules that torch.jit.script would write for torchvision's VGG ----

/// Makes modules that share one compilation unit, as those of one model must.
class ScriptBuilder {
 public:
  torch::jit::Module module(const std::string& type) const {
    torch::jit::Module made("__torch__." + type, unit_, /*shouldMangle=*/true);
    made.register_attribute("training", c10::BoolType::get(), false);
    return made;
  }

  /// A module without children whose forward is one expression of `self` and `input`.
  torch::jit::Module layer(const std::string& type, const std::string& expression,
                           const std::vector<std::pair<std::string, at::Tensor>>& parameters = {}) const {
    torch::jit::Module made = module("torch.nn.modules." + type);
    for (const auto& [name, value] : parameters) {
      made.register_parameter(name, value.detach().clone().contiguous().requires_grad_(true),
                              /*is_buffer=*/false);
    }
    made.define("def forward(self, input: Tensor) -> Tensor:\n  return " + expression + "\n");
    return made;
  }

  /// The layers one after the other, as children "0", "1", ...
  torch::jit::Module sequential(const std::vector<torch::jit::Module>& layers) const {
    torch::jit::Module made = module("torch.nn.modules.container.Sequential");
    std::string source = "def forward(self, input: Tensor) -> Tensor:\n";
    for (std::size_t i = 0; i < layers.size(); ++i) {
      made.register_module(std::to_string(i), layers[i]);
      source += "  input = getattr(self, \"" + std::to_string(i) + "\").forward(input)\n";
    }
    made.define(source + "  return input\n");
    return made;
  }

 private:
  std::shared_ptr<torch::jit::CompilationUnit> unit_ = std::make_shared<torch::jit::CompilationUnit>();
};

torch::jit::Module to_script(Network& network) {
  const torch::NoGradGuard no_gradient;
  const ScriptBuilder script;
  std::vector<torch::jit::Module> layers;
  std::size_t next = 0;
  for (const int width : plan) {
    if (width == pool) {
      layers.push_back(script.layer("pooling.MaxPool2d",
                                    "torch.max_pool2d(input, [2, 2], [2, 2], [0, 0], [1, 1], False)"));
      continue;
    }
    const Block& block = network->blocks[next++];
    const auto& norm = block.normalisation;
    const at::Tensor scale = norm->weight / (norm->running_var + norm->options.eps()).sqrt();
    const at::Tensor weight = block.convolution->weight * scale.view({-1, 1, 1, 1});
    const at::Tensor bias = norm->bias - norm->running_mean * scale;
    layers.push_back(
        script.layer("conv.Conv2d", "torch.conv2d(input, self.weight, self.bias, [1, 1], [1, 1], [1, 1], 1)",
                     {{"weight", weight.contiguous(at::MemoryFormat::Contiguous)}, {"bias", bias}}));
    layers.push_back(script.layer("activation.ReLU", "torch.relu_(input)"));
  }

  torch::jit::Module root = script.module("scenes.VGG");
  root.register_module("features", script.sequential(layers));
  root.register_module("avgpool",
                       script.layer("pooling.AdaptiveAvgPool2d", "torch.adaptive_avg_pool2d(input, [1, 1])"));
  root.register_module(
      "classifier",
      script.sequential({script.layer("linear.Linear", "torch.linear(input, self.weight, self.bias)",
                                      {{"weight", network->head->weight}, {"bias", network->head->bias}})}));
  root.define(R"(
def forward(self, x: Tensor) -> Tensor:
  x = self.features.forward(x)
  x = self.avgpool.forward(x)
  x = torch.flatten(x, 1)
  return self.classifier.forward(x)
)");
  return root;
}

// ---- training and testing ----

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Network train(const Options& options) {
  torch::manual_seed(options.seed);
  Network network;
  torch::optim::AdamW optimizer(network->parameters(),
                                torch::optim::AdamWOptions().weight_decay(options.weight_decay));
  std::mt19937_64 random(options.seed);
  BatchStream stream(scenes::first_training_seed * (options.seed + 1), options.batch);
  const auto start = std::chrono::steady_clock::now();
  double loss_sum = 0;
  std::int64_t right = 0;
  std::int64_t since = 0;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    // One cycle: the rate rises while the network sees crops, then falls to zero along a half cosine. A
    // machine that is too slow for all steps goes through the same cycle in fewer of them.
    const double progress = std::max(static_cast<double>(step) / static_cast<double>(options.steps),
                                     seconds_since(start) / (60 * options.minutes));
    if (progress >= 1) break;
    const bool close = progress < options.close_share;
    const double fall = (progress - options.close_share) / (1 - options.close_share);
    const double rate = options.learning_rate * (close ? 0.02 + 0.98 * progress / options.close_share
                                                       : 0.5 * (1 + std::cos(std::numbers::pi * fall)));
    static_cast<torch::optim::AdamWOptions&>(optimizer.param_groups().front().options()).lr(rate);

    const Batch batch = stream.next();
    const at::Tensor map =
        network->map(normalised(close ? cropped(batch, options.close_size, random) : batch.pixels));
    const at::Tensor logits = network->head(map.mean({2, 3}));
    at::Tensor loss = at::cross_entropy_loss(logits, batch.kinds, {}, at::Reduction::Mean, -100, 0.05);
    loss_sum += loss.item<double>();
    right += logits.argmax(1).eq(batch.kinds).sum().item<std::int64_t>();
    ++since;
    if (options.helper > 0) {
      const at::Tensor peaks = network->helper(map.amax({2, 3}));
      loss = loss +
             options.helper * at::cross_entropy_loss(peaks, batch.kinds, {}, at::Reduction::Mean, -100, 0.05);
    }
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();

    if ((step + 1) % 50 == 0 || step + 1 == options.steps) {
      std::cout << std::fixed << "step " << std::setw(5) << step + 1 << "  " << std::setprecision(0)
                << std::setw(4) << seconds_since(start) << " s  loss " << std::setprecision(4)
                << loss_sum / static_cast<double>(since) << "  accuracy in training " << std::setprecision(2)
                << 100.0 * static_cast<double>(right) / static_cast<double>(since * options.batch) << "%"
                << std::endl;
      loss_sum = 0;
      right = 0;
      since = 0;
    }
  }
  network->eval();
  return network;
}

/// Prints the confusion matrix and returns the share of scenes that the model names rightly.
double test(torch::jit::Module& model, const Options& options) {
  const torch::NoGradGuard no_gradient;
  std::vector<std::vector<int>> confusion(scenes::kind_count, std::vector<int>(scenes::kind_count));
  std::int64_t right = 0;
  for (std::int64_t done = 0; done < options.test_scenes;) {
    const std::int64_t count = std::min<std::int64_t>(options.batch, options.test_scenes - done);
    const Batch batch = draw_batch(options.test_seed + static_cast<std::uint64_t>(done), count);
    const at::Tensor named = model.forward({normalised(batch.pixels).contiguous()}).toTensor().argmax(1);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto truth = batch.kinds[i].item<std::int64_t>();
      const auto guess = named[i].item<std::int64_t>();
      ++confusion[static_cast<std::size_t>(truth)][static_cast<std::size_t>(guess)];
      right += truth == guess ? 1 : 0;
    }
    done += count;
  }
  std::cout << "\nfresh scenes (rows: what was drawn, columns: what the network says)\n"
            << std::setw(10) << "";
  for (const auto name : scenes::kind_names) std::cout << std::setw(10) << name;
  for (std::size_t truth = 0; truth < confusion.size(); ++truth) {
    std::cout << '\n' << std::setw(10) << scenes::kind_names[truth];
    for (const int count : confusion[truth]) std::cout << std::setw(10) << count;
  }
  return static_cast<double>(right) / static_cast<double>(options.test_scenes);
}

Options parse(CLI::App& app, int argc, char** argv) {
  Options options;
  app.add_option("--output", options.output, "folder for scenes.pt and labels.txt")->required();
  app.add_option("--seed", options.seed, "of the weights and of the training scenes")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1'000'000}))
      ->capture_default_str();
  app.add_option("--steps", options.steps, "training steps")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--minutes", options.minutes, "at most; a slow machine does fewer steps")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch", options.batch, "scenes per step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--learning-rate", options.learning_rate, "at its peak")->capture_default_str();
  app.add_option("--weight-decay", options.weight_decay, "of AdamW")->capture_default_str();
  app.add_option("--close-share", options.close_share,
                 "share of the training, from its start, that sees crops round the object")
      ->check(CLI::Range(0.01, 0.99))
      ->capture_default_str();
  app.add_option("--close-size", options.close_size, "pixels of such a crop, high and wide")
      ->check(CLI::Range(56, scenes::scene_size))
      ->capture_default_str();
  app.add_option("--helper", options.helper,
                 "weight in the loss of a second head, on the peaks of the last map")
      ->capture_default_str();
  app.add_option("--threads", options.threads, "for LibTorch")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--test-scenes", options.test_scenes, "fresh scenes to test with")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--test-seed", options.test_seed, "of the first fresh scene")
      ->check(CLI::Range(std::uint64_t{0}, scenes::first_training_seed / 2))
      ->capture_default_str();
  app.parse(argc, argv);
  return options;
}

int run(const Options& options) {
  at::set_num_threads(options.threads);
  std::filesystem::create_directories(options.output);
  const auto start = std::chrono::steady_clock::now();
  Network network = train(options);
  const double trained = seconds_since(start);

  const auto path = (options.output / "scenes.pt").string();
  to_script(network).save(path);
  std::ofstream labels(options.output / "labels.txt");
  for (const auto name : scenes::kind_names) labels << name << '\n';
  if (!labels.flush()) throw std::runtime_error("cannot write labels.txt in " + options.output.string());

  torch::jit::Module model = torch::jit::load(path);
  const double accuracy = test(model, options);
  std::cout << "\n\ntrained in " << std::fixed << std::setprecision(0) << trained << " s; " << path << " has "
            << std::filesystem::file_size(path) << " bytes and names " << std::setprecision(2)
            << 100 * accuracy << "% of " << options.test_scenes << " fresh scenes rightly\n";
  return accuracy >= 0.95 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Trains the example network on drawn scenes; fails if it names fewer than 95% of fresh ones rightly"};
  try {
    return run(parse(app, argc, argv));
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::cerr << "train_scenes: " << error.what() << '\n';
    return 1;
  }
}
