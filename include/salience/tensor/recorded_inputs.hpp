// The arguments of an operator that LibTorch tells a callback of.
#pragma once

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

}  // namespace salience::detail
