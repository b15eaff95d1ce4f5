// What methods have in common that take features of the input away and look at the score.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/streaming.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// How a method of this kind evaluates.
struct AblationRun {
  Baseline baseline;
  std::int64_t chunk;
  ProgressCallback progress;
};

/// For each feature that covers an element, f(x) - f(x with that feature as in the baseline), on average over
/// these features and the baselines. `counts` has the number of features of each sample; `region(sample,
/// feature, row)` is a view of what the feature covers of a row in the shape of a sample.
template <class M, class T, class Region>
Attribution ablated(M& model, const at::Tensor& input, const T& target, const AblationRun& run,
                    const std::vector<std::int64_t>& counts, const Region& region) {
  const VariantScores scores(model, input, at::Tensor(), target);
  Attribution result{scores.explained()};
  const auto baselines = static_cast<std::int64_t>(run.baseline.count());
  std::vector<at::Tensor> absent;
  for (std::int64_t b = 0; b < baselines; ++b)
    absent.push_back(run.baseline(input, static_cast<std::size_t>(b), samples_of(target)));
  std::int64_t steps = 0;
  for (const std::int64_t count : counts) steps = std::max(steps, count * baselines);
  std::vector<Variant> variants;  // what all samples have in common stays together
  for (const Variant& variant : all_variants(input.size(0), steps)) {
    if (variant.step < counts.at(static_cast<std::size_t>(variant.sample)) * baselines)
      variants.push_back(variant);
  }
  const auto point = [&](const Variant& variant, const at::Tensor& out) {
    out.copy_(input[variant.sample]);
    const std::int64_t feature = variant.step / baselines;
    const at::Tensor& from = absent.at(static_cast<std::size_t>(variant.step % baselines));
    region(variant.sample, feature, out).copy_(region(variant.sample, feature, from[variant.sample]));
  };
  std::size_t done = 0;
  const auto told = [&](const Progress& progress) {
    ++done;
    result.stopped = run.progress && !run.progress(progress);
    return !result.stopped;
  };
  const at::Tensor unhindered = scores.clean();
  const at::Tensor table = scores(variants, steps, run.chunk, point, told);
  const double *rows = table.data_ptr<double>(), *clean = unhindered.data_ptr<double>();
  const at::Tensor sum = empty(input.sizes(), at::kDouble).zero_(),
                   covered = empty(input.sizes(), at::kDouble).zero_();
  for (std::size_t i = 0; i < done; ++i) {
    const auto [sample, step] = variants[i];
    region(sample, step / baselines, sum[sample]).add_(clean[sample] - rows[sample * steps + step]);
    region(sample, step / baselines, covered[sample]).add_(1.0);
  }
  result.values = sum.div(covered.clamp_min(1.0)).to(input.device(), input.scalar_type());
  return result;
}

}  // namespace salience::detail
