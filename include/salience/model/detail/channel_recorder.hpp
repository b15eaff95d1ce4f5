// Where the channels of tensors are, seen while a model runs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <salience/model/layered_model.hpp>
#include <salience/tensor/channel_place.hpp>
#include <salience/tensor/recorded_inputs.hpp>

namespace salience::detail {

/// Follows the channels through all operators that this thread runs, as long as it lives: LibTorch tells a
/// callback of each. Of tensors that an operator gives which is not known, it knows nothing.
class ChannelRecorder {
 public:
  /// `input` is what the model is given: pictures (N, C, H, W), volumes (N, C, D, H, W), or something else;
  /// three dimensions may be signals (N, C, L) or sequences (N, T, C).
  explicit ChannelRecorder(const at::Tensor& input) : outer_(current()) {
    // Inside of another recorder's life its callback is there already, and it has seen more.
    if (!outer_) {
      current() = this;
      handle_ = at::addThreadLocalCallback(callback());
    }
    const bool grid = input.dim() == 4 || input.dim() == 5;
    current()->keep(input, {true, input.dim(), grid ? std::optional<std::int64_t>(1) : std::nullopt, 0});
  }
  ChannelRecorder(const ChannelRecorder&) = delete;
  ChannelRecorder& operator=(const ChannelRecorder&) = delete;
  ~ChannelRecorder() {
    if (outer_) return;
    at::removeCallback(handle_);
    current() = nullptr;
  }

  /// Where the channels of a tensor are that an operator gave.
  ChannelAxis axis(const at::Tensor& tensor) const { return axis_of(current()->of(tensor)); }

 private:
  using Weak = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

  /// What an operator will give, as known before it runs.
  struct Expected : at::ObserverContext {
    explicit Expected(const ChannelPlace& expected) : place(expected) {}
    ChannelPlace place;
  };

  /// An operator's arguments, as channels_after asks for them.
  struct Arguments {
    const ChannelRecorder& recorder;
    std::string_view kind;
    c10::ArrayRef<const c10::IValue> inputs;

    ChannelPlace place(std::size_t i) const {
      ChannelPlace result;
      if (i >= inputs.size()) return result;
      if (inputs[i].isTensor()) return recorder.of(inputs[i].toTensor());
      if (!inputs[i].isTensorList()) return result;
      for (const at::Tensor& tensor : inputs[i].toTensorVector()) result = both(result, recorder.of(tensor));
      return result;
    }
    ChannelPlace all() const {
      ChannelPlace result;
      for (std::size_t i = 0; i < inputs.size(); ++i) result = both(result, place(i));
      return result;
    }
    std::optional<std::int64_t> integer(std::size_t i) const {
      return i < inputs.size() && inputs[i].isInt() ? std::optional(inputs[i].toInt()) : std::nullopt;
    }
    std::optional<bool> flag(std::size_t i) const {
      return i < inputs.size() && inputs[i].isBool() ? std::optional(inputs[i].toBool()) : std::nullopt;
    }
    std::optional<std::vector<std::int64_t>> integers(std::size_t i) const {
      return i < inputs.size() && inputs[i].isIntList() ? std::optional(inputs[i].toIntVector())
                                                        : std::nullopt;
    }
    std::int64_t length(std::size_t i) const {
      const auto known = integers(i);
      return known ? std::ssize(*known) : 0;
    }
    bool keeps(std::size_t i, std::int64_t dimension, std::int64_t position) const {
      const at::Tensor& input = inputs[0].toTensor();
      const std::vector<std::int64_t> sizes = integers(i).value();
      std::int64_t size = sizes.at(static_cast<std::size_t>(position));
      if (size < 0) {  // what is left
        size = input.numel();
        for (const std::int64_t other : sizes) size /= std::max<std::int64_t>(other, 1);
      }
      return size == input.size(dimension);
    }
    std::int64_t spatial() const {
      const std::int64_t named = spatial_of(kind);
      return named > 0 ? named : inputs[0].toTensor().dim() - 2;
    }
    std::int64_t channels() const { return 0; }  // the tensor itself will say it
  };

  static ChannelRecorder*& current() {
    thread_local ChannelRecorder* recorder = nullptr;
    return recorder;
  }

  static at::RecordFunctionCallback callback() {
    const auto begin = [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
      const Arguments in{*current(), function.name(), arguments_of(function)};
      if (!in.all().data) return nullptr;
      return std::make_unique<Expected>(channels_after(in.kind, in));
    };
    const auto end = [](const at::RecordFunction& function, at::ObserverContext* context) {
      if (!context) return;
      const ChannelPlace place = static_cast<Expected*>(context)->place;
      const std::string_view kind = function.name();
      const bool in_place = out_of_place(kind) != kind;
      bool first = true;
      const auto take = [&](const at::Tensor& tensor) {
        if (!tensor.defined()) return;
        // Of what is not known, the operators that it is made of have told more.
        if (place.channel && first)
          current()->keep(tensor, place);
        else if (in_place || !current()->of(tensor).data)
          current()->keep(tensor, {.data = true});
      };
      for (const c10::IValue& output : function.outputs()) {
        if (output.isTensor()) take(output.toTensor());
        if (output.isTensorList()) {
          for (const at::Tensor& tensor : output.toTensorVector()) take(tensor);
        }
        first = false;
      }
    };
    return at::RecordFunctionCallback(begin, end)
        .needsInputs(true)
        .needsOutputs(true)
        .scopes({at::RecordScope::FUNCTION});
  }

  ChannelPlace of(const at::Tensor& tensor) const {
    const auto known = places_.find(tensor.unsafeGetTensorImpl());
    return known == places_.end() ? ChannelPlace{} : known->second.second;
  }

  void keep(const at::Tensor& tensor, ChannelPlace place) {
    const bool possible = place.rank == 0 || place.rank == tensor.dim();
    place.rank = tensor.dim();
    place = place.with(possible ? place.channel : std::nullopt, 0);
    if (place.channel && 0 <= *place.channel && *place.channel < tensor.dim()) {
      place.count = tensor.size(*place.channel);
    } else {
      place.channel.reset();
    }
    places_.insert_or_assign(tensor.unsafeGetTensorImpl(), std::pair(Weak(tensor.getIntrusivePtr()), place));
  }

  ChannelRecorder* outer_;
  at::RecordFunctionGuard enabled_{true};  // the thread may have switched recording off
  at::CallbackHandle handle_ = 0;
  /// The weak pointer keeps the address from being used again, and none of the tensor's memory.
  std::unordered_map<const c10::TensorImpl*, std::pair<Weak, ChannelPlace>> places_;
};

}  // namespace salience::detail
