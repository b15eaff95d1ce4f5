// What the tensor layers share: printing a shape, and making a tensor without LibTorch's big headers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_ops.h>

#include <salience/error.hpp>

namespace salience::detail {

/// "(1, 3, 224, 224)"
inline std::string shape(const at::Tensor& tensor) {
  if (!tensor.defined()) return "(undefined)";
  std::string text = "(";
  for (std::int64_t i = 0; i < tensor.dim(); ++i) text += concat(i ? ", " : "", tensor.size(i));
  return text + ")";
}

/// An uninitialised contiguous CPU tensor.
inline at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype) {
  const std::vector<c10::SymInt> symbolic(sizes.begin(), sizes.end());
  return at::_ops::empty_memory_format::call(symbolic, dtype, {}, at::Device(at::kCPU), {}, {});
}

/// A CPU tensor of shape (values...).
template <class Scalar>
at::Tensor vector_tensor(at::ArrayRef<Scalar> values) {
  at::Tensor tensor =
      empty({static_cast<std::int64_t>(values.size())}, c10::CppTypeToScalarType<Scalar>::value);
  std::copy(values.begin(), values.end(), tensor.data_ptr<Scalar>());
  return tensor;
}

}  // namespace salience::detail
