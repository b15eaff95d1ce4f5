// Designs over the cells of a grid: which cells are seen, the scores, and maps of what each cell is worth.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/_sobol_engine_draw_ops.h>
#include <ATen/ops/_sobol_engine_initialize_state_ops.h>
#include <ATen/ops/_sobol_engine_scramble_ops.h>

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/grid_masks.hpp>
#include <salience/method/detail/hashed_draw.hpp>
#include <salience/method/detail/jackknife.hpp>
#include <salience/method/detail/moments.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/streaming.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// The most dimensions that LibTorch's Sobol' sequence has.
inline constexpr std::int64_t most_sobol_dimensions = 21201;

/// The first points of the Sobol' sequence, (points, dimensions) in [0, 1), float64: LibTorch's, by the
/// direction numbers of Joe and Kuo (2008), scrambled by random lower triangular matrices and a digital shift
/// (Matousek: "On the L2-discrepancy for anchored boxes", 1998). Each point is uniform, over all draws.
inline at::Tensor sobol_points(std::int64_t points, std::int64_t dimensions, const HashedDraw& draw) {
  constexpr std::int64_t bits = 30;  // that LibTorch's points have
  at::Tensor state = empty({dimensions, bits}, at::kLong).zero_();
  at::_ops::_sobol_engine_initialize_state_::call(state, dimensions);
  const at::Tensor matrices = empty({dimensions, bits, bits}, at::kLong).zero_();
  const at::Tensor shift = empty({dimensions}, at::kLong);
  std::int64_t* entry = matrices.data_ptr<std::int64_t>();
  std::size_t drawn = 0;
  const auto random_bits = [&] { return static_cast<std::int64_t>(draw.bits(drawn++) >> (64 - bits)); };
  for (std::int64_t d = 0; d < dimensions; ++d) {
    shift.data_ptr<std::int64_t>()[d] = random_bits();
    for (std::int64_t row = 0; row < bits; ++row, entry += bits) {
      const std::int64_t random = random_bits();
      for (std::int64_t column = 0; column < row; ++column) entry[column] = random >> column & 1;
      entry[row] = 1;
    }
  }
  at::_ops::_sobol_engine_scramble_::call(state, matrices, dimensions);
  at::Tensor all = empty({points, dimensions}, at::kDouble);
  all[0].copy_(shift).mul_(1.0 / static_cast<double>(std::int64_t{1} << bits));
  if (points > 1) {
    all.narrow(0, 1, points - 1)
        .copy_(std::get<0>(
            at::_ops::_sobol_engine_draw::call(shift, points - 1, state, dimensions, 0, at::kDouble)));
  }
  return all;
}

/// The scores of the input under so many masks, and of how many in order each sample has one.
struct DesignScores {
  at::Tensor table;                 ///< (N, masks) float64
  std::vector<std::int64_t> known;  ///< of each sample
};

/// How a method of designs evaluates.
struct DesignRun {
  const Baseline& baseline;
  std::int64_t chunk;
  const ProgressCallback& progress;
};

/// Scores each sample under each mask, on average over the baselines. `cells(i)` gives the cells of mask i,
/// (cells) on the CPU. Sets `result` to what is explained, and `stopped`.
template <class M, class T, class Cells>
DesignScores design_scores(M& model, const at::Tensor& input, const T& target, const DesignRun& run,
                           const PlaceGrid& grid, std::int64_t masks, const Cells& cells,
                           Attribution& result) {
  const VariantScores scores(model, input, at::Tensor(), target);
  result = Attribution{scores.explained()};
  result.values_of = ValuesOf::regions;
  const MaskedInput masked(input, run.baseline, samples_of(target));
  // Each place takes the number of its cell.
  const at::Tensor cell_of = FeatureMask::grid(grid.cells)(input)[0];
  const std::int64_t baselines = masked.baselines(), batch = input.size(0);
  at::Tensor mask;  // the last one: all samples' rows of it follow each other
  std::int64_t last = -1, done = 0;
  const auto point = [&](const Variant& variant, const at::Tensor& out) {
    const std::int64_t number = variant.step / baselines;
    if (number != last) {
      mask = masked.fitted(cells(number).index_select(0, cell_of.view({-1})).view(cell_of.sizes()));
    }
    last = number;
    masked.write(variant.sample, variant.step % baselines, mask, out);
  };
  const auto told = [&](const Progress& progress) {
    ++done;
    result.stopped = run.progress && !run.progress(progress);
    return !result.stopped;
  };
  const at::Tensor table = scores(masks * baselines, run.chunk, point, told);
  DesignScores all{table.view({batch, masks, baselines}).mean({2}), {}};
  all.known.reserve(static_cast<std::size_t>(batch));
  for (std::int64_t n = 0; n < batch; ++n) all.known.push_back((done + batch - 1 - n) / batch / baselines);
  return all;
}

/// What each cell is worth, (cells) float64, with all designs and without one group of them after the other.
struct CellValues {
  at::Tensor all;                   ///< undefined where there are too few designs
  std::vector<at::Tensor> without;  ///< a group each
};

/// Fills in the values of one sample after the other, as maps in the input's size, linearly between the
/// cells' centres, or of the grid's; with their errors, by the jackknife over groups of designs.
class CellMaps {
 public:
  /// @param upsample   false: the grid itself
  CellMaps(const PlaceGrid& grid, const at::Tensor& input, bool upsample, Attribution& result)
      : places_(upsample ? grid.places : grid.cells), upsample_(upsample), result_(result) {
    cells_ = {1, 1};
    cells_.insert(cells_.end(), grid.cells.begin(), grid.cells.end());
    std::vector<std::int64_t> sizes{input.size(0), 1};
    sizes.insert(sizes.end(), places_.begin(), places_.end());
    result_.values = input.detach().new_empty(sizes).zero_();
    result_.values_error = unknown(sizes);
    result_.standard_error = unknown({input.size(0)});
    result_.copies = empty({input.size(0)}, at::kLong).zero_();
  }

  /// Of sample n, from that many designs.
  void set(std::int64_t n, std::int64_t designs, const CellValues& values) const {
    result_.copies.data_ptr<std::int64_t>()[n] = designs;
    if (!values.all.defined()) return;
    const at::Tensor map = map_of(values.all);
    result_.values[n].copy_(map);
    Moments replicates;
    for (const at::Tensor& without : values.without) replicates.add(map_of(without));
    if (replicates.count < 2) return;
    const at::Tensor errors = jackknife_errors(replicates);
    result_.values_error[n].copy_(errors);
    result_.standard_error.data_ptr<double>()[n] = errors.norm().item<double>() / map.norm().item<double>();
  }

 private:
  /// (1, places...)
  at::Tensor map_of(const at::Tensor& cells) const {
    const at::Tensor map = cells.reshape(cells_);
    return (upsample_ ? interpolated(map, places_) : map)[0];
  }

  std::vector<std::int64_t> places_, cells_;
  bool upsample_;
  Attribution& result_;
};

}  // namespace salience::detail
