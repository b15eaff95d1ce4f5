// Masks of a coarse grid over an input's places, and the input under them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/hashed_draw.hpp>
#include <salience/method/detail/upsampled.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// A grid of cells over the places of an input.
struct PlaceGrid {
  std::vector<std::int64_t> cells;   ///< along each dimension of the places
  std::vector<std::int64_t> places;  ///< of the input, as many dimensions

  /// How many cells there are.
  std::int64_t count() const {
    std::int64_t product = 1;
    for (const std::int64_t along : cells) product *= along;
    return product;
  }
};

/// Throws ArgumentError for an option `grid` that fits no input.
inline void require_grid(const std::vector<std::int64_t>& grid, std::string_view method) {
  if (grid.empty()) throw ArgumentError(concat("the grid of ", method, " has no sizes; give one, {7}"));
  for (const std::int64_t size : grid) {
    if (size < 1)
      throw ArgumentError::out_of_range(concat("a size of the grid of ", method), size, "at least 1");
  }
}

/// The option `grid` for this input: one size for all dimensions of its places, or one for each. A dimension
/// of fewer places has a cell for each.
inline PlaceGrid place_grid(const at::Tensor& input, const std::vector<std::int64_t>& grid,
                            std::string_view method) {
  if (input.dim() < 3 || input.dim() > 5) {
    throw ArgumentError::out_of_range(
        concat("the input of ", method), shape(input),
        "a batch of signals (N, C, L), pictures (N, C, H, W) or volumes (N, C, D, H, W)");
  }
  const std::vector<std::int64_t> places = input.sizes().slice(2).vec();
  if (grid.size() != 1 && grid.size() != places.size()) {
    throw ArgumentError(concat("the grid of ", method, " has ", grid.size(), " sizes, and an input of shape ",
                               shape(input), " takes one for all its places, or ", places.size()));
  }
  PlaceGrid fitted{grid, places};
  if (grid.size() == 1) fitted.cells.assign(places.size(), grid.front());
  for (std::size_t d = 0; d < places.size(); ++d) fitted.cells[d] = std::min(fitted.cells[d], places[d]);
  return fitted;
}

/// An input under masks: x m + b (1 - m).
class MaskedInput {
 public:
  /// `samples` says which samples of the user's batch the rows are, see Baseline.
  MaskedInput(const at::Tensor& input, const Baseline& baseline, const at::Tensor& samples)
      : input_(widened(input.detach())) {
    baselines_.reserve(baseline.count());
    for (std::size_t i = 0; i < baseline.count(); ++i) baselines_.push_back(baseline(input_, i, samples));
  }

  /// How many baselines there are.
  std::int64_t baselines() const { return static_cast<std::int64_t>(baselines_.size()); }
  /// A mask as `write` takes it: (1, places...) in float32 at least, where the input is.
  at::Tensor fitted(const at::Tensor& mask) const { return mask.to(input_.device(), input_.scalar_type()); }

  /// Sample n under the mask, over the i-th baseline, into `out`, a row like the user's input.
  void write(std::int64_t n, std::int64_t i, const at::Tensor& mask, const at::Tensor& out) const {
    const at::Tensor from = baselines_.at(static_cast<std::size_t>(i))[n];
    // Of a mask that is 0 or 1 it is the baseline or the input, bit for bit.
    if (out.scalar_type() == input_.scalar_type()) {
      out.copy_(from).lerp_(input_[n], mask);
    } else {
      out.copy_(from.lerp(input_[n], mask));
    }
  }

 private:
  at::Tensor input_;
  std::vector<at::Tensor> baselines_;
};

/// The masks of RISE: cells that are kept by chance, upsampled to one cell more than the input, of which a
/// part of the input's size is taken at random. A mask depends on the seed and its number alone.
class RiseMasks {
 public:
  /// `keep` is the probability that a cell is kept.
  RiseMasks(PlaceGrid grid, double keep, std::uint64_t seed, at::ScalarType dtype)
      : grid_(std::move(grid)), keep_(keep), seed_(seed), dtype_(dtype), cells_({1, 1}) {
    for (std::size_t d = 0; d < grid_.cells.size(); ++d) {
      const std::int64_t cell = (grid_.places[d] + grid_.cells[d] - 1) / grid_.cells[d];
      cell_.push_back(cell);
      upsampled_.push_back((grid_.cells[d] + 1) * cell);
      cells_.push_back(grid_.cells[d]);
    }
  }

  /// Mask number `draw`, from 0: (1, places...), from 0 to 1, on the CPU.
  at::Tensor operator()(std::int64_t draw) const {
    const HashedDraw numbers(seed_, draw);
    const at::Tensor cells = empty(cells_, at::kDouble);
    double* kept = cells.data_ptr<double>();
    const auto count = static_cast<std::size_t>(grid_.count());
    for (std::size_t i = 0; i < count; ++i) kept[i] = numbers.uniform(i) < keep_ ? 1.0 : 0.0;
    at::Tensor mask = interpolated(cells.to(dtype_), upsampled_)[0];
    for (std::size_t d = 0; d < cell_.size(); ++d) {
      const double place = numbers.uniform(count + d) * static_cast<double>(cell_[d]);
      mask = mask.narrow(static_cast<std::int64_t>(d) + 1, static_cast<std::int64_t>(place), grid_.places[d]);
    }
    return mask.contiguous();
  }

  /// Which of so many the mask of that number goes with, each as likely as any other.
  std::int64_t choice(std::int64_t draw, std::int64_t of) const {
    if (of == 1) return 0;
    const auto behind = static_cast<std::size_t>(grid_.count()) + cell_.size();
    const double place = HashedDraw(seed_, draw).uniform(behind);
    return static_cast<std::int64_t>(place * static_cast<double>(of));
  }

 private:
  PlaceGrid grid_;
  double keep_;
  std::uint64_t seed_;
  at::ScalarType dtype_;
  std::vector<std::int64_t> cell_, upsampled_, cells_;
};

}  // namespace salience::detail
