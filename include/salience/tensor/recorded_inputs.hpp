// The arguments of an operator that LibTorch tells a callback of.
#pragma once

#include <algorithm>

#include <ATen/record_function.h>

namespace salience::detail {

/// LibTorch's own `inputs()` first asserts a flag that exists only in builds without NDEBUG, of which
/// LibTorch itself is none: nothing ever sets it. So the member itself is read, to which an explicit
/// instantiation has access.
struct RecordedInputs {
  friend c10::ArrayRef<const c10::IValue> inputs_of(RecordedInputs, const at::RecordFunction& function);
};
template <auto member>
struct InputsBy {
  friend c10::ArrayRef<const c10::IValue> inputs_of(RecordedInputs, const at::RecordFunction& function) {
    return function.*member;
  }
};
template struct InputsBy<&at::RecordFunction::inputs_>;

/// The arguments of the operator. Where TorchScript's interpreter calls one, LibTorch tells of its whole
/// stack, at whose end they are.
inline c10::ArrayRef<const c10::IValue> arguments_of(const at::RecordFunction& function) {
  const c10::ArrayRef<const c10::IValue> inputs = inputs_of(RecordedInputs{}, function);
  return inputs.slice(inputs.size() - std::min(inputs.size(), function.num_inputs()));
}

}  // namespace salience::detail
