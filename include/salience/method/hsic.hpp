// Hsic: how much the score depends on whether a cell is seen.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/grid_designs.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of Hsic.
struct HsicOptions {
  std::int64_t designs = 500;  ///< masks, at least 4; xplique's
  /// How many cells a mask has along each dimension of the input's places, one number for all or one for
  /// each, at least 1; a dimension of fewer places has a cell for each. xplique's is 8.
  std::vector<std::int64_t> grid{8};
  /// What is seen where the mask is 0; of several, the score is their mean. The paper's is zero.
  Baseline baseline = Baseline::zero();
  /// The width of the scores' kernel, in the score's unit; 0: the median distance between two of a sample's
  /// scores.
  double width = 0.0;
  /// The estimator of Song et al. (2012), whose mean is 0 where a cell has no effect, and which may be below
  /// 0; false: the paper's, which is larger by about the same for all cells, at most 1 / (2 designs).
  bool unbiased = false;
  /// The map in the input's size, linearly between the cells' centres (align_corners=false); false: the grid.
  bool upsample = true;
  std::uint64_t seed = 0;       ///< the same seed gives the same masks, bit for bit
  std::int64_t chunk = 0;       ///< masks evaluated at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each evaluation; false stops and gives what there is
};

/// The HSIC attribution method (Novello, Fel, Vigouroux: "Making Sense of Dependence: Efficient Black-box
/// Explanations Using Dependence Measure", 2022): the Hilbert-Schmidt independence criterion (Gretton et al.
/// 2005) between a cell's mask, 0 or 1, and the score, \f$ \frac{1}{n^2} \operatorname{tr}(K H L H) \f$ over
/// n random masks, with \f$ H = I - 1/n \f$, \f$ K_{kl} = 1 + \frac12 - (m_k - m_l)^2 \f$ of the cell and \f$
/// L_{kl} = e^{-(f_k - f_l)^2 / 2 w^2} \f$ of the scores f of \f$ x \odot m + b \odot (1 - m) \f$.
///
///     Hsic method{model, {.designs = 500, .seed = 7}};
///     Attribution a = method(x);  // a.values (N, 1, H, W); a.values_error
///
/// It is an eighth of the squared maximum mean discrepancy between the scores with the cell seen and those
/// without: from 0 to 1/4, and independent of the score's unit. It tells nothing of the sign. Each cell is
/// seen in half of the masks, drawn by Latin hypercube sampling as in the paper, and each place has the mask
/// of its cell (cell \f$ \lfloor i \cdot cells / size \rfloor \f$ at place i). Of a score that does not vary
/// it is 0.
///
/// The input is a signal (N, C, L), a picture (N, C, H, W) or a volume (N, C, D, H, W); the values are (N, 1,
/// places...), ValuesOf::regions, in the input's dtype. It is a forward pass for each design, of which
/// nothing is recorded: any model will do, and the target needs no gradient; then designs^2 numbers are held
/// for one sample at a time. The class is chosen once, on the input. All samples of a batch have the same
/// masks, whatever the chunk and the number of threads. The result has, per sample, `copies`: the designs
/// that were evaluated, `values_error`: the standard error of each value, by leaving out one group of designs
/// after the other (50 groups at most), and `standard_error`: that of the map, relative (L2). A run that is
/// stopped gives what its designs give, 0 of fewer than four. Throws ArgumentError for options out of range,
/// an input without places and a baseline that does not fit, and what the model throws.
template <class M>
class Hsic {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit Hsic(M model, HsicOptions options = {}) : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    if (options_.designs < fewest)
      throw ArgumentError::out_of_range("designs", options_.designs, "at least 4");
    detail::require_grid(options_.grid, "Hsic");
    if (!(options_.width >= 0.0 && std::isfinite(options_.width)))
      throw ArgumentError::out_of_range("width", options_.width, "a number of at least 0");
    require_chunk(options_.chunk);
  }

  /// The criterion for each sample of `input`, (N, C, places...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      const detail::PlaceGrid grid = detail::place_grid(input, options_.grid, "Hsic");
      const at::Tensor masks = half_of_each(options_.designs, grid.count(), options_.seed);
      Attribution result;
      const detail::DesignScores scores = detail::design_scores(
          model_, input, wanted, {options_.baseline, options_.chunk, options_.progress}, grid,
          options_.designs, [&](std::int64_t k) { return masks[k]; }, result);
      const detail::CellMaps maps(grid, input, options_.upsample, result);
      for (std::int64_t n = 0; n < input.size(0); ++n) {
        const std::int64_t known = scores.known[static_cast<std::size_t>(n)];
        maps.set(n, known, criteria(masks.narrow(0, 0, known), scores.table[n].narrow(0, 0, known)));
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
  static constexpr std::int64_t fewest = 4;  // that the unbiased estimator needs

  /// Masks (designs, cells) of 0 and 1, each cell 1 in half of them: a Latin hypercube's numbers, rounded. Of
  /// an odd number of designs the one in the middle falls either way.
  static at::Tensor half_of_each(std::int64_t designs, std::int64_t cells, std::uint64_t seed) {
    at::Tensor masks = detail::empty({designs, cells}, at::kDouble);
    double* mask = masks.data_ptr<double>();
    for (std::int64_t cell = 0; cell < cells; ++cell) {
      const detail::HashedDraw draw(seed, cell);
      const std::vector<std::int64_t> strata = draw.permutation(designs);
      const bool middle = draw.uniform(strata.size()) < 0.5;
      for (std::int64_t k = 0; k < designs; ++k) {
        const std::int64_t stratum = 2 * strata[static_cast<std::size_t>(k)] + 1;
        mask[k * cells + cell] = stratum > designs || (stratum == designs && middle) ? 1.0 : 0.0;
      }
    }
    return masks;
  }

  /// The sums that the criterion of designs is made of: with s = 2 m - 1 in -1 and 1 the cell's kernel is 1 +
  /// s s' / 2, so that one quadratic form a cell does.
  struct Sums {
    double count;    ///< of designs
    at::Tensor s;    ///< (cells): 1's
    at::Tensor sls;  ///< (cells): s'Ls
    at::Tensor sl;   ///< (cells): s'L1
    double l;        ///< 1'L1
  };

  at::Tensor criterion(const Sums& of) const {
    const double n = of.count;
    if (!options_.unbiased) {
      const at::Tensor mean = of.s.div(n);
      return of.sls.sub(mean.mul(of.sl).mul(2.0)).add(mean.square().mul(of.l)).mul(0.5 / (n * n));
    }
    // Song, Smola, Gretton, Bedo, Borgwardt: "Feature Selection via Dependence Maximization", 2012, with the
    // diagonals, which are 1 in L and 1/2 in s s' / 2, taken out; the constant 1 of K has no effect.
    const at::Tensor trace = of.sls.sub(n).mul(0.5);
    const double l = of.l - n;
    const at::Tensor k = of.s.square().sub(n).mul(0.5);
    const at::Tensor kl = of.s.mul(of.sl.sub(of.s)).sub(l).mul(0.5);
    return trace.add(k.mul(l / ((n - 1.0) * (n - 2.0)))).sub(kl.mul(2.0 / (n - 2.0))).div(n * (n - 3.0));
  }

  detail::CellValues criteria(const at::Tensor& masks, const at::Tensor& scores) const {
    const std::int64_t designs = scores.size(0);
    if (designs < fewest) return {};
    const at::Tensor kernel = kernel_of(scores), s = masks.mul(2.0).sub(1.0);
    const at::Tensor ls = kernel.matmul(s), rows = kernel.sum({1}).unsqueeze(1);
    const Sums whole{static_cast<double>(designs), s.sum({0}), s.mul(ls).sum({0}), s.mul(rows).sum({0}),
                     kernel.sum().item<double>()};
    detail::CellValues values{criterion(whole), {}};
    const detail::JackknifeGroups groups{designs};
    if (designs - groups.size(groups.count() - 1) < fewest) return values;
    values.without.reserve(static_cast<std::size_t>(groups.count()));
    for (std::int64_t g = 0; g < groups.count(); ++g) {
      const std::int64_t begin = groups.begin(g), size = groups.size(g);
      const auto own = [&](const at::Tensor& of) { return of.narrow(0, begin, size); };
      // What the group has with all is taken away, for both sides; what it has with itself was so twice.
      const at::Tensor inner = own(kernel).narrow(1, begin, size), s_g = own(s);
      const at::Tensor inner_s = inner.matmul(s_g), inner_rows = inner.sum({1}).unsqueeze(1);
      values.without.push_back(criterion(
          {whole.count - static_cast<double>(size), whole.s.sub(s_g.sum({0})),
           whole.sls.sub(s_g.mul(own(ls)).sum({0}).mul(2.0)).add(s_g.mul(inner_s).sum({0})),
           whole.sl.sub(s_g.mul(own(rows)).sum({0})).sub(own(ls).sum({0})).add(s_g.mul(inner_rows).sum({0})),
           whole.l - 2.0 * own(rows).sum().template item<double>() + inner.sum().item<double>()}));
    }
    return values;
  }

  /// (designs, designs)
  at::Tensor kernel_of(const at::Tensor& scores) const {
    const at::Tensor distance = scores.unsqueeze(1).sub(scores.unsqueeze(0)).abs_();
    const double width = options_.width > 0.0 ? options_.width : median(scores);
    return distance.div_(width > 0.0 ? width : 1.0).square_().mul_(-0.5).exp_();
  }

  /// The median of the distances between two scores; where that is 0 of those above 0, and 0 if none is.
  static double median(const at::Tensor& scores) {
    if (!detail::all_finite(scores)) return 0.0;  // the criterion is NaN
    const at::Tensor own = scores.contiguous();
    const double* score = own.data_ptr<double>();
    std::vector<double> distances;
    distances.reserve(static_cast<std::size_t>(own.numel() * (own.numel() - 1) / 2));
    for (std::int64_t k = 0; k < own.numel(); ++k) {
      for (std::int64_t l = 0; l < k; ++l) distances.push_back(std::abs(score[k] - score[l]));
    }
    const auto middle_of = [](std::vector<double>& of) {
      const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
      std::nth_element(of.begin(), middle, of.end());
      return *middle;
    };
    const double all = middle_of(distances);
    if (all != 0.0) return all;
    std::erase(distances, 0.0);
    return distances.empty() ? 0.0 : middle_of(distances);
  }

  mutable M model_;  // a model's call operator may be non-const
  HsicOptions options_;
};

}  // namespace salience
