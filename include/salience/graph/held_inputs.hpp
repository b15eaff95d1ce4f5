// What a graph is given besides the input that is explained.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// Where a tensor has the samples of the batch.
struct SampleRows {
  std::int64_t dimension = 0;
  std::int64_t each = 1;  ///< how many rows in a line a sample has there
};

/// One further input of a graph, which is the same at every call.
struct HeldInput {
  std::string name;
  c10::IValue value;
  std::optional<SampleRows> rows{};  ///< nothing: it is the same for all samples
};

/// All further inputs of a graph, in its order.
class HeldInputs {
 public:
  HeldInputs() = default;
  explicit HeldInputs(std::vector<HeldInput> inputs) : inputs_(std::move(inputs)) {}

  const std::vector<HeldInput>& inputs() const noexcept { return inputs_; }

  /// The same with one more, the last.
  HeldInputs with(HeldInput more) const {
    HeldInputs result = *this;
    result.inputs_.push_back(std::move(more));
    return result;
  }

  /// Whether something in it belongs to single samples.
  bool by_sample() const {
    for (const HeldInput& input : inputs_) {
      if (input.rows) return true;
    }
    return false;
  }

  /// The same for a batch of that size: what is held of a single sample is held for each. Fails if it was
  /// made for another number of samples.
  HeldInputs for_batch(std::int64_t samples) const {
    bool repeated = false;
    for (const HeldInput& input : inputs_) {
      if (!input.rows || samples_of(input) == samples) continue;
      repeated = true;
      if (samples_of(input) == 1) continue;
      throw ModelError(concat("the input has ", samples, samples == 1 ? " sample" : " samples", ", but ",
                              input.name, ", which is held fixed, has ", samples_of(input)));
    }
    return repeated ? select(at::arange(samples, at::kLong)) : *this;
  }

  /// The same for other rows: `samples` (rows) int64 are the places of their samples. What is held of a
  /// single sample is that of all.
  HeldInputs select(const at::Tensor& samples) const {
    HeldInputs result = *this;
    for (HeldInput& input : result.inputs_) {
      if (!input.rows) continue;
      const auto [dimension, each] = *input.rows;
      at::Tensor tensor = input.value.toTensor();
      at::Tensor index = samples.to(tensor.device());
      if (samples_of(input) == 1) index = at::zeros_like(index);
      if (each == 1) {
        input.value = tensor.index_select(dimension, index);
        continue;
      }
      std::vector<std::int64_t> sizes = tensor.sizes().vec(), parted = sizes;
      const auto at = static_cast<std::size_t>(dimension);
      parted[at] = each;
      parted.insert(parted.begin() + dimension, sizes[at] / each);
      tensor = tensor.reshape(parted).index_select(dimension, index);
      sizes[at] = tensor.size(dimension) * each;
      input.value = tensor.reshape(sizes);
    }
    return result;
  }

  /// For the `used` samples from `begin`, filled up to `count` with the last of them.
  HeldInputs batch(std::int64_t begin, std::int64_t used, std::int64_t count) const {
    if (!by_sample()) return *this;
    return select(at::arange(begin, begin + count, at::kLong).clamp_max(begin + used - 1));
  }

 private:
  static std::int64_t samples_of(const HeldInput& input) {
    return input.value.toTensor().size(input.rows->dimension) / input.rows->each;
  }

  std::vector<HeldInput> inputs_;
};

}  // namespace salience::detail
