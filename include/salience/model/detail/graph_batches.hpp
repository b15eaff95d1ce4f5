// Any number of samples through a model that takes so and so many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/held_inputs.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// The first `count` samples; where there are fewer, the last one is repeated.
inline at::Tensor filled(const at::Tensor& input, std::int64_t count) {
  const std::int64_t rows = input.size(0);
  if (rows >= count) return rows == count ? input : input.narrow(0, 0, count);
  if (rows == 0) throw ModelError("the batch is empty");
  std::vector<std::int64_t> sizes = input.sizes().vec();
  sizes[0] = count - rows;
  return at::cat({input, input.narrow(0, rows - 1, 1).expand(sizes)});
}

/// A tensor with a row for each sample, from the batches in which it was computed.
struct InBatches {
  std::vector<at::Tensor> parts;  ///< the last of them may have been filled up
  std::int64_t rows;

  at::Tensor whole() const {
    if (parts.size() == 1) return parts.front().narrow(0, 0, rows);
    return at::cat(parts).narrow(0, 0, rows);
  }
};

/// Runs a model that was exported for a batch of `count` samples on any number of them: in batches of that
/// size, the last of which is filled up, with the further inputs that go with them. `run` gives tensors with
/// a row for each sample.
template <class Run>
std::vector<InBatches> in_batches_of(std::int64_t count, const at::Tensor& input, const HeldInputs& held,
                                     const Run& run) {
  const std::int64_t rows = input.size(0);
  std::vector<InBatches> result;
  for (std::int64_t begin = 0; begin < std::max<std::int64_t>(rows, 1); begin += count) {
    const std::int64_t used = std::min(count, rows - begin);
    const std::vector<at::Tensor> outputs =
        run(filled(input.narrow(0, begin, used), count), held.batch(begin, used, count));
    result.resize(outputs.size(), {{}, rows});
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].dim() == 0 || outputs[i].size(0) != count) {
        throw ModelError(concat("the model was exported for a batch of ", count,
                                " and gives a tensor of shape ", shape(outputs[i]),
                                ", which has no row for each sample, so ", rows,
                                " samples cannot go through it in batches; export it with a dynamic batch"));
      }
      result[i].parts.push_back(outputs[i]);
    }
  }
  return result;
}

}  // namespace salience::detail
