// Sobol: the share of the score's variance under random masks that a cell takes part in.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/grid_designs.hpp>
#include <salience/method/detail/hashed_draw.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of Sobol.
struct SobolOptions {
  /// Pairs of masks A and B, at least 2; the paper's is 32. Powers of two keep the sequence's balance.
  std::int64_t designs = 32;
  /// How many cells a mask has along each dimension of the input's places, one number for all or one for
  /// each, at least 1; a dimension of fewer places has a cell for each, 21201 in all at most. xplique's is 8.
  std::vector<std::int64_t> grid{8};
  /// What is seen where the mask is 0; of several, the score is their mean. The paper's is zero.
  Baseline baseline = Baseline::zero();
  /// The map in the input's size, linearly between the cells' centres (align_corners=false); false: the grid.
  bool upsample = true;
  std::uint64_t seed = 0;       ///< the same seed gives the same masks, bit for bit
  std::int64_t chunk = 0;       ///< masks evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each evaluation; false stops and gives what there is
};

/// The Sobol' attribution method (Fel, Cadene, Chalvidal, Cord, Vigouroux, Serre: "Look at the Variance!
/// Efficient Black-box Explanations with Sobol-based Sensitivity Analysis", 2021): the total Sobol' index of
/// each cell of a grid, the share of the score's variance under random masks that goes if the cell is held
/// fixed, by itself and together with others. By Jansen's (1999) estimator, with f(m) the score of \f$ x
/// \odot m + b \odot (1 - m) \f$, it is \f$ \frac{1}{2 n \hat V} \sum_k (f(A_k) - f(C^i_k))^2 \f$, where
/// \f$ C^i_k \f$ is mask A_k with cell i from mask B_k, and V the variance of f(A), divided by n - 1.
///
///     Sobol method{model, {.designs = 64, .seed = 7}};
///     Attribution a = method(x);  // a.values (N, 1, H, W), at least 0; a.values_error
///
/// A mask's cells are numbers between 0 and 1 from a Sobol' sequence, scrambled by the seed, which each place
/// of the cell takes (cell \f$ \lfloor i \cdot cells / size \rfloor \f$ at place i). A and B are scrambled
/// apart, and B's rows lie in a random order: in the plain sequence of twice as many dimensions some cell's
/// numbers in A and B go together, so that its index is wrong however many designs there are. An index is 0
/// or above, and tells nothing of the sign. Of a score that is a sum over cells the indices sum to 1, else to
/// 1 at least, up to their errors. Of a score that does not vary they are 0.
///
/// The input is a signal (N, C, L), a picture (N, C, H, W) or a volume (N, C, D, H, W); the values are (N, 1,
/// places...), ValuesOf::regions, in the input's dtype. It is `designs` times (cells + 1) forward passes, of
/// which nothing is recorded: any model will do, and the target needs no gradient. The class is chosen once,
/// on the input. All samples of a batch have the same masks, whatever the chunk and the number of threads.
/// The result has, per sample, `copies`: the designs that were evaluated, `values_error`: the standard error
/// of each value, by leaving out one group of designs after the other (50 groups at most), and
/// `standard_error`: that of the map, relative (L2). A run that is stopped gives what its whole designs give,
/// 0 of fewer than two. Throws ArgumentError for options out of range, an input without places and a baseline
/// that does not fit, and what the model throws.
template <class M>
class Sobol {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit Sobol(M model, SobolOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    if (options_.designs < 2) throw ArgumentError::out_of_range("designs", options_.designs, "at least 2");
    detail::require_grid(options_.grid, "Sobol");
    require_chunk(options_.chunk);
  }

  /// The indices for each sample of `input`, (N, C, places...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      const detail::PlaceGrid grid = detail::place_grid(input, options_.grid, "Sobol");
      const std::int64_t cells = grid.count(), masks = cells + 1;  // of one design: A, and C of each cell
      if (cells > detail::most_sobol_dimensions) {
        throw ArgumentError::out_of_range("the cells of the grid of Sobol", cells,
                                          detail::concat("at most ", detail::most_sobol_dimensions));
      }
      const Designs designs(options_.designs, cells, options_.seed);
      Attribution result;
      const detail::DesignScores scores =
          detail::design_scores(model_, input, wanted, {options_.baseline, options_.chunk, options_.progress},
                                grid, options_.designs * masks, designs, result);
      const detail::CellMaps maps(grid, input, options_.upsample, result);
      for (std::int64_t n = 0; n < input.size(0); ++n) {
        const std::int64_t whole = scores.known[static_cast<std::size_t>(n)] / masks;
        maps.set(n, whole, indices(scores.table[n].narrow(0, 0, whole * masks).view({whole, masks})));
      }
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// The masks: of design k first A_k, then for each cell A_k with that cell of B_k.
  class Designs {
   public:
    Designs(std::int64_t designs, std::int64_t cells, std::uint64_t seed)
        : cells_(cells),
          a_(detail::sobol_points(designs, cells, {seed, 0})),
          b_(detail::sobol_points(designs, cells, {seed, 1})
                 .index_select(0, detail::vector_tensor<std::int64_t>(
                                      detail::HashedDraw(seed, 2).permutation(designs)))) {}

    at::Tensor operator()(std::int64_t mask) const {
      const std::int64_t design = mask / (cells_ + 1), cell = mask % (cells_ + 1) - 1;
      if (cell < 0) return a_[design];
      at::Tensor row = a_[design].clone();
      row[cell].copy_(b_[design][cell]);
      return row;
    }

   private:
    std::int64_t cells_;
    at::Tensor a_, b_;
  };

  /// Jansen's estimates from scores (designs, 1 + cells).
  static detail::CellValues indices(const at::Tensor& scores) {
    const std::int64_t designs = scores.size(0);
    if (designs < 2) return {};
    const at::Tensor a = scores.select(1, 0);
    const at::Tensor squares = scores.narrow(1, 1, scores.size(1) - 1).sub(a.unsqueeze(1)).square();
    const at::Tensor sum = squares.sum({0});
    const at::Tensor centred = a.sub(a.mean());  // so that sums of squares lose nothing
    const double total = centred.sum().item<double>(), square = centred.square().sum().item<double>();
    const auto index = [](const at::Tensor& numerator, double n, double sum_of, double squares_of) {
      const double variance = (squares_of - sum_of * sum_of / n) / (n - 1.0);
      return variance > 0.0 ? numerator.div(2.0 * n * variance) : numerator.mul(0.0);
    };
    detail::CellValues values{index(sum, static_cast<double>(designs), total, square), {}};
    if (designs < 3) return values;  // without one there is no variance
    const detail::JackknifeGroups groups{designs};
    values.without.reserve(static_cast<std::size_t>(groups.count()));
    for (std::int64_t g = 0; g < groups.count(); ++g) {
      const std::int64_t begin = groups.begin(g), size = groups.size(g);
      const at::Tensor own = centred.narrow(0, begin, size);
      values.without.push_back(index(sum.sub(squares.narrow(0, begin, size).sum({0})),
                                     static_cast<double>(designs - size), total - own.sum().item<double>(),
                                     square - own.square().sum().item<double>()));
    }
    return values;
  }

  mutable M model_;  // a model's call operator may be non-const
  SobolOptions options_;
};

}  // namespace salience
