// What the tensor layers share: printing a shape, making a tensor without LibTorch's big headers, reading its
// errors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_ops.h>
#include <c10/util/Exception.h>

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

/// An uninitialised (count, ...) tensor of samples like this one.
inline at::Tensor batch_like(const at::Tensor& sample, std::size_t count) {
  std::vector<std::int64_t> sizes = sample.sizes().vec();
  sizes.insert(sizes.begin(), static_cast<std::int64_t>(count));
  return sample.new_empty(sizes);
}

/// In float32 at least.
inline at::Tensor widened(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? tensor : tensor.to(at::kFloat);
}

inline bool all_finite(const at::Tensor& tensor) {
  // A sum is finite only if all values are, and takes a fiftieth of the time of looking at each.
  if (tensor.is_floating_point() && std::isfinite(tensor.sum().item<double>())) return true;
  return tensor.isfinite().all().item<bool>();
}

/// The last line with text of what LibTorch or the interpreter says, without its stack of frames: that is
/// where the cause stands.
inline std::string first_cause(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text = torch_error ? torch_error->what_without_backtrace() : error.what();
  // "RuntimeError: <cause>" ends the interpreter's message, after the TorchScript traceback.
  const std::size_t traced = text.rfind("Error: ");
  std::string cause =
      text.substr(traced == std::string::npos ? 0 : traced + std::string_view("Error: ").size());
  const std::size_t frames = cause.find("\nException raised from");
  if (frames != std::string::npos) cause.resize(frames);
  while (!cause.empty() && (cause.back() == '\n' || cause.back() == ' ')) cause.pop_back();
  if (cause.empty()) return "an exception without a message";
  const std::size_t line = cause.find('\n');
  return line == std::string::npos ? cause : cause.substr(0, line);
}

}  // namespace salience::detail
