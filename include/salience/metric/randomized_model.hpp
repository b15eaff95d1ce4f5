// RandomizedModel: models with random layers, for RandomizationCheck.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/method/noise.hpp>
#include <salience/model/graph_model.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience {

/// Which layers are random at level k.
enum class RandomizationOrder {
  cascading,    ///< level k: layers 0 to k are random, from the top down
  independent,  ///< level k: layer k alone
};

/// The options of RandomizedModel.
struct RandomizedModelOptions {
  RandomizationOrder order = RandomizationOrder::cascading;  ///< the paper's first test
  std::uint64_t seed = 0;  ///< the same seed gives the same parameters, bit for bit
};

/// A model file's model with random parameters in some layers (Adebayo et al. 2018). A layer is a module with
/// floating parameters of its own; the top is the one registered last. Random parameters are
/// drawn from the normal distribution with the mean and the standard deviation of the trained ones, so that
/// activations keep their scale and nothing has to be known of the layer's kind; one that has a single value
/// everywhere keeps it. The buffers (running means) stay. The model itself is not changed.
class RandomizedModel {
 public:
  /// Throws ModelError if the model has no parameters, as one that was frozen.
  explicit RandomizedModel(GraphModel model, RandomizedModelOptions options = {})
      : model_(std::move(model)), options_(options) {
    for (const auto& layer : model_.parameters().named_modules()) {
      if (!parameters(layer.value).empty()) layers_.push_back(layer.name);
    }
    std::reverse(layers_.begin(), layers_.end());
    if (layers_.empty()) throw ModelError("there are no parameters to randomise; was the model frozen?");
  }

  /// Their names from the top down; a parameter of the model itself is in the layer "".
  const std::vector<std::string>& layers() const noexcept { return layers_; }

  /// The model at that level. Throws ArgumentError for one that is not there.
  GraphModel operator()(std::int64_t level) const {
    if (level < 0 || std::cmp_greater_equal(level, layers_.size())) {
      throw ArgumentError::out_of_range("level", level, detail::concat("from 0 to ", layers_.size() - 1));
    }
    const detail::Observing observing;
    const torch::jit::Module copy =
        detail::ObjectCopy([](const std::string&) { return true; })(model_.parameters());
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
    return model_.with_parameters(copy);
  }

 private:
  static std::vector<at::Tensor> parameters(const torch::jit::Module& layer) {
    std::vector<at::Tensor> own;
    for (const at::Tensor& parameter : layer.parameters(/*recurse=*/false)) {
      if (parameter.is_floating_point() && parameter.numel() > 0) own.push_back(parameter);
    }
    return own;
  }

  GraphModel model_;
  RandomizedModelOptions options_;
  std::vector<std::string> layers_;
};

}  // namespace salience
