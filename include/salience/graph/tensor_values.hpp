// The tensors among the inputs of an operator.
#pragma once

#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include <torch/script.h>

namespace salience::detail {

/// The tensors among values, also those in lists, in their order.
inline std::vector<at::Tensor> tensors_in(c10::ArrayRef<c10::IValue> values) {
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& value : values) {
    if (value.isTensor()) tensors.push_back(value.toTensor());
    if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(tensor);
    }
  }
  return tensors;
}

/// The same values with other tensors: `change(tensor, i)` is put in the place of the i-th of tensors_in.
template <class Change>
torch::jit::Stack with_tensors(c10::ArrayRef<c10::IValue> values, const Change& change) {
  torch::jit::Stack result;
  std::size_t i = 0;
  for (const c10::IValue& value : values) {
    if (value.isTensor()) {
      result.emplace_back(change(value.toTensor(), i++));
    } else if (value.isTensorList()) {
      std::vector<at::Tensor> tensors;
      for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(change(tensor, i++));
      result.emplace_back(std::move(tensors));
    } else {
      result.push_back(value);
    }
  }
  return result;
}

/// The epsilon that a norm takes of a type where none is given.
inline double epsilon_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                             : static_cast<double>(std::numeric_limits<float>::epsilon());
}

inline torch::jit::Stack detached(c10::ArrayRef<c10::IValue> values) {
  return with_tensors(values, [](const at::Tensor& tensor, std::size_t) {
    return tensor.defined() ? tensor.detach() : tensor;
  });
}

}  // namespace salience::detail
