// Lime: a sparse linear function of the features around the input.
#pragma once

#include <algorithm>
#include <array>
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
#include <salience/method/detail/lasso.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// How LIME fits.
enum class LimeFit {
  lasso,  ///< \f$ \frac{1}{2 \sum w} \sum w (s - \beta_0 - \beta z)^2 + \alpha |\beta|_1 \f$; scikit-learn's
          ///< Lasso
  ridge,  ///< \f$ \sum w (s - \beta_0 - \beta z)^2 + \alpha |\beta|_2^2 \f$; scikit-learn's Ridge
};

/// How far a perturbed input z is from the input x.
enum class LimeDistance {
  cosine,     ///< \f$ 1 - \cos(x, z) \f$
  euclidean,  ///< \f$ |x - z|_2 \f$
};

/// What can be chosen of Lime.
struct LimeOptions {
  FeatureMask mask{};            ///< which feature each element belongs to, see FeatureMask; at most 1000
  std::int64_t samples = 1000;   ///< perturbed inputs, at most; the lime library's choice for pictures
  LimeFit fit = LimeFit::lasso;  ///< Captum's choice
  double alpha = 0.01;           ///< how much values cost, at least 0; Captum's choice
  LimeDistance distance = LimeDistance::cosine;  ///< Captum's choice
  double kernel_width = 1.0;                     ///< above 0, in units of the distance; Captum's choice
  Baseline baseline = Baseline::zero();  ///< what replaces a feature; of several each perturbation takes all
  std::uint64_t seed = 0;                ///< the same seed gives the same perturbations
  /// Above 0: a sample stops early once the standard error of its map relative to the map (both as L2 norms)
  /// is at most this. It is looked at after at least twice as many perturbations as features and 100, then
  /// each half as many again.
  double tolerance = 0.0;
  std::int64_t chunk = 0;       ///< evaluations at once, over all samples; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each evaluation; false stops and gives what there is
};

/// LIME (Ribeiro, Singh, Guestrin: "'Why Should I Trust You?': Explaining the Predictions of Any Classifier",
/// KDD 2016): a linear function of the features that are there, z in {0, 1}, which fits the scores of random
/// perturbations near the input. Each feature is kept with probability 1/2, else replaced by the baseline,
/// and a perturbation at the distance d counts \f$ e^{-d^2 / (2 \sigma^2)} \f$, with \f$ \sigma \f$ the
/// kernel's width. The values are the coefficients; under the lasso those that say little are 0.
///
///     Lime method{model, {.mask = superpixels, .samples = 1000, .seed = 7}};
///     Attribution a = method(x);  // a.values_error, a.standard_error, a.copies
///
/// `alpha` is in the score's unit: a lasso's coefficient below 4 alpha or so becomes 0. The standard errors
/// are those of a jackknife that leaves out each twentieth of the draws; they know the draws' chance, not the
/// bias that alpha brings, nor what would move a value that it holds at 0. Memory does not grow with the
/// number of perturbations but by a score each. After a stop the fit is of those that were scored. The rest
/// is as in ShapleySampling. Same as Captum's Lime with its defaults and the same perturbations. Throws
/// ArgumentError for an option out of range, more than 1000 features, a mask or a baseline that does not fit,
/// and what the model throws.
template <class M>
class Lime {
 public:
  /// `model` is any Model. Throws ArgumentError for an option out of range.
  explicit Lime(M model, LimeOptions options = {}) : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
    require_draws(options_.samples, options_.tolerance);
    if (!(options_.alpha >= 0.0 && std::isfinite(options_.alpha)))
      throw ArgumentError::out_of_range("alpha", options_.alpha, "a number of at least 0");
    if (!(options_.kernel_width > 0.0))
      throw ArgumentError::out_of_range("kernel_width", options_.kernel_width, "above 0");
  }

  /// The coefficient of the feature of each element of `input`, (N, ...), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) {
      detail::CoalitionScores scores(model_, input, wanted,
                                     {options_.mask, options_.baseline, options_.chunk, options_.progress});
      const std::int64_t features = scores.features().most();
      if (features > 1000) {
        throw ArgumentError(detail::concat("Lime takes at most 1000 features, and the mask has ", features,
                                           ": give a coarser one"));
      }
      std::vector<Sample> samples;
      for (std::int64_t n = 0; n < input.size(0); ++n) samples.emplace_back(n, scores.features().count(n));
      scores.expect(input.size(0) * options_.samples * scores.baselines());
      for (Sample& sample : samples) {
        const std::int64_t look = std::max<std::int64_t>(100, 2 * sample.count);
        sample.next = options_.tolerance > 0.0 ? std::min(look, options_.samples) : options_.samples;
      }
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
  static constexpr std::size_t groups = 20;  // of draws, each left out once by the jackknife

  /// Weighted sums over perturbations, of which every fit can be made.
  struct Sums {
    explicit Sums(std::int64_t count)
        : zz(Eigen::MatrixXd::Zero(count, count)), z(Eigen::VectorXd::Zero(count)), zs(z) {}
    Eigen::MatrixXd zz;
    Eigen::VectorXd z, zs;
    double w = 0.0, s = 0.0;

    void add(const Eigen::VectorXd& there, double score, double weight) {
      zz.selfadjointView<Eigen::Lower>().rankUpdate(there, weight);
      z += weight * there;
      zs += weight * score * there;
      w += weight;
      s += weight * score;
    }
    void add(const Sums& other, double sign) {
      zz += sign * other.zz;
      z += sign * other.z;
      zs += sign * other.zs;
      w += sign * other.w;
      s += sign * other.s;
    }
  };

  struct Sample {
    Sample(std::int64_t n, std::int64_t features)
        : number(n), count(features), parts(groups, Sums(features)) {}
    std::int64_t number, count, copies = 0;
    std::int64_t next = 0;  // as many perturbations are taken before the error is looked at
    std::vector<Sums> parts;
    bool finished = false;
    at::Tensor values, errors;
  };

  std::vector<std::uint8_t> there(std::int64_t count, std::int64_t draw) const {
    const detail::HashedDraw bits(options_.seed, draw);
    std::vector<std::uint8_t> flags(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < flags.size(); ++i) flags[i] = static_cast<std::uint8_t>(bits.bits(i) >> 63);
    return flags;
  }

  double weight(const detail::Lengths& of) const {
    double d = std::sqrt(of.distance);
    if (options_.distance == LimeDistance::cosine)
      d = 1.0 - of.product / std::max(std::sqrt(of.square * of.whole), 1e-8);
    return std::exp(-d * d / (2.0 * options_.kernel_width * options_.kernel_width));
  }

  /// Scores and adds the next perturbations of each sample. False if there is nothing left to do.
  template <class Scores>
  bool evaluate(Scores& scores, std::vector<Sample>& samples) const {
    std::int64_t most = 0;
    for (const Sample& sample : samples) most = std::max(most, sample.next - sample.copies);
    if (most == 0) return false;
    const std::int64_t baselines = scores.baselines(), steps = most * baselines;
    std::vector<Variant> variants;
    for (const Variant& variant : all_variants(scores.samples(), steps)) {
      const Sample& sample = samples[static_cast<std::size_t>(variant.sample)];
      if (sample.copies + variant.step / baselines < sample.next) variants.push_back(variant);
    }
    std::vector<detail::Lengths> lengths(static_cast<std::size_t>(scores.samples() * steps));
    const at::Tensor table = scores(
        variants, steps,
        [&](std::int64_t n, std::int64_t draw) {
          const Sample& sample = samples[static_cast<std::size_t>(n)];
          return there(sample.count, sample.copies + draw);
        },
        &lengths);
    for (Sample& sample : samples) {
      const double* own = table[sample.number].template data_ptr<double>();
      const detail::Lengths* of = lengths.data() + sample.number * steps;
      for (; sample.copies < sample.next; ++sample.copies, own += baselines, of += baselines) {
        if (scores.stopped() && !std::isfinite(own[baselines - 1])) break;
        const std::vector<std::uint8_t> flags = there(sample.count, sample.copies);
        Eigen::VectorXd z(sample.count);
        for (std::int64_t i = 0; i < sample.count; ++i) z[i] = flags[static_cast<std::size_t>(i)];
        for (std::int64_t b = 0; b < baselines; ++b)
          sample.parts[static_cast<std::size_t>(sample.copies) % groups].add(z, own[b], weight(of[b]));
      }
      if (sample.finished || sample.next == options_.samples) continue;
      solve(sample);
      sample.finished =
          scores.relative_error(sample.number, sample.values, sample.errors) <= options_.tolerance;
      if (!sample.finished) sample.next = std::min(sample.next + sample.next / 2, options_.samples);
    }
    return true;
  }

  void solve(Sample& sample) const {
    Sums all(sample.count);
    for (const Sums& part : sample.parts) all.add(part, 1.0);
    const Eigen::VectorXd varies =
        all.zz.diagonal().array() - all.z.array().square() / std::max(all.w, 1e-300);
    if (sample.copies >= 64 && !(varies.maxCoeff() > 1e-12 * all.w) && all.s == all.s) {
      throw ArgumentError(
          detail::concat("nearly all perturbations are so far from the input that a kernel of width ",
                         options_.kernel_width, " does not count them: give a wider one"));
    }
    const Eigen::VectorXd beta = fitted(all, Eigen::VectorXd::Zero(sample.count));
    Eigen::VectorXd mean = Eigen::VectorXd::Zero(sample.count), square = mean;
    for (const Sums& part : sample.parts) {
      Sums rest = all;
      rest.add(part, -1.0);
      const Eigen::VectorXd left = fitted(rest, beta) - beta;
      mean += left / static_cast<double>(groups);
      square += left.cwiseAbs2();
    }
    const double g = groups;
    const bool enough = sample.copies >= 2 * static_cast<std::int64_t>(groups);
    sample.values = detail::empty({sample.count}, at::kDouble);
    sample.errors = detail::unknown({sample.count});
    for (std::int64_t i = 0; i < sample.count; ++i) {
      sample.values.template data_ptr<double>()[i] = beta[i];
      if (enough)
        sample.errors.template data_ptr<double>()[i] =
            std::sqrt((g - 1.0) / g * std::abs(square[i] - g * mean[i] * mean[i]));  // rounding below 0
    }
  }

  /// The coefficients of these sums; `start` is where the lasso's search begins.
  Eigen::VectorXd fitted(const Sums& sums, const Eigen::VectorXd& start) const {
    if (!(sums.w > 0.0)) return Eigen::VectorXd::Zero(start.size());  // a stop before the first
    Eigen::MatrixXd spread = sums.zz.template selfadjointView<Eigen::Lower>();
    spread -= sums.z * sums.z.transpose() / sums.w;
    const Eigen::VectorXd right = sums.zs - sums.z * (sums.s / sums.w);
    if (options_.fit == LimeFit::lasso)
      return detail::lasso(spread / sums.w, right / sums.w, options_.alpha, start);
    spread.diagonal().array() += options_.alpha;
    return Eigen::CompleteOrthogonalDecomposition<Eigen::MatrixXd>(spread).solve(right);
  }

  template <class Scores>
  Attribution collected(const Scores& scores, std::vector<Sample>& samples) const {
    std::vector<detail::Estimate> estimates;
    for (Sample& sample : samples) {
      if (!sample.finished) solve(sample);
      const bool met =
          scores.relative_error(sample.number, sample.values, sample.errors) <= options_.tolerance;
      estimates.push_back({sample.values, sample.errors, sample.copies, met});
    }
    return scores.attribution(estimates, options_.tolerance);
  }

  mutable M model_;  // a model's call operator may be non-const
  LimeOptions options_;
};

}  // namespace salience
