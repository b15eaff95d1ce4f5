// Trains a small network to tell praise from blame in generated sentences, and saves it as TorchScript.
//
//     train_tokens ../data      writes tokens.pt and tokens.txt there
//
// Every sentence is drawn afresh. Accuracy is measured with the saved file, on sentences of seeds that
// training cannot reach; below 97% the program fails.

#include <torch/script.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sentence.hpp"

namespace {

constexpr int steps = 1500;
constexpr std::int64_t batch = 64;
constexpr std::int64_t width = 16;     // of the embedding
constexpr std::int64_t features = 32;  // of the convolution
constexpr std::int64_t window = 3;     // words that a feature sees: "not very good"
constexpr double sparsity = 3e-3;      // weight of the words' norms: those that say nothing become zero
constexpr double dropped = 0.5;        // share of the words that training shows as <unknown>

struct Batch {
  at::Tensor words;   // (N, T) int64, filled up with 0
  at::Tensor labels;  // (N) int64
  std::vector<bool> negated;
};

Batch draw(std::uint64_t first_seed, std::int64_t count, double unknown,
           const std::vector<std::string>& vocabulary) {
  std::vector<std::vector<std::int64_t>> rows;
  std::size_t longest = 0;
  Batch drawn{{}, at::empty({count}, at::kLong), {}};
  for (std::int64_t n = 0; n < count; ++n) {
    const tokens::Sentence sentence = tokens::sentence(first_seed + static_cast<std::uint64_t>(n));
    rows.push_back(tokens::numbered(sentence.words, vocabulary));
    longest = std::max(longest, rows.back().size());
    drawn.labels[n] = sentence.label;
    drawn.negated.push_back(sentence.negated);
    for (std::size_t i = 0; i < rows.back().size(); ++i) {  // opinions stay, so that the label is right
      if (sentence.roles[i] == tokens::Role::neutral && at::rand({1}).item<double>() < unknown)
        rows.back()[i] = 1;
    }
  }
  drawn.words = at::zeros({count, static_cast<std::int64_t>(longest)}, at::kLong);
  for (std::int64_t n = 0; n < count; ++n) {
    const auto& row = rows[static_cast<std::size_t>(n)];
    for (std::size_t i = 0; i < row.size(); ++i) drawn.words[n][static_cast<std::int64_t>(i)] = row[i];
  }
  return drawn;
}

struct NetworkImpl : torch::nn::Module {
  torch::nn::Embedding embedding{nullptr};
  torch::nn::Conv1d conv{nullptr};
  torch::nn::Linear classifier{nullptr};

  explicit NetworkImpl(std::int64_t words)
      : embedding(register_module(
            "embedding", torch::nn::Embedding(torch::nn::EmbeddingOptions(words, width).padding_idx(0)))),
        conv(register_module(
            "conv",
            torch::nn::Conv1d(torch::nn::Conv1dOptions(width, features, window).padding(window / 2)))),
        classifier(register_module("classifier", torch::nn::Linear(features, 2))) {
    const torch::NoGradGuard no_gradient;
    embedding->weight.mul_(0.3);
  }

  at::Tensor forward(const at::Tensor& words) {
    const at::Tensor mask = words.ne(0).unsqueeze(1);
    const at::Tensor x = conv(embedding(words).transpose(1, 2)).relu() * mask;
    return classifier(x.amax(2));
  }
};
TORCH_MODULE(Network);

Network train(const std::vector<std::string>& vocabulary) {
  torch::manual_seed(1);
  Network network(static_cast<std::int64_t>(vocabulary.size()));
  torch::optim::AdamW optimizer(network->parameters(), torch::optim::AdamWOptions(4e-3).weight_decay(0.1));
  for (int step = 0; step < steps; ++step) {
    const double left = 1.0 - static_cast<double>(step) / steps;
    static_cast<torch::optim::AdamWOptions&>(optimizer.param_groups()[0].options()).lr(4e-3 * left);
    const std::uint64_t seed = tokens::first_training_seed + static_cast<std::uint64_t>(step * batch);
    const Batch drawn = draw(seed, batch, dropped, vocabulary);
    const at::Tensor norms = network->embedding->weight.square().sum(1).add(1e-12).sqrt();
    const at::Tensor loss =
        torch::nn::functional::cross_entropy(network(drawn.words), drawn.labels) + sparsity * norms.sum();
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if ((step + 1) % 250 == 0) {
      std::cout << "step " << step + 1 << "  loss " << std::setprecision(4) << loss.item<double>()
                << std::endl;
    }
  }
  return network;
}

/// The tree of modules that torch.jit.script would write.
torch::jit::Module to_script(const Network& network) {
  const auto unit = std::make_shared<torch::jit::CompilationUnit>();
  const auto module = [&unit](const std::string& type) {
    torch::jit::Module made("__torch__." + type, unit, /*shouldMangle=*/true);
    made.register_attribute("training", c10::BoolType::get(), false);
    return made;
  };
  const auto layer = [&module](const std::string& type, const std::string& expression,
                               const std::vector<std::pair<std::string, at::Tensor>>& parameters) {
    torch::jit::Module made = module("torch.nn.modules." + type);
    for (const auto& [name, value] : parameters) {
      made.register_parameter(name, value.detach().clone().requires_grad_(true), /*is_buffer=*/false);
    }
    made.define("def forward(self, input: Tensor) -> Tensor:\n  return " + expression + "\n");
    return made;
  };
  torch::jit::Module root = module("tokens.Classifier");
  root.register_module("embedding", layer("sparse.Embedding", "torch.embedding(self.weight, input, 0)",
                                          {{"weight", network->embedding->weight}}));
  root.register_module(
      "conv", layer("conv.Conv1d",
                    "torch.conv1d(input, self.weight, self.bias, [1], [" + std::to_string(window / 2) + "])",
                    {{"weight", network->conv->weight}, {"bias", network->conv->bias}}));
  root.register_module("relu", layer("activation.ReLU", "torch.relu(input)", {}));
  root.register_module("classifier",
                       layer("linear.Linear", "torch.linear(input, self.weight, self.bias)",
                             {{"weight", network->classifier->weight}, {"bias", network->classifier->bias}}));
  root.define(R"(
def forward(self, words: Tensor) -> Tensor:
  mask = words.ne(0).unsqueeze(1)
  x = self.embedding.forward(words).transpose(1, 2)
  x = self.relu.forward(self.conv.forward(x)) * mask
  return self.classifier.forward(x.amax([2]))
)");
  return root;
}

int run(const std::filesystem::path& folder) {
  at::set_num_threads(1);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> vocabulary = tokens::vocabulary();
  const Network network = train(vocabulary);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

  std::filesystem::create_directories(folder);
  const std::string path = (folder / "tokens.pt").string();
  to_script(network).save(path);
  std::ofstream words(folder / "tokens.txt");
  for (const std::string& word : vocabulary) words << word << '\n';
  if (!words.flush()) throw std::runtime_error("cannot write tokens.txt in " + folder.string());

  torch::jit::Module model = torch::jit::load(path);
  const torch::NoGradGuard no_gradient;
  constexpr std::int64_t fresh = 5000;
  const Batch test = draw(0, fresh, 0.0, vocabulary);
  const at::Tensor right = model.forward({test.words}).toTensor().argmax(1).eq(test.labels);
  const auto percent = right.to(at::kDouble).mean().item<double>() * 100;
  std::cout << vocabulary.size() << " words, trained in " << std::setprecision(3) << seconds.count() << " s; "
            << path << " has " << std::filesystem::file_size(path) << " bytes and answers "
            << std::setprecision(4) << percent << "% of " << fresh << " fresh sentences rightly\n";
  return percent >= 97.0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) throw std::runtime_error("give the folder for tokens.pt and tokens.txt");
  return run(argv[1]);
} catch (const std::exception& error) {
  std::cerr << "train_tokens: " << error.what() << '\n';
  return 1;
}
