// BatchNormRepair: LibTorch's CPU gradient of batch normalisation, where that is wrong.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/native_batch_norm_backward_ops.h>
#include <ATen/record_function.h>

#include <salience/detail/recorded_inputs.hpp>

namespace salience::detail {

/// The layout in which LibTorch's CPU kernel takes a tensor to lie, the first of these that fits; nothing if
/// none does.
inline std::optional<at::MemoryFormat> dense_layout(const at::Tensor& tensor) {
  for (const auto format :
       {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast, at::MemoryFormat::ChannelsLast3d}) {
    if (tensor.is_contiguous(format)) return format;
  }
  return std::nullopt;
}

/// The layout in which an incoming gradient must lie for LibTorch's CPU kernel to read it, where it lies in
/// another; nothing where all is well. If input and gradient are dense and `suggest_memory_format` says the
/// same of both, the kernel goes over both in the input's layout. But that function looks at the stride of a
/// dimension of size one, which means nothing: after `flatten(2).transpose(1, 2)` the channels-last gradient
/// of one sample counts as contiguous.
inline std::optional<at::MemoryFormat> misread(const at::Tensor& gradient, const at::Tensor& input) {
  if (!gradient.defined() || !input.is_cpu() || gradient.layout() != at::kStrided) return std::nullopt;
  const auto layout = dense_layout(input);
  if (!layout || gradient.is_contiguous(*layout) || !dense_layout(gradient) ||
      gradient.suggest_memory_format() != input.suggest_memory_format())
    return std::nullopt;
  return layout;
}

/// As long as it lives, gradients of batch_norm and instance_norm that this thread computes are right.
/// LibTorch tells a callback of each operator; where its kernel misread the incoming gradient, the operator
/// runs once more with that gradient in the input's layout, and what it gives replaces the result.
class BatchNormRepair {
 public:
  BatchNormRepair() : handle_(at::addThreadLocalCallback(callback())) {}
  BatchNormRepair(const BatchNormRepair&) = delete;
  BatchNormRepair& operator=(const BatchNormRepair&) = delete;
  ~BatchNormRepair() { at::removeCallback(handle_); }

 private:
  struct Misread : at::ObserverContext {
    Misread(c10::ArrayRef<const c10::IValue> all, at::MemoryFormat wanted)
        : inputs(all.begin(), all.end()), layout(wanted) {}

    std::vector<c10::IValue> inputs;
    at::MemoryFormat layout;
  };

  static std::unique_ptr<at::ObserverContext> before(const at::RecordFunction& function) {
    if (std::string_view(function.name()) != "aten::native_batch_norm_backward") return nullptr;
    const auto inputs = inputs_of(RecordedInputs{}, function);
    const auto layout = misread(inputs[0].toTensor(), inputs[1].toTensor());
    return layout ? std::make_unique<Misread>(inputs, *layout) : nullptr;
  }

  static void after(const at::RecordFunction& function, at::ObserverContext* context) {
    if (!context) return;
    const at::DisableRecordFunctionGuard no_recursion;
    const auto* const wrong = static_cast<const Misread*>(context);
    const std::vector<c10::IValue>& in = wrong->inputs;
    const auto tensor = [&in](std::size_t i) { return in[i].toOptional<at::Tensor>(); };
    const c10::List<bool> wanted = in[9].toBoolList();
    const auto [input, weight, bias] = at::_ops::native_batch_norm_backward::call(
        in[0].toTensor().contiguous(wrong->layout), in[1].toTensor(), tensor(2), tensor(3), tensor(4),
        tensor(5), tensor(6), in[7].toBool(), in[8].toDouble(), {wanted[0], wanted[1], wanted[2]});
    const std::array right{input, weight, bias};
    for (std::size_t i = 0; i < right.size(); ++i) {
      const at::Tensor output = function.outputs()[i].toTensor();
      if (output.defined()) output.copy_(right[i]);
    }
  }

  static at::RecordFunctionCallback callback() {
    return at::RecordFunctionCallback(before, after)
        .needsInputs(true)
        .needsOutputs(true)
        .scopes({at::RecordScope::FUNCTION});
  }

  at::RecordFunctionGuard enabled_{true};  // the thread may have switched recording off
  at::CallbackHandle handle_;
};

}  // namespace salience::detail
