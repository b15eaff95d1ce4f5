// KernelShap: Shapley values of features, by weighted least squares over random coalitions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <Eigen/Dense>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/coalition_scores.hpp>
#include <salience/method/detail/hashed_draw.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of KernelShap.
struct KernelShapOptions {
  FeatureMask mask{};  ///< which feature each element belongs to, see FeatureMask; at most 2000
  /// Coalitions, at most, besides all features and none. As many as there are, 2^n - 2 for n features, or
  /// more: each is taken once, and the values are exact. The shap library takes 2048 + 2 n.
  std::int64_t samples = 2048;
  /// Coalitions come in pairs, one being what the other lacks (Covert, Lee: "Improving KernelSHAP", 2021),
  /// which lowers the variance; the number of samples is rounded up to pairs.
  bool paired = true;
  Baseline baseline = Baseline::zero();  ///< what replaces a feature; of several, the mean score over all
  std::uint64_t seed = 0;                ///< the same seed gives the same coalitions
  /// Above 0: a sample stops early once the standard error of its map relative to the map (both as L2 norms)
  /// is at most this. It is looked at after twice as many draws as features, a pair being one, and at least
  /// 64 coalitions; then each half as many again.
  double tolerance = 0.0;
  std::int64_t chunk = 0;       ///< evaluations at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each evaluation; false stops and gives what there is
};

/// Kernel SHAP (Lundberg, Lee: "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017): the
/// linear function of the features that are there which fits the scores of random coalitions S best,
///
/// \f[ \min_\phi \sum_S \Bigl( v(S) - v(\emptyset) - \sum_{i \in S} \phi_i \Bigr)^2, \quad \sum_i \phi_i =
/// v(all) - v(\emptyset), \f]
///
/// where a coalition of size k is drawn with probability proportional to \f$ (n - 1) / (k (n - k)) \f$, then
/// uniformly among those of its size. v(S) is the score with what is not in S as in the baseline. With more
/// and more coalitions it is the Shapley value.
///
///     KernelShap method{model, {.mask = superpixels, .samples = 1000, .seed = 7}};
///     Attribution a = method(x);  // a.values_error, a.standard_error, a.copies
///
/// Both constraints hold exactly (Captum gives the two a weight of 1e6 instead), so the values sum to the
/// score's change. Of fewer coalitions than features the fit is not unique: the one that is nearest to equal
/// values is taken. The standard errors are those of least squares with residuals of unequal variance, in
/// which a pair counts once; of fewer draws than twice the features there are none (NaN). Memory does not
/// grow with the number of coalitions but by one score each. After a stop the fit is of the coalitions that
/// were scored; without any, all features are equal. The rest is as in ShapleySampling. Throws ArgumentError
/// for an option out of range, a mask of more than 2000 features (a coarser one, or ShapleySampling), a mask
/// or a baseline that does not fit, and what the model throws.
template <class M>
class KernelShap {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit KernelShap(M model, KernelShapOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
    require_draws(options_.samples, options_.tolerance);
  }

  /// The estimated Shapley value of the feature of each element of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      detail::CoalitionScores scores(model_, input, wanted,
                                     {options_.mask, options_.baseline, options_.chunk, options_.progress});
      if (scores.features().most() > 2000) {
        throw ArgumentError(detail::concat("KernelShap takes at most 2000 features, and the mask has ",
                                           scores.features().most(),
                                           ": give a coarser one; ShapleySampling takes any number"));
      }
      std::vector<Sample> samples;
      std::int64_t evaluations = 0;
      for (std::int64_t n = 0; n < input.size(0); ++n) {
        samples.emplace_back(n, scores.features().count(n), options_);
        evaluations += samples.back().coalitions * scores.baselines();
      }
      scores.begin(evaluations);
      for (Sample& sample : samples) sample.change = scores.all(sample.number) - scores.none(sample.number);
      while (!scores.stopped() && evaluate(scores, samples)) {
      }
      return collected(scores, samples);
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// The coalitions of one sample and their fit. With c the flags of a coalition less their mean, and u the
  /// values less their mean, the constraint on the sum is gone: c u = r = v(S) - v(none) - (|S| / n) change.
  struct Sample {
    Sample(std::int64_t n, std::int64_t features, const KernelShapOptions& options)
        : number(n), count(features), paired(options.paired), seed(options.seed) {
      const bool few = count < 62 && (std::int64_t{1} << count) - 2 <= options.samples;
      each_once = few;
      coalitions = few      ? (std::int64_t{1} << count) - 2
                   : paired ? (options.samples + 1) / 2 * 2
                            : options.samples;
      const std::int64_t look = std::max<std::int64_t>(64, (paired ? 4 : 2) * count);
      next = options.tolerance > 0.0 ? std::min(look, coalitions) : coalitions;
      products = Eigen::MatrixXd::Zero(count, count);
      right = Eigen::VectorXd::Zero(count);
      double sum = 0.0;
      for (std::int64_t k = 1; k < count; ++k) {
        const double share = 1.0 / (static_cast<double>(k) * static_cast<double>(count - k));
        sizes.push_back(sum += share);  // cumulative, of sizes 1 to count - 1
      }
    }

    /// Who is in a coalition, 1 or 0 for each feature.
    std::vector<std::uint8_t> there(std::int64_t coalition) const {
      std::vector<std::uint8_t> flags(static_cast<std::size_t>(count));
      if (each_once) {
        for (std::size_t i = 0; i < flags.size(); ++i) flags[i] = (coalition + 1) >> i & 1;
        return flags;
      }
      const detail::HashedDraw draw(seed, paired ? coalition / 2 : coalition);
      const double place = draw.uniform(flags.size()) * sizes.back();
      const auto size = std::upper_bound(sizes.begin(), sizes.end() - 1, place) - sizes.begin() + 1;
      const std::vector<std::int64_t> order = draw.permutation(count);
      for (std::int64_t j = 0; j < size; ++j)
        flags[static_cast<std::size_t>(order[static_cast<std::size_t>(j)])] = 1;
      if (paired && coalition % 2 == 1) {
        for (std::uint8_t& flag : flags) flag = 1 - flag;
      }
      return flags;
    }

    /// The coalition's c, and the size's share of all.
    std::pair<Eigen::VectorXd, double> centred(std::int64_t coalition) const {
      const std::vector<std::uint8_t> flags = there(coalition);
      Eigen::VectorXd c(count);
      for (std::int64_t i = 0; i < count; ++i) c[i] = flags[static_cast<std::size_t>(i)];
      const double share = c.mean();
      c.array() -= share;
      return {c, share};
    }
    /// What a coalition counts: 1, or where each is taken once, what it would be drawn with.
    double weight(double share) const {
      if (!each_once) return 1.0;
      const auto n = static_cast<double>(count), k = std::round(share * n);
      double subsets = 1.0;  // of that size
      for (std::int64_t i = 1; i <= std::llround(k); ++i)
        subsets *= (n - k + static_cast<double>(i)) / static_cast<double>(i);
      return 1.0 / (subsets * k * (n - k));
    }

    std::int64_t taken() const { return static_cast<std::int64_t>(gains.size()); }

    void add(double gain) {
      const auto [c, share] = centred(taken());
      const double w = weight(share);
      products.selfadjointView<Eigen::Lower>().rankUpdate(c, w);
      right += w * (gain - share * change) * c;
      gains.push_back(gain);
    }

    /// Values and standard errors of what was added.
    void solve() {
      const std::int64_t step = paired ? 2 : 1;
      const auto n = static_cast<double>(count);
      const double draws = static_cast<double>(gains.size()) / static_cast<double>(step);
      Eigen::MatrixXd full = products.selfadjointView<Eigen::Lower>();
      full.array() += std::max(full.trace(), 1.0) / (n * n);  // the direction of equal values, that no c has
      const Eigen::CompleteOrthogonalDecomposition<Eigen::MatrixXd> solver(full);
      const Eigen::VectorXd u = solver.solve(right);
      Eigen::VectorXd error = Eigen::VectorXd::Constant(count, NAN);
      if (each_once && taken() == coalitions) {
        error.setZero();
      } else if (!each_once && draws >= 2.0 * n) {  // of fewer they may be far too small
        // The sandwich of A^-1 and the squares of what each draw pulls with, by its residual if it were left
        // out (HC3; MacKinnon, White 1985). A pair's two c are each other's opposites.
        Eigen::MatrixXd pulls = Eigen::MatrixXd::Zero(count, count);
        for (std::int64_t i = 0; i < taken(); i += step) {
          Eigen::VectorXd pull = Eigen::VectorXd::Zero(count);
          double leverage = 0.0;
          for (std::int64_t j = i; j < std::min(i + step, taken()); ++j) {
            const auto [c, share] = centred(j);
            pull += (gains[static_cast<std::size_t>(j)] - share * change - c.dot(u)) * c;
            leverage += c.dot(solver.solve(c));
          }
          pulls.selfadjointView<Eigen::Lower>().rankUpdate(pull,
                                                           std::pow(std::max(1.0 - leverage, 1e-9), -2));
        }
        const Eigen::MatrixXd spread = pulls.selfadjointView<Eigen::Lower>();
        const Eigen::MatrixXd variance = solver.solve(solver.solve(spread).transpose().eval());
        error = variance.diagonal().array().abs().sqrt();  // rounding below 0
      }
      values = detail::empty({count}, at::kDouble);
      errors = detail::empty({count}, at::kDouble);
      for (std::int64_t i = 0; i < count; ++i) {
        values.data_ptr<double>()[i] = u[i] - u.mean() + change / n;
        errors.data_ptr<double>()[i] = error[i];
      }
    }

    std::int64_t number, count, coalitions = 0;
    std::int64_t next = 0;  ///< as many coalitions are taken before the error is looked at
    bool paired, each_once = false, finished = false;
    std::uint64_t seed;
    double change = 0.0;
    std::vector<double> sizes, gains;
    Eigen::MatrixXd products;
    Eigen::VectorXd right;
    at::Tensor values, errors;
  };

  /// Scores and adds the next coalitions of each sample. False if there is nothing left to do.
  template <class Scores>
  bool evaluate(Scores& scores, std::vector<Sample>& samples) const {
    const std::int64_t baselines = scores.baselines();
    std::int64_t most = 0;
    for (const Sample& sample : samples) most = std::max(most, sample.next - sample.taken());
    if (most == 0) return false;
    std::vector<Variant> variants;
    for (const Variant& variant : all_variants(scores.samples(), most * baselines)) {
      const Sample& sample = samples[static_cast<std::size_t>(variant.sample)];
      if (sample.taken() + variant.step / baselines < sample.next) variants.push_back(variant);
    }
    const at::Tensor table = scores(variants, most * baselines, [&](std::int64_t n, std::int64_t coalition) {
      const Sample& sample = samples[static_cast<std::size_t>(n)];
      return sample.there(sample.taken() + coalition);
    });
    const at::Tensor means = table.view({table.size(0), -1, baselines}).mean({2});
    for (Sample& sample : samples) {
      const double* known = means[sample.number].template data_ptr<double>();
      for (std::int64_t here = sample.next - sample.taken(); here > 0; --here) {
        const double gain = *known++ - scores.none(sample.number);
        if (scores.stopped() && !std::isfinite(gain)) break;
        sample.add(gain);
      }
      if (sample.finished || sample.next == sample.coalitions) continue;
      sample.solve();
      sample.finished =
          scores.relative_error(sample.number, sample.values, sample.errors) <= options_.tolerance;
      if (!sample.finished) sample.next = std::min(sample.next + sample.next / 4 * 2, sample.coalitions);
    }
    return true;
  }

  template <class Scores>
  Attribution collected(const Scores& scores, std::vector<Sample>& samples) const {
    std::vector<detail::Estimate> estimates;
    for (Sample& sample : samples) {
      if (!sample.finished) sample.solve();
      const bool met =
          scores.relative_error(sample.number, sample.values, sample.errors) <= options_.tolerance;
      estimates.push_back({scores.stopped() ? sample.values.nan_to_num(0.0) : sample.values, sample.errors,
                           sample.taken(), met});
    }
    Attribution result = scores.attribution(estimates, options_.tolerance);
    scores.fill_in_completeness(result,
                                [&](std::size_t n) -> const at::Tensor& { return estimates[n].values; });
    return result;
  }

  mutable M model_;  // a model's call operator may be non-const
  KernelShapOptions options_;
};

}  // namespace salience
