// Features: which feature of its sample each element of an input belongs to.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <unordered_map>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/method/feature_mask.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// The features of each sample of an input, numbered from 0 in the order of their numbers in the mask.
class Features {
 public:
  /// `samples` says which samples of the user's batch the rows are, see FeatureMask.
  Features(const FeatureMask& mask, const at::Tensor& input, const at::Tensor& samples)
      : sample_(input[0].sizes().vec()) {
    const at::Tensor numbers = mask(input, samples);
    if (numbers.defined()) {
      rows_.reserve(static_cast<std::size_t>(numbers.size(0)));
      for (std::int64_t n = 0; n < numbers.size(0); ++n)
        rows_.push_back(numbered(numbers[n], input.device()));
    } else {
      std::vector<std::int64_t> each(static_cast<std::size_t>(input[0].numel()));
      std::iota(each.begin(), each.end(), std::int64_t{0});
      rows_.push_back({vector_tensor<std::int64_t>(each).view(sample_).to(input.device()), input[0].numel()});
    }
  }

  /// How many sample n has.
  std::int64_t count(std::int64_t n) const { return row(n).count; }
  /// The most that a sample has.
  std::int64_t most() const {
    std::int64_t most = 0;
    for (const Row& row : rows_) most = std::max(most, row.count);
    return most;
  }

  /// Which elements of sample n belong to features that are there, bool that broadcasts to it. `there` has a
  /// 1 or 0 for each feature.
  at::Tensor stays(std::int64_t n, const std::vector<std::uint8_t>& there) const {
    return of_elements(n, vector_tensor<std::uint8_t>(there).to(row(n).labels.device(), at::kBool));
  }
  /// The same where all features but one are there.
  at::Tensor stays_without(std::int64_t n, std::int64_t feature) const { return row(n).labels.ne(feature); }

  /// A value for each feature, (count), as one for each element of the sample.
  at::Tensor spread(std::int64_t n, const at::Tensor& values) const {
    return of_elements(n, values.to(row(n).labels.device())).expand(sample_);
  }
  /// The sum over each feature's elements, (count) float64 on the CPU, of a tensor in the shape of a sample.
  at::Tensor sums(std::int64_t n, const at::Tensor& elements) const {
    const at::Tensor labels = row(n).labels.expand(sample_).reshape({-1}).to(at::kCPU);
    const at::Tensor values = elements.detach().to(at::kCPU, at::kDouble).expand(sample_).reshape({-1});
    return empty({count(n)}, at::kDouble).zero_().index_add_(0, labels, values);
  }
  /// How many elements each feature has, (count) float64 on the CPU.
  at::Tensor sizes(std::int64_t n) const {
    return sums(n, empty(std::vector<std::int64_t>(sample_.size(), 1), at::kDouble).fill_(1.0));
  }

 private:
  struct Row {
    at::Tensor labels;  ///< broadcasts to a sample, on the input's device
    std::int64_t count;
  };

  const Row& row(std::int64_t n) const { return rows_[rows_.size() == 1 ? 0 : static_cast<std::size_t>(n)]; }

  at::Tensor of_elements(std::int64_t n, const at::Tensor& values) const {
    const at::Tensor& labels = row(n).labels;
    return values.index_select(0, labels.reshape({-1})).view(labels.sizes());
  }

  static Row numbered(const at::Tensor& numbers, at::Device device) {
    const std::int64_t* given = numbers.data_ptr<std::int64_t>();
    std::vector<std::int64_t> distinct(given, given + numbers.numel());
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    std::unordered_map<std::int64_t, std::int64_t> places;
    for (std::size_t i = 0; i < distinct.size(); ++i) places[distinct[i]] = static_cast<std::int64_t>(i);
    at::Tensor labels = numbers.clone();
    std::int64_t* label = labels.data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < labels.numel(); ++i) label[i] = places[given[i]];
    return {labels.to(device), static_cast<std::int64_t>(distinct.size())};
  }

  std::vector<std::int64_t> sample_;  // the sizes of a sample
  std::vector<Row> rows_;             // one for all samples, or one each
};

/// Of an input and of what was composed of it and a baseline, in float64.
struct Lengths {
  double product;   ///< of the two
  double square;    ///< of the composed one's length
  double distance;  ///< squared, between the two
  double whole;     ///< the square of the input's length

  static Lengths between(const at::Tensor& present, const at::Tensor& composed) {
    const at::Tensor x = present.detach().to(at::kCPU, at::kDouble),
                     z = composed.detach().to(at::kCPU, at::kDouble);
    const auto sum = [](const at::Tensor& values) { return values.sum().item<double>(); };
    return {sum(x.mul(z)), sum(z.square()), sum(x.sub(z).square()), sum(x.square())};
  }
};

/// What lengths of inputs of which only some features are there are made of, one number a feature.
class FeatureLengths {
 public:
  FeatureLengths(const Features& features, std::int64_t n, const at::Tensor& present,
                 const at::Tensor& absent) {
    const at::Tensor x = present.detach().to(at::kCPU, at::kDouble),
                     b = absent.detach().to(at::kCPU, at::kDouble);
    const at::Tensor tensors[] = {x.square(), x.mul(b), b.square(), x.sub(b).square()};
    for (std::size_t i = 0; i < 4; ++i) {
      const at::Tensor sums = features.sums(n, tensors[i]);
      sums_[i].assign(sums.data_ptr<double>(), sums.data_ptr<double>() + sums.numel());
    }
    whole_ = std::accumulate(sums_[0].begin(), sums_[0].end(), 0.0);
  }

  Lengths of(const std::vector<std::uint8_t>& there) const {
    Lengths result{0.0, 0.0, 0.0, whole_};
    for (std::size_t i = 0; i < there.size(); ++i) {
      const bool is = there[i] != 0;
      result.product += sums_[is ? 0 : 1][i];
      result.square += sums_[is ? 0 : 2][i];
      result.distance += is ? 0.0 : sums_[3][i];
    }
    return result;
  }

 private:
  std::array<std::vector<double>, 4> sums_;
  double whole_;
};

}  // namespace salience::detail
