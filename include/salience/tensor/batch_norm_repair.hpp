// BatchNormRepair: LibTorch's CPU gradient of batch normalisation, where that is wrong.
#pragma once

#include <optional>
#include <utility>

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/native_batch_norm_backward_ops.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

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

/// Where LibTorch is told to come here first, on threads that ask for it. Of the keys that it leaves to
/// others this one is used by its own tests alone.
inline constexpr c10::DispatchKey repair_key = c10::DispatchKey::TESTING_ONLY_GenericMode;

template <class Schema>
struct BatchNormBackward;

/// The operator's own gradient, given what comes in where the kernel can read it.
template <class Result, class... Rest>
struct BatchNormBackward<Result(const at::Tensor&, const at::Tensor&, Rest...)> {
  static Result call(const at::Tensor& gradient, const at::Tensor& input, Rest... rest) {
    const c10::impl::ExcludeDispatchKeyGuard to_the_operator(repair_key);
    const auto layout = misread(gradient, input);
    return at::_ops::native_batch_norm_backward::call(layout ? gradient.contiguous(*layout) : gradient, input,
                                                      rest...);
  }
};

/// Registers the above for as long as the process lives; all other operators pass the key over, which costs
/// them nothing.
inline void register_batch_norm_repair() {
  static const auto registered = [] {
    auto& dispatcher = c10::Dispatcher::singleton();
    auto others = dispatcher.registerFallback(repair_key, c10::KernelFunction::makeFallthrough(), "salience");
    auto own =
        dispatcher.registerImpl({"aten::native_batch_norm_backward", ""}, repair_key,
                                c10::KernelFunction::makeFromUnboxedRuntimeFunction(
                                    &BatchNormBackward<at::_ops::native_batch_norm_backward::schema>::call),
                                {}, nullptr, "salience");
    return std::pair(std::move(others), std::move(own));
  }();
  (void)registered;
}

/// As long as it lives, gradients of batch_norm and instance_norm that this thread asks for are right.
class BatchNormRepair {
 public:
  BatchNormRepair() { register_batch_norm_repair(); }
  BatchNormRepair(const BatchNormRepair&) = delete;
  BatchNormRepair& operator=(const BatchNormRepair&) = delete;
  ~BatchNormRepair() = default;

 private:
  c10::impl::IncludeDispatchKeyGuard included_{repair_key};
};

}  // namespace salience::detail
