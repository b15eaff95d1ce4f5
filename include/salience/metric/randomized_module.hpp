// RandomizedModule: copies of a TorchScript module with random layers, for RandomizationCheck.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/method/noise.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// Which layers are random at level k.
enum class RandomizationOrder {
  cascading,    ///< level k: layers 0 to k are random, from the top down
  independent,  ///< level k: layer k alone
};

/// The options of RandomizedModule.
struct RandomizedModuleOptions {
  RandomizationOrder order = RandomizationOrder::cascading;  ///< the paper's first test
  std::uint64_t seed = 0;  ///< the same seed gives the same parameters, bit for bit
};

/// Copies of a module in which some layers have random parameters (Adebayo et al. 2018). A layer is a
/// submodule with floating parameters of its own; the top is the one registered last. Random parameters are
/// drawn from the normal distribution with the mean and the standard deviation of the trained ones, so that
/// activations keep their scale and nothing has to be known of the layer's kind; one that has a single value
/// everywhere keeps it. The buffers (running means) stay. The module itself is not changed.
class RandomizedModule {
 public:
  /// Throws ModelError if the module has no parameters, as one that was frozen.
  explicit RandomizedModule(torch::jit::Module module, RandomizedModuleOptions options = {})
      : module_(std::move(module)), options_(options) {
    for (const auto& layer : module_.named_modules()) {
      if (!parameters(layer.value).empty()) layers_.push_back(layer.name);
    }
    std::reverse(layers_.begin(), layers_.end());
    if (layers_.empty()) throw ModelError("there are no parameters to randomise; was the module frozen?");
  }

  /// Their names from the top down; a parameter of the module itself is in the layer "".
  const std::vector<std::string>& layers() const noexcept { return layers_; }

  /// A copy of the module at that level. Throws ArgumentError for one that is not there.
  torch::jit::Module operator()(std::int64_t level) const {
    if (level < 0 || std::cmp_greater_equal(level, layers_.size())) {
      throw ArgumentError::out_of_range("level", level, detail::concat("from 0 to ", layers_.size() - 1));
    }
    const detail::Observing observing;
    torch::jit::Module copy = module_.deepcopy();
    for (const auto& layer : copy.named_modules()) {
      const auto place = std::find(layers_.begin(), layers_.end(), layer.name) - layers_.begin();
      const bool chosen = options_.order == RandomizationOrder::cascading ? place <= level : place == level;
      if (!chosen || std::cmp_equal(place, layers_.size())) continue;
      auto draw = static_cast<std::int64_t>(place) << 16;  // a parameter's own, at any level
      for (at::Tensor& parameter : parameters(layer.value)) {
        const at::Tensor trained = parameter.to(at::kDouble);
        const double deviation = trained.sub(trained.mean()).square().mean().sqrt().item<double>();
        const at::Tensor noise = SharedNoise(trained, options_.seed).normal(draw++);
        parameter.copy_(noise.mul(deviation).add(trained.mean()));
      }
    }
    return copy;
  }

 private:
  static std::vector<at::Tensor> parameters(const torch::jit::Module& layer) {
    std::vector<at::Tensor> own;
    for (const at::Tensor& parameter : layer.parameters(/*recurse=*/false)) {
      if (parameter.is_floating_point() && parameter.numel() > 0) own.push_back(parameter);
    }
    return own;
  }

  torch::jit::Module module_;
  RandomizedModuleOptions options_;
  std::vector<std::string> layers_;
};

}  // namespace salience
