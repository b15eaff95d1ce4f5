// LastConvolution: finds the convolutions of any model while it runs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>
#include <c10/core/Storage.h>
#include <c10/util/Exception.h>

#include <salience/error.hpp>
#include <salience/model/concepts.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/tensor/channel_place.hpp>
#include <salience/tensor/last_convolution_rule.hpp>
#include <salience/tensor/recorded_inputs.hpp>

namespace salience {

namespace detail {

/// Has the outputs of all convolutions that this thread runs, as long as it lives.
///
/// LibTorch calls a callback for each operator. The model goes on with the output tensor of a convolution, so
/// an activation in place would overwrite it. Therefore the output is cloned, the clone is copied back into
/// it, and the clone, which nothing else refers to, is kept: the autograd graph then leads through it.
///
/// Through all operators it follows how many convolutions the data went through, by the memory that they lie
/// in: views, and the copies without a history that TorchScript's executor makes, are the same data.
class ConvolutionRecorder {
 public:
  ConvolutionRecorder() : outer_(current()) {
    current() = this;
    // Inside of another recorder's life the callback is there already.
    if (!outer_) handle_ = at::addThreadLocalCallback(callback());
  }
  ConvolutionRecorder(const ConvolutionRecorder&) = delete;
  ConvolutionRecorder& operator=(const ConvolutionRecorder&) = delete;
  ~ConvolutionRecorder() {
    if (!outer_) at::removeCallback(handle_);
    current() = outer_;
  }

  const std::vector<at::Tensor>& outputs() const noexcept { return outputs_; }
  /// Of each of them: see last_convolution.
  const std::vector<std::int64_t>& depths() const noexcept { return depths_; }
  /// Whether the last convolution is the first one too, and attention follows.
  bool only_embeds() const noexcept { return outputs_.size() == 1 && attention_; }

 private:
  /// Of what an operator is given.
  struct Depth : at::ObserverContext {
    explicit Depth(std::int64_t deepest) : depth(deepest) {}
    std::int64_t depth;
  };

  static ConvolutionRecorder*& current() {
    thread_local ConvolutionRecorder* recorder = nullptr;
    return recorder;
  }

  static at::RecordFunctionCallback callback() {
    const auto begin = [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
      std::int64_t depth = 0;
      for (const c10::IValue& input : arguments_of(function)) {
        depth = std::max(depth, current()->depth_of(input));
      }
      return depth > 0 ? std::make_unique<Depth>(depth) : nullptr;
    };
    const auto end = [](const at::RecordFunction& function, at::ObserverContext* context) {
      std::int64_t depth = context ? static_cast<const Depth*>(context)->depth : 0;
      const std::string_view kind = function.name();
      current()->look_for_attention(kind);
      if (kind == "aten::convolution" && !function.outputs().empty()) {
        const at::DisableRecordFunctionGuard no_recursion;
        at::Tensor output = function.outputs().front().toTensor();
        const at::Tensor kept = output.clone();
        if (kept.requires_grad()) output.copy_(kept);
        current()->outputs_.push_back(kept);
        current()->depths_.push_back(++depth);
      }
      if (depth > 0) {
        for (const c10::IValue& output : function.outputs()) current()->deepen(output, depth);
      }
    };
    return at::RecordFunctionCallback(begin, end)
        .needsInputs(true)
        .needsOutputs(true)
        .scopes({at::RecordScope::FUNCTION});
  }

  std::int64_t depth_of(const at::Tensor& tensor) const {
    const auto known = deep_.find(tensor.storage().unsafeGetStorageImpl());
    return known == deep_.end() ? 0 : known->second.second;
  }

  std::int64_t depth_of(const c10::IValue& value) const {
    std::int64_t depth = 0;
    each_tensor(value, [&](const at::Tensor& tensor) { depth = std::max(depth, depth_of(tensor)); });
    return depth;
  }

  /// The operators that an operator is made of may have told of a greater depth.
  void deepen(const c10::IValue& value, std::int64_t depth) {
    each_tensor(value, [&](const at::Tensor& tensor) {
      if (depth_of(tensor) >= depth) return;
      const c10::Storage& memory = tensor.storage();
      deep_.insert_or_assign(memory.unsafeGetStorageImpl(), std::pair(memory.getWeakStorageImpl(), depth));
    });
  }

  template <class Visit>
  static void each_tensor(const c10::IValue& value, const Visit& visit) {
    const auto visit_one = [&visit](const at::Tensor& tensor) {
      if (tensor.defined() && tensor.has_storage()) visit(tensor);
    };
    if (value.isTensor()) visit_one(value.toTensor());
    if (!value.isTensorList()) return;
    for (const at::Tensor& tensor : value.toTensorVector()) visit_one(tensor);
  }

  /// A product behind a softmax is attention too.
  void look_for_attention(std::string_view kind) {
    if (outputs_.empty()) return;
    attention_ = attention_ || is_attention(kind) || (softmax_ && is_product(kind));
    softmax_ = softmax_ || kind == "aten::softmax";
  }

  ConvolutionRecorder* outer_;
  at::RecordFunctionGuard enabled_{true};  // the thread may have switched recording off
  at::CallbackHandle handle_ = 0;
  std::vector<at::Tensor> outputs_;
  std::vector<std::int64_t> depths_;
  /// The depth of the data in a memory. The weak pointer keeps the address from being used again, and not the
  /// memory itself.
  std::unordered_map<const c10::StorageImpl*,
                     std::pair<c10::weak_intrusive_ptr<c10::StorageImpl>, std::int64_t>>
      deep_;
  bool softmax_ = false, attention_ = false;
};

}  // namespace detail

/// Any Model as a LayeredModel whose layers are its convolutions: a lambda, a `torch::nn` module. They are
/// seen as LibTorch runs them, in the order of execution: "convolution.0", "convolution.1" and so on. The
/// empty name is, as in a ScriptModel, the one with more than one position that the longest chain of
/// convolutions ends with, and of several the one that ran last: not the shortcut of a residual block, and
/// not what follows a pooling to one position, unless there is no other.
///
///     GradCam cam{LastConvolution{net}};
///
/// It holds a copy of the model, see FeaturesHead. Convolutions that a model runs on threads of its own are
/// not seen, and none is on a custom backend that LibTorch's `aten::convolution` does not dispatch to.
template <class M>
class LastConvolution {
 public:
  /// Of any Model.
  explicit LastConvolution(M model) : model_(std::move(model)) { detail::require_model<M>(); }

  /// What the model gives.
  at::Tensor operator()(const at::Tensor& input) const { return detail::call(model_, input); }

  /// Throws ArgumentError for a name that no convolution has, ModelError if the model runs none.
  Tapped tapped(const at::Tensor& input, std::span<const std::string> layers) const {
    if (layers.empty()) return {(*this)(input), {}};
    const detail::ConvolutionRecorder recorder;
    Tapped result{(*this)(input), {}};
    for (const std::string& layer : layers) result.layers.push_back(named(layer, recorder));
    result.channels.assign(layers.size(), ChannelAxis::first);
    if (recorder.only_embeds() && std::find(layers.begin(), layers.end(), "") != layers.end()) {
      TORCH_WARN(
          "Salience: the last convolution is also the first one, as the patch embedding of a vision "
          "transformer is, so the map shows little of what the model does; to look at a layer of tokens, "
          "give FeaturesHead{features, head} the blocks up to the last but one");
    }
    return result;
  }

  /// See SampleAwareModel.
  auto for_samples(const at::Tensor& samples) const requires SampleAwareModel<M> {
    using Part = decltype(detail::for_samples(model_, samples));
    return LastConvolution<Part>(detail::for_samples(model_, samples));
  }

 private:
  static at::Tensor named(const std::string& layer, const detail::ConvolutionRecorder& recorder) {
    const std::vector<at::Tensor>& outputs = recorder.outputs();
    if (outputs.empty()) throw ModelError("the model ran no convolution: there is no layer to look at");
    if (layer.empty()) return outputs[detail::last_convolution(outputs, recorder.depths())];
    std::vector<std::string> names;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      names.push_back(detail::concat("convolution.", i));
      if (names.back() == layer) return outputs[i];
    }
    throw ArgumentError::unknown_name("layer", layer, names);
  }

  mutable M model_;  // a model's call operator may be non-const
};

}  // namespace salience
