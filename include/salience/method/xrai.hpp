// Xrai: the regions of a picture, one after the other by the mean of an attribution in them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/feature_mask.hpp>
#include <salience/picture/felzenszwalb.hpp>
#include <salience/picture/segments.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What can be chosen of Xrai. The defaults are those of PAIR's saliency, the authors' code.
struct XraiOptions {
  /// Segmentations, each of which cuts the picture into regions; empty: Felzenszwalb's, of sigma 0.8, at
  /// least 150 pixels and the scales 50, 100, 150, 250, 500 and 1200, of the input brought to [-1, 1].
  std::vector<FeatureMask> segmentations{};
  std::int64_t dilation = 5;  ///< by how many pixels a region is widened, at least 0
  std::int64_t fewest = 50;   ///< a region that would add fewer pixels is left out; at least 1
};

/// The baselines of XRAI's attribution: pictures of the input's smallest and of its largest value everywhere.
inline Baseline xrai_baselines() {
  const auto constant = [](bool largest) {
    return Baseline([largest](const at::Tensor& input) {
      const at::Tensor rows = input.detach().flatten(1);
      const at::Tensor values = largest ? rows.amax({1}) : rows.amin({1});
      std::vector<std::int64_t> sizes(static_cast<std::size_t>(input.dim()), 1);
      sizes[0] = input.size(0);
      return values.view(sizes);
    });
  };
  return Baseline::mean_of({constant(false), constant(true)});
}

namespace detail {

/// Regions of a picture, which may overlap: the pixels of each, in ascending order.
using Regions = std::vector<std::vector<std::int32_t>>;

/// Adds the segments with these numbers, (H, W) contiguous int64, each widened by a disk.
inline void add_regions(const at::Tensor& numbers, std::int64_t radius, Regions& regions) {
  const std::int64_t height = numbers.size(0), width = numbers.size(1);
  const std::int64_t* number = numbers.data_ptr<std::int64_t>();
  std::map<std::int64_t, std::vector<std::int32_t>> own;
  for (std::int64_t i = 0; i < height * width; ++i) own[number[i]].push_back(static_cast<std::int32_t>(i));
  std::vector<char> inside(static_cast<std::size_t>(height * width));
  for (const auto& [name, segment] : own) {
    std::fill(inside.begin(), inside.end(), char{0});
    for (const std::int32_t pixel : segment) {
      const std::int64_t y = pixel / width, x = pixel % width;
      for (std::int64_t v = std::max<std::int64_t>(y - radius, 0); v <= std::min(y + radius, height - 1);
           ++v) {
        const auto reach = static_cast<std::int64_t>(
            std::floor(std::sqrt(static_cast<double>(radius * radius - (v - y) * (v - y)))));
        const std::int64_t begin = std::max<std::int64_t>(x - reach, 0), end = std::min(x + reach + 1, width);
        std::fill(inside.begin() + (v * width + begin), inside.begin() + (v * width + end), char{1});
      }
    }
    std::vector<std::int32_t> widened_segment;
    for (std::size_t i = 0; i < inside.size(); ++i) {
      if (inside[i] != 0) widened_segment.push_back(static_cast<std::int32_t>(i));
    }
    regions.push_back(std::move(widened_segment));
  }
}

/// The value of each pixel: regions are taken by the largest mean of `values` in what they add, which becomes
/// the value of these pixels. Pixels of no region that was taken get the mean of `values` there.
inline std::vector<double> ranked_regions(const std::vector<double>& values, const Regions& regions,
                                          std::int64_t fewest) {
  struct Rest {
    double sum = 0.0;
    std::int64_t count = 0;
  };
  std::vector<Rest> rests(regions.size());
  std::vector<std::vector<std::int32_t>> of_pixel(values.size());
  for (std::size_t r = 0; r < regions.size(); ++r) {
    for (const std::int32_t pixel : regions[r]) {
      rests[r].sum += values[static_cast<std::size_t>(pixel)];
      ++rests[r].count;
      of_pixel[static_cast<std::size_t>(pixel)].push_back(static_cast<std::int32_t>(r));
    }
  }
  std::vector<double> result(values.size());
  std::vector<char> taken(values.size());
  for (;;) {
    std::size_t best = regions.size();
    double gain = -std::numeric_limits<double>::infinity();
    for (std::size_t r = 0; r < regions.size(); ++r) {
      if (rests[r].count < fewest) continue;
      const double mean = rests[r].sum / static_cast<double>(rests[r].count);
      if (mean > gain) gain = mean, best = r;
    }
    if (best == regions.size()) break;
    for (const std::int32_t pixel : regions[best]) {
      const auto i = static_cast<std::size_t>(pixel);
      if (taken[i] != 0) continue;
      taken[i] = 1;
      result[i] = gain;
      for (const std::int32_t r : of_pixel[i]) {
        rests[static_cast<std::size_t>(r)].sum -= values[i];
        --rests[static_cast<std::size_t>(r)].count;
      }
    }
  }
  Rest left;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (taken[i] == 0) left.sum += values[i], ++left.count;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (taken[i] == 0) result[i] = left.sum / static_cast<double>(left.count);
  }
  return result;
}

}  // namespace detail

/// XRAI (Kapishnikov, Bolukbasi, Viegas, Terry: "XRAI: Better Attributions Through Regions", ICCV 2019)
/// around any attributor of pictures: segments of several scales are taken one after the other, by the
/// largest mean of the attribution in the pixels that they add, and these pixels get that mean. So the map
/// ranks regions.
///
///     Xrai xrai{IntegratedGradients{model, {.steps = 100, .baseline = xrai_baselines()}}};  // as in the
///     paper Attribution a = xrai(x);  // (N, 1, H, W)
///
/// Of the attribution's channels the largest counts, as in PAIR's code. The segments are those of the input
/// at its own size, where PAIR's resizes the picture to 224 x 224 first. Their values are in the
/// attribution's unit, and sum to about as much. The target is chosen as the attributor does. Figures of how
/// sums come out are the attributor's alone, and left out. Throws ArgumentError for options out of range and
/// inputs that are no pictures (N, C, H, W), and what the attributor throws.
template <class A>
class Xrai {
 public:
  /// Throws ArgumentError for an option out of range.
  explicit Xrai(A attributor, XraiOptions options = {})
      : attributor_(std::move(attributor)), options_(std::move(options)) {
    static_assert(
        Attributor<A>,
        "Salience: Xrai wraps an attributor, callable with an input and any target (const auto&) to "
        "give an Attribution");
    if (options_.dilation < 0)
      throw ArgumentError::out_of_range("dilation", options_.dilation, "at least 0 pixels");
    if (options_.fewest < 1) throw ArgumentError::out_of_range("fewest", options_.fewest, "at least 1 pixel");
  }

  /// The map for each sample of `input`, (N, 1, H, W), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(attributor_, input, target, [&](const auto& wanted) {
      if (input.dim() != 4)
        throw ArgumentError::out_of_range("the input of Xrai", detail::shape(input), "pictures (N, C, H, W)");
      Attribution result = attributor_(input, wanted);
      if (result.values.dim() != 4 || result.values.size(2) != input.size(2) ||
          result.values.size(3) != input.size(3)) {
        throw ArgumentError(
            detail::concat("Xrai needs an attribution of each pixel, and the attributor gives ",
                           detail::shape(result.values), " for an input of shape ", detail::shape(input)));
      }
      const at::Tensor pixels = result.values.amax({1}).to(at::kCPU, at::kDouble).contiguous();
      at::Tensor values = at::Tensor(input.new_empty({input.size(0), 1, input.size(2), input.size(3)}));
      const at::Tensor samples = detail::samples_of(wanted);  // that the rows are
      const auto number = [&samples](std::int64_t n) {
        return samples.defined() ? samples.narrow(0, n, 1) : detail::vector_tensor<std::int64_t>({n});
      };
      for (std::int64_t n = 0; n < input.size(0); ++n) {
        const at::Tensor own = pixels[n];
        const std::vector<double> of_pixels(own.template data_ptr<double>(),
                                            own.template data_ptr<double>() + own.numel());
        values[n][0].copy_(
            detail::vector_tensor<double>(
                detail::ranked_regions(of_pixels, regions(input.narrow(0, n, 1), number(n)), options_.fewest))
                .view(own.sizes()));
      }
      result.values = values;
      result.values_of = ValuesOf::regions;
      result.values_error = at::Tensor();
      for (at::Tensor* figure : {&result.completeness_error, &result.relative_completeness_error,
                                 &result.map_error, &result.standard_error, &result.converged}) {
        *figure = at::Tensor();
      }
      return result;
    });
  }

  /// What the call above would explain, as the wrapped attributor tells.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return detail::predict_by(attributor_, input, target);
  }

 private:
  /// Those of one sample, (1, C, H, W).
  detail::Regions regions(const at::Tensor& input, const at::Tensor& sample) const {
    detail::Regions found;
    for (const FeatureMask& segmentation : options_.segmentations) {
      const at::Tensor numbers = segmentation(input, sample);
      if (!numbers.defined() || numbers.size(1) != 1) {
        throw ArgumentError::out_of_range("a segmentation of Xrai", detail::shape(numbers),
                                          "of shape (1, 1, H, W)");
      }
      detail::add_regions(numbers[0][0].expand({input.size(2), input.size(3)}).contiguous(),
                          options_.dilation, found);
    }
    if (!options_.segmentations.empty()) return found;
    const at::Tensor picture = input[0].detach().to(at::kCPU, at::kDouble).permute({1, 2, 0}).contiguous();
    const double least = picture.min().template item<double>(), most = picture.max().template item<double>();
    const double scale = most > least ? 2.0 / (most - least) : 0.0;
    std::vector<double> values(picture.template data_ptr<double>(),
                               picture.template data_ptr<double>() + picture.numel());
    for (double& value : values) value = (value - least) * scale - 1.0;
    const auto height = static_cast<int>(input.size(2)), width = static_cast<int>(input.size(3));
    for (const double of : {50.0, 100.0, 150.0, 250.0, 500.0, 1200.0}) {
      const Segments segments = felzenszwalb(values, height, width, static_cast<int>(input.size(1)),
                                             {.scale = of, .sigma = 0.8, .minimum = 150});
      const std::vector<std::int64_t> numbers(segments.labels.begin(), segments.labels.end());
      detail::add_regions(detail::vector_tensor<std::int64_t>(numbers).view({height, width}),
                          options_.dilation, found);
    }
    return found;
  }

  A attributor_;
  XraiOptions options_;
};

}  // namespace salience
