// ExtremalPerturbation: the smooth mask of a given area that keeps the score highest.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/im2col_ops.h>
#include <ATen/ops/stack_ops.h>

#include <salience/error.hpp>
#include <salience/method/attribution.hpp>
#include <salience/method/baseline.hpp>
#include <salience/method/detail/blur.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// What the mask of an extremal perturbation is looked for.
enum class ExtremalVariant {
  preserve,  ///< what is inside the mask is kept, and the score is to be high
  remove,    ///< what is inside is perturbed, and the score is to be low
};

/// What can be chosen of ExtremalPerturbation. Defaults without a word on their origin are those of TorchRay,
/// the authors' code.
struct ExtremalPerturbationOptions {
  std::vector<double> areas{0.1};  ///< of the mask, each above 0 and below 1, as a fraction of the picture
  std::int64_t steps = 800;  ///< of gradient ascent; each is a forward and a backward pass for each area
  ExtremalVariant variant = ExtremalVariant::preserve;  ///< what the mask is looked for
  /// Pixels from one parameter of the mask to the next; 0: a thirty-second of the shorter side, at least 1: 7
  /// of 224 pixels.
  std::int64_t cell = 0;
  double sigma = 0.0;  ///< how far a parameter reaches, in pixels; 0: three cells, 21 of 224 pixels
  /// What is outside of the mask. By default the picture under a Gaussian blur, whose width grows in eight
  /// levels to 20 pixels as the mask falls to 0.
  std::optional<Baseline> baseline{};
  bool mirror = true;           ///< every other step, from the first, sees the picture mirrored left to right
  std::int64_t chunk = 0;       ///< masks evaluated at once, over all samples and areas; 0: chosen by memory
  ProgressCallback progress{};  ///< told after each step of all masks; false stops and gives what there is
};

namespace detail {

/// Smooth masks (R, 1, H, W) in [0, 1] from grids of parameters: a pixel is the soft maximum, of temperature
/// 1 / 20, over the parameters around it, each times \f$ k(d) = e^{-2 \max(d / \sigma - 1/2, 0)^2} \f$, d its
/// distance (Fong et al. 2019, section 3.2).
class SmoothMasks {
 public:
  SmoothMasks(std::int64_t height, std::int64_t width, std::int64_t cell, double sigma)
      : height_(height), width_(width), cell_(cell), margin_(static_cast<std::int64_t>(std::llround(sigma))) {
    const auto cells = [cell](double length) {
      return static_cast<std::int64_t>(std::ceil(length / static_cast<double>(cell)));
    };
    padding_ = 1 + cells(2.0 * sigma);
    side_ = 2 * (1 + cells(sigma)) + 1;
    rows_ = (height + cell - 1) / cell;
    columns_ = (width + cell - 1) / cell;
    while (out(rows_) < height + margin_ || out(columns_) < width + margin_) ++padding_;
    const std::int64_t tall = out(rows_), wide = out(columns_);
    weights_ = empty({1, side_ * side_, tall, wide}, at::kFloat);
    float* weight = weights_.data_ptr<float>();
    for (std::int64_t k = 0; k < side_ * side_; ++k) {
      for (std::int64_t y = 0; y < tall; ++y) {
        for (std::int64_t x = 0; x < wide; ++x) {
          const auto apart = [&](std::int64_t place, std::int64_t offset) {
            const std::int64_t own = place / cell;  // the parameter of that place's cell
            return static_cast<double>(place) -
                   (sigma + static_cast<double>(cell * (own + offset - padding_)));
          };
          const double distance = std::hypot(apart(y, k / side_), apart(x, k % side_));
          *weight++ = static_cast<float>(std::exp(-2.0 * std::pow(std::max(distance / sigma - 0.5, 0.0), 2)));
        }
      }
    }
  }

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }

  /// The masks with the margin around the picture, of parameters (R, 1, rows, columns).
  at::Tensor whole(const at::Tensor& parameters) const {
    const std::int64_t down = middle(rows_), across = middle(columns_);
    const at::Tensor around =
        at::_ops::im2col::call(parameters, {side_, side_}, {1, 1}, {padding_, padding_}, {1, 1})
            .view({parameters.size(0), side_ * side_, down, across})
            .repeat_interleave(cell_, 2)
            .repeat_interleave(cell_, 3)
            .slice(2, 0, out(rows_))
            .slice(3, 0, out(columns_));
    const at::Tensor reached = around.mul(weights_.to(parameters.device(), parameters.scalar_type()));
    return reached.mul(reached.mul(20.0).softmax(1)).sum({1}, /*keepdim=*/true).clamp(0.0, 1.0);
  }
  /// The picture's part of these.
  at::Tensor cropped(const at::Tensor& whole) const {
    return whole.slice(2, margin_, margin_ + height_).slice(3, margin_, margin_ + width_);
  }

 private:
  std::int64_t middle(std::int64_t cells) const { return cells + 2 * padding_ - side_ + 1; }
  std::int64_t out(std::int64_t cells) const { return cell_ * middle(cells) - cell_ + 1; }

  std::int64_t height_, width_, cell_, margin_;
  std::int64_t padding_ = 0, side_ = 0, rows_ = 0, columns_ = 0;
  at::Tensor weights_;
};

}  // namespace detail

/// Extremal perturbations (Fong, Patrick, Vedaldi: "Understanding Deep Networks via Extremal Perturbations
/// and Smooth Masks", ICCV 2019): of all smooth masks that cover a given area, the one under which the score
/// is highest,
///
/// \f[ \operatorname{argmax}_m \; s_c(m \otimes x) - \lambda \, | \operatorname{sort}(m) - r_a |^2, \f]
///
/// where r_a has ones for the area a and zeros for the rest, the mean square counts 300 times the score and
/// 0.35% more each step, and \f$ m \otimes x \f$ blends from a blurred picture (m = 0) to the picture. It is
/// found by gradient ascent of rate 0.01 and momentum 0.9 from a mask of ones.
///
///     ExtremalPerturbation method{model, {.areas = {0.05, 0.1, 0.2}}};
///     Attribution a = method(x);  // (N, 1, H, W) in [0, 1]; of several areas the mean of their masks
///
/// Pictures (N, C, H, W) only. The class is chosen once, on the input; the score should be a logit, whose
/// size the area's weight is made for. The mask answers where enough of the class is to be seen, so that it
/// may leave out what says the same again. A step costs as much as a gradient for each area, so 800 of them
/// by default. After a stop the masks are those of the steps that were done. Throws ArgumentError for options
/// out of range and inputs that are no pictures, and what the model throws.
template <class M>
class ExtremalPerturbation {
 public:
  /// `model` is any Model with a gradient. Throws ArgumentError for an option out of range.
  explicit ExtremalPerturbation(M model, ExtremalPerturbationOptions options = {})
      : model_(std::move(model)), options_(std::move(options)) {
    detail::require_model<M>();
    require_chunk(options_.chunk);
    if (options_.areas.empty()) throw ArgumentError("there are no areas of masks");
    for (const double area : options_.areas) {
      if (!(area > 0.0 && area < 1.0))
        throw ArgumentError::out_of_range("the area of a mask", area, "above 0 and below 1");
    }
    if (options_.steps < 1) throw ArgumentError::out_of_range("steps", options_.steps, "at least 1");
    if (options_.cell < 0) throw ArgumentError::out_of_range("cell", options_.cell, "at least 0 pixels");
    if (!(options_.sigma >= 0.0 && std::isfinite(options_.sigma)))
      throw ArgumentError::out_of_range("sigma", options_.sigma, "a number of at least 0 pixels");
  }

  /// The mask for each sample of `input`, (N, 1, H, W), in its dtype.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(model_, input, target, [&](const auto& wanted) {
      if (input.dim() != 4) {
        throw ArgumentError::out_of_range("the input of ExtremalPerturbation", detail::shape(input),
                                          "pictures (N, C, H, W)");
      }
      Attribution result{predict(input, wanted)};
      result.values_of = ValuesOf::regions;
      const auto selector = detail::read_as(wanted, result.output_type);
      const std::int64_t shorter = std::min(input.size(2), input.size(3));
      const std::int64_t cell = options_.cell > 0 ? options_.cell : std::max<std::int64_t>(1, shorter / 32);
      const double sigma = options_.sigma > 0.0 ? options_.sigma : 3.0 * static_cast<double>(cell);
      const detail::SmoothMasks masks(input.size(2), input.size(3), cell, sigma);
      const at::Tensor levels = blends(detail::widened(input.detach()), detail::samples_of(wanted));
      const std::vector<Variant> rows =
          all_variants(input.size(0), static_cast<std::int64_t>(options_.areas.size()));
      const auto count = static_cast<std::int64_t>(rows.size());
      at::Tensor parameters = levels.new_empty({count, 1, masks.rows(), masks.columns()}).fill_(1.0);
      const at::Tensor velocity = parameters.mul(0.0);
      const auto chunk = static_cast<std::size_t>(chunk_size(options_.chunk, input));
      double weight = 300.0;
      for (std::int64_t step = 0; step < options_.steps && !result.stopped; ++step) {
        for (std::size_t first = 0; first < rows.size(); first += chunk) {
          const auto part = std::span(rows).subspan(first, std::min(chunk, rows.size() - first));
          ascend(part, input.scalar_type(), levels, masks, result.target, selector, step, weight,
                 parameters.narrow(0, static_cast<std::int64_t>(first), std::ssize(part)),
                 velocity.narrow(0, static_cast<std::int64_t>(first), std::ssize(part)));
        }
        weight *= 1.0035;
        const Progress now{.done = step + 1, .total = options_.steps, .error = -1.0};
        result.stopped = options_.progress && !options_.progress(now);
      }
      const at::Tensor found = masks.cropped(masks.whole(parameters));
      result.values = found.view({std::ssize(options_.areas), input.size(0), 1, input.size(2), input.size(3)})
                          .mean({0})
                          .to(input.scalar_type());
      return result;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return observe(model_, input, target).explained();
  }

 private:
  /// From what is outside of a mask to the picture: (levels, N, C, H, W).
  at::Tensor blends(const at::Tensor& x, const at::Tensor& samples) const {
    std::vector<at::Tensor> levels;
    if (options_.baseline) {
      levels = {only(*options_.baseline, x, samples), x};
    } else {
      constexpr int count = 8;
      levels.reserve(count);
      for (int i = 0; i < count - 1; ++i) {
        levels.push_back(detail::blur(x, 20.0 * (1.0 - i / (count - 1.0)), detail::Border::nearest, 2));
      }
      levels.push_back(x);
    }
    return at::_ops::stack::call(levels, 0);
  }
  static at::Tensor only(const Baseline& baseline, const at::Tensor& x, const at::Tensor& samples) {
    if (baseline.count() != 1)
      throw ArgumentError::out_of_range("the baselines of ExtremalPerturbation", baseline.count(), "1");
    return baseline(x, 0, samples);
  }

  /// One step of the masks of `part`, whose parameters and their velocity are changed.
  template <class T>
  void ascend(std::span<const Variant> part, at::ScalarType dtype, const at::Tensor& levels,
              const detail::SmoothMasks& masks, const at::Tensor& chosen, const T& target, std::int64_t step,
              double weight, const at::Tensor& parameters, const at::Tensor& velocity) const {
    std::vector<std::int64_t> samples;
    for (const Variant& row : part) samples.push_back(row.sample);
    const at::Tensor places = detail::vector_tensor<std::int64_t>(samples).to(levels.device());
    const at::Tensor leaf = parameters.detach().clone().requires_grad_(true);
    const at::Tensor whole = masks.whole(leaf), mask = masks.cropped(whole);
    const bool remove = options_.variant == ExtremalVariant::remove;
    const at::Tensor shown = remove ? mask.neg().add(1.0) : mask;

    // Between the two levels around the mask's value.
    const std::int64_t last = levels.size(0) - 1;
    const at::Tensor place =
        shown.detach().mul(static_cast<double>(last)).floor().clamp(0.0, static_cast<double>(last - 1));
    const at::Tensor below = place.to(at::kLong).unsqueeze(0);
    const at::Tensor own = levels.index_select(1, places);
    const auto level = [&](const at::Tensor& number) {
      return own.gather(0, number.expand({1, own.size(1), own.size(2), own.size(3), own.size(4)}))[0];
    };
    const at::Tensor low = level(below), high = level(below.add(1));
    const at::Tensor share = shown.mul(static_cast<double>(last)).sub(place);
    const at::Tensor seen = low.add(high.sub(low).mul(share));

    const bool mirrored = options_.mirror && step % 2 == 0;
    const at::Tensor asked = (mirrored ? seen.flip({3}) : seen).detach().to(dtype);
    RecordedPass pass = record(model_, asked, detail::fixed_for(target, chosen, places));
    at::Tensor pull = pass.gradient().to(seen.scalar_type());
    if (mirrored) pull = pull.flip({3});
    if (remove) pull = pull.neg();

    // The area: how far the sorted values are from zeros and ones.
    const at::Tensor sorted = std::get<0>(whole.flatten(1).sort(1));
    const at::Tensor wanted = sorted.detach().mul(0.0);
    for (std::size_t i = 0; i < part.size(); ++i) {
      const double area = options_.areas[static_cast<std::size_t>(part[i].step)];
      const auto zeros = static_cast<std::int64_t>(static_cast<double>(sorted.size(1)) * (1.0 - area));
      wanted[static_cast<std::int64_t>(i)].slice(0, zeros).fill_(1.0);
    }
    const at::Tensor penalty = sorted.sub(wanted).square().mean({1}).mul(weight);
    penalty.sum().sub(seen.mul(pull).sum()).backward();
    const at::Tensor& slope = leaf.grad();
    // Stochastic gradient descent with momentum 0.9 and dampening 0.9, whose first step is the gradient's.
    if (step == 0) {
      velocity.copy_(slope);
    } else {
      velocity.mul_(0.9).add_(slope, 1.0 - 0.9);
    }
    parameters.sub_(velocity, 0.01).clamp_(0.0, 1.0);
  }

  mutable M model_;  // a model's call operator may be non-const
  ExtremalPerturbationOptions options_;
};

}  // namespace salience
