// FeatureMask: which elements of an input make a feature.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/method/entry.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Which feature each element of an input belongs to, for methods that take features away: superpixels,
/// cells, words. Elements with one number are one feature of their sample, each with its own value.
///
///     FeatureMask{}                   // each element is a feature
///     FeatureMask(numbers)            // whole numbers that broadcast to the input: (1, 1, H, W), (N, C, H,
///     W) ... FeatureMask::grid({7, 7})       // cells FeatureMask{[](const at::Tensor& x) { return
///     superpixels(x); }}  // by the input
class FeatureMask {
 public:
  /// From the input (N, ...) to whole numbers that broadcast to it.
  using Function = std::function<at::Tensor(const at::Tensor&)>;

  /// Each element is a feature.
  FeatureMask() = default;
  /// Whole numbers that broadcast to the input; undefined: each element is a feature. One of N rows has a row
  /// for each sample, also inside of a method that evaluates a sample many times.
  FeatureMask(at::Tensor numbers) {  // NOLINT(google-explicit-constructor): a tensor is a mask
    if (numbers.defined()) {
      of_ = [numbers = std::move(numbers)](const at::Tensor& input, const at::Tensor& samples) {
        const bool a_row_each = numbers.dim() == input.dim() && numbers.size(0) != 1;
        if (!samples.defined() || !a_row_each) return numbers;
        if (samples.max().item<std::int64_t>() >= numbers.size(0)) {
          throw ArgumentError(detail::concat("a mask of features of shape ", detail::shape(numbers),
                                             " has no row for sample ", samples.max().item<std::int64_t>()));
        }
        return numbers.index_select(0, samples.to(numbers.device()));
      };
    }
  }
  /// Of each input its own. A method that is wrapped gives it rows of its own, so what it gives may depend on
  /// a row's values alone.
  explicit FeatureMask(Function function)
      : of_([function = std::move(function)](const at::Tensor& input, const at::Tensor&) {
          return function(input);
        }) {}

  /// Cells, all channels together: as many along each place of (N, C, places...), or along the one dimension
  /// of (N, D); a single number stands for every place. Cell i of n along a size s begins at ceil(i s / n). A
  /// dimension that is smaller has a cell for each element. Throws ArgumentError for a number below 1; the
  /// mask does for an input of another rank.
  static FeatureMask grid(std::vector<std::int64_t> cells) {
    if (cells.empty() || *std::min_element(cells.begin(), cells.end()) < 1) {
      throw ArgumentError("a grid of features needs numbers of cells of at least 1");
    }
    return FeatureMask(Function([cells = std::move(cells)](const at::Tensor& input) {
      const std::int64_t first = input.dim() > 2 ? 2 : 1, places = input.dim() - first;
      if (places < 1) {
        throw ArgumentError::out_of_range("the input of a grid of features", detail::shape(input),
                                          "a batch (N, D) or (N, C, places...)");
      }
      if (cells.size() != 1 && static_cast<std::int64_t>(cells.size()) != places) {
        throw ArgumentError(detail::concat("a grid of ", cells.size(),
                                           " numbers of cells does not fit an input of shape ",
                                           detail::shape(input)));
      }
      at::Tensor numbers;
      for (std::int64_t d = 0; d < places; ++d) {
        const std::int64_t size = input.size(first + d);
        const std::int64_t count = std::min(size, cells[cells.size() == 1 ? 0 : static_cast<std::size_t>(d)]);
        std::vector<std::int64_t> along;
        along.reserve(static_cast<std::size_t>(size));
        for (std::int64_t i = 0; i < size; ++i) along.push_back(i * count / size);
        std::vector<std::int64_t> sizes(static_cast<std::size_t>(input.dim()), 1);
        sizes[static_cast<std::size_t>(first + d)] = size;
        const at::Tensor own = detail::vector_tensor<std::int64_t>(along).view(sizes);
        numbers = numbers.defined() ? numbers.mul(count).add(own) : own;
      }
      return numbers;
    }));
  }

  /// The numbers for an input (N, ...), int64 on the CPU with as many dimensions, N rows or one; undefined
  /// where each element is a feature. Throws ArgumentError if they are not whole or do not broadcast to it.
  ///
  /// `samples` says which samples of the user's batch the rows are, (rows) int64, as FixedTarget::samples;
  /// undefined: row n is sample n.
  at::Tensor operator()(const at::Tensor& input, const at::Tensor& samples = {}) const {
    if (!of_) return {};
    const at::Tensor mask = of_(input, samples);
    if (!mask.defined() || !detail::holds_integers(mask)) {
      throw ArgumentError::out_of_range("a mask of features",
                                        mask.defined() ? detail::concat(mask.scalar_type()) : "undefined",
                                        "of whole numbers");
    }
    try {
      static_cast<void>(mask.expand_as(input));
    } catch (const c10::Error&) {
      std::throw_with_nested(
          ArgumentError(detail::concat("a mask of features of shape ", detail::shape(mask),
                                       " does not fit an input of shape ", detail::shape(input))));
    }
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(input.dim() - mask.dim()), 1);
    sizes.insert(sizes.end(), mask.sizes().begin(), mask.sizes().end());
    return mask.to(at::kCPU, at::kLong).reshape(sizes).contiguous();
  }

 private:
  /// From the input and the samples that its rows are.
  std::function<at::Tensor(const at::Tensor&, const at::Tensor&)> of_;
};

}  // namespace salience
