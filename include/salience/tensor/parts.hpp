// Parts: several tensors of a sample in one row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat_ops.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// How several tensors with a row for each sample, (N, a, b), (N, c), make one of a row for each sample,
/// (N, ab + c), and back. So every method that explains one input explains several:
///
///     const Parts parts{{3, 224, 224}, {7}};
///     const auto model = [&](const at::Tensor& x) {
///       const auto inputs = parts.split(x);
///       return net->forward(inputs[0], inputs[1]);
///     };
///     const Attribution a = IntegratedGradients{model}(parts.pack({picture, record}));
///     const auto maps = parts.split(a.values);  // (N, 3, 224, 224) and (N, 7)
class Parts {
 public:
  /// Of these shapes, which do not name the batch. Throws ArgumentError if a size is below 1 or there is no
  /// part.
  explicit Parts(std::vector<std::vector<std::int64_t>> shapes) : shapes_(std::move(shapes)) {
    if (shapes_.empty()) throw ArgumentError::out_of_range("parts", "none", "one shape or several");
    for (const auto& shape : shapes_) {
      std::int64_t size = 1;
      for (const std::int64_t one : shape) {
        if (one < 1) throw ArgumentError::out_of_range("size of a part", one, "1 or more");
        size *= one;
      }
      sizes_.push_back(size);
      total_ += size;
    }
  }

  /// The shapes of these tensors, all with the same number of rows.
  static Parts of(const std::vector<at::Tensor>& tensors) {
    std::vector<std::vector<std::int64_t>> shapes;
    for (const at::Tensor& tensor : tensors) {
      if (tensor.dim() < 1) throw ArgumentError("a part must have a row for each sample, not a single value");
      shapes.emplace_back(tensor.sizes().begin() + 1, tensor.sizes().end());
    }
    return Parts(std::move(shapes));
  }

  /// The parts of a row one behind the other: (N, total). They must be of one type. Throws ArgumentError for
  /// tensors of other shapes or of different numbers of rows.
  at::Tensor pack(const std::vector<at::Tensor>& tensors) const {
    if (tensors.size() != shapes_.size()) {
      throw ArgumentError(
          detail::concat("there are ", shapes_.size(), " parts, but ", tensors.size(), " tensors"));
    }
    std::vector<at::Tensor> rows;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const at::Tensor& tensor = tensors[i];
      if (tensor.dim() < 1 || tensor.sizes().slice(1) != at::IntArrayRef(shapes_[i]) ||
          tensor.size(0) != tensors[0].size(0) || tensor.scalar_type() != tensors[0].scalar_type()) {
        throw ArgumentError(detail::concat("part ", i, " must be of shape ", described(i),
                                           ", of as many rows and of the "
                                           "type of part 0, not of shape ",
                                           detail::shape(tensor), " and type ", tensor.scalar_type()));
      }
      rows.push_back(tensor.reshape({tensor.size(0), sizes_[i]}));
    }
    return at::_ops::cat::call(rows, 1);
  }

  /// The parts, as views of the rows. Throws ArgumentError for a tensor that is not (N, total).
  std::vector<at::Tensor> split(const at::Tensor& packed) const {
    if (packed.dim() != 2 || packed.size(1) != total_) {
      throw ArgumentError(detail::concat("the rows of ", shapes_.size(), " parts are of shape (N, ", total_,
                                         "), not ", detail::shape(packed)));
    }
    std::vector<at::Tensor> tensors;
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < shapes_.size(); ++i) {
      std::vector<std::int64_t> sizes{packed.size(0)};
      sizes.insert(sizes.end(), shapes_[i].begin(), shapes_[i].end());
      tensors.push_back(packed.narrow(1, begin, sizes_[i]).reshape(sizes));
      begin += sizes_[i];
    }
    return tensors;
  }

  /// Their shapes, without the batch.
  const std::vector<std::vector<std::int64_t>>& shapes() const noexcept { return shapes_; }

  /// How many values each part has.
  const std::vector<std::int64_t>& sizes() const noexcept { return sizes_; }

 private:
  std::string described(std::size_t i) const {
    std::string text = "(N";
    for (const std::int64_t size : shapes_[i]) text += detail::concat(", ", size);
    return text + ")";
  }

  std::vector<std::vector<std::int64_t>> shapes_;
  std::vector<std::int64_t> sizes_;
  std::int64_t total_ = 0;
};

}  // namespace salience
