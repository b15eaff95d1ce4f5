// The rest of a model from some points on, with what it holds of an input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/held_inputs.hpp>
#include <salience/graph/input_sizes.hpp>
#include <salience/graph/runner.hpp>
#include <salience/model/detail/graph_batches.hpp>
#include <salience/model/detail/graph_programs.hpp>
#include <salience/tensor/layer_point.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience::detail {

/// A model from some points on.
struct Rest {
  std::shared_ptr<const GraphPrograms> programs;
  HeldInputs held;
};

/// What a program gives for a batch of any size, one by one.
inline std::vector<at::Tensor> given(const Runner& program, const InputShape& shape, const at::Tensor& input,
                                     const HeldInputs& held) {
  const auto run = [&program](const at::Tensor& rows, const HeldInputs& others) {
    std::vector<at::Tensor> tensors;
    for (const c10::IValue& value : program(rows, others)) tensors.push_back(value.toTensor());
    return tensors;
  };
  if (shape.takes(input.size(0))) return run(input, held);
  const std::int64_t count = shape.batch_of(input.size(0));
  std::vector<at::Tensor> tensors;
  for (const InBatches& batches : in_batches_of(count, input, held, run)) tensors.push_back(batches.whole());
  return tensors;
}

/// The shapes of what the points give, without the batch. Fails if that has no row for each sample.
inline std::vector<std::vector<std::int64_t>> shapes_at(const GraphPrograms& programs, const HeldInputs& held,
                                                        const std::vector<LayerPoint>& points,
                                                        const at::Tensor& input) {
  const std::int64_t samples = input.size(0);
  std::vector<std::vector<std::int64_t>> shapes;
  const std::vector<at::Tensor> values = given(programs.giving(points), programs.marked().input, input, held);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const at::Tensor& value = values[i];
    if (value.dim() == 0 || value.size(0) != samples) {
      throw ModelError(concat("'", points[i].text(), "' is of shape ", shape(value), " for ", samples,
                              samples == 1 ? " sample" : " samples",
                              ": its first dimension is not the batch, so no method can go on from there"));
    }
    shapes.emplace_back(value.sizes().begin() + 1, value.sizes().end());
  }
  return shapes;
}

/// In which dimension the tensors that a program gives have their samples: one more sample shows which one
/// grows. Of those in which none does, nothing.
inline std::vector<std::optional<std::int64_t>> sample_dimensions(const Runner& program,
                                                                  const InputShape& known,
                                                                  const HeldInputs& held,
                                                                  const at::Tensor& input,
                                                                  const std::vector<at::Tensor>& values) {
  const std::int64_t samples = input.size(0);
  std::vector<std::optional<std::int64_t>> dimensions(values.size());
  if (!known.takes(samples) || !known.takes(samples + 1)) {
    std::fill(dimensions.begin(), dimensions.end(), 0);  // of a fixed batch the rows are there: see InBatches
    return dimensions;
  }
  // Another sample, which also shows whether several rows of a sample lie together.
  const at::Tensor last = input.narrow(0, samples - 1, 1);
  const at::Tensor more = at::cat({input, last.dim() > 1 ? last.flip(-1) : last});
  const at::Tensor places = at::arange(samples + 1, at::kLong).clamp_max(samples - 1);
  const std::vector<at::Tensor> longer = given(program, known, more, held.select(places));
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::int64_t d = 0; d < values[i].dim() && longer[i].dim() == values[i].dim(); ++d) {
      const std::int64_t size = values[i].size(d), grown = longer[i].size(d);
      if (grown == size) continue;
      const std::int64_t each = size / samples;
      const bool together =
          each == 1 || at::allclose(longer[i].narrow(d, 0, size), values[i], 1e-3, 1e-5, /*equal_nan=*/true);
      if (dimensions[i] || each * samples != size || grown != size + each || !together) {
        throw ModelError(
            concat("a tensor of shape ", shape(values[i]),
                   ", which is read behind the layer, has no rows for single samples: name another layer"));
      }
      dimensions[i] = d;
    }
  }
  return dimensions;
}

/// The model of these programs from the points on, for an input: what lies beside the points is computed
/// here.
inline Rest rest_from(const GraphPrograms& programs, const HeldInputs& held,
                      const std::vector<LayerPoint>& points, const at::Tensor& input) {
  const Observing observing;
  if (input.dim() == 0) throw ModelError("the input has no batch dimension");
  const InputShape& known = programs.marked().input;
  std::vector<bool> by_sample{false, true};
  for (const HeldInput& other : held.inputs()) by_sample.push_back(other.rows.has_value());
  std::vector<std::vector<std::int64_t>> shapes(points.size());
  if (shapes.size() > 1)
    shapes = shapes_at(programs, held, points, input);  // their packed row is parted by these
  std::vector<at::Tensor> values;
  bool looked_at = shapes.size() > 1;
  const std::shared_ptr<const GraphPrograms::Cut> cut =
      programs.from(points, by_sample, shapes, [&](GraphPrograms::Cut& made) {
        if (!std::exchange(looked_at, true)) shapes_at(programs, held, points, input);
        if (!made.beside) return;
        values = given(*made.beside, known, input, held);
        made.dimensions = sample_dimensions(*made.beside, known, held, input, values);
      });
  if (cut->in_branch && !looked_at) shapes_at(programs, held, points, input);  // is it reached?
  if (cut->beside && values.empty()) values = given(*cut->beside, known, input, held);
  std::vector<HeldInput> inputs;
  for (std::size_t i = 0; i < values.size(); ++i) {
    HeldInput one{"what is beside the layer", values[i].detach(), {}};
    if (const auto d = cut->dimensions[i]) one.rows = SampleRows{*d, values[i].size(*d) / input.size(0)};
    inputs.push_back(std::move(one));
  }
  for (const std::size_t place : cut->held) inputs.push_back(held.inputs().at(place - 2));
  return {cut->behind, HeldInputs(std::move(inputs))};
}

}  // namespace salience::detail
