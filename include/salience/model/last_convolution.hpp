// LastConvolution: finds the convolutions of any model while it runs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <c10/util/Exception.h>

#include <salience/error.hpp>
#include <salience/model/concepts.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/tensor/channel_place.hpp>

namespace salience {

namespace detail {

/// Has the outputs of all convolutions that this thread runs, as long as it lives.
///
/// LibTorch calls a callback for each operator. The model goes on with the output tensor of a convolution, so
/// an activation in place would overwrite it. Therefore the output is cloned, the clone is copied back into
/// it, and the clone, which nothing else refers to, is kept: the autograd graph then leads through it.
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
  /// Whether the last convolution is the first one too, and attention follows.
  bool only_embeds() const noexcept { return outputs_.size() == 1 && attention_; }

 private:
  static ConvolutionRecorder*& current() {
    thread_local ConvolutionRecorder* recorder = nullptr;
    return recorder;
  }

  static at::RecordFunctionCallback callback() {
    const auto begin = [](const at::RecordFunction&) -> std::unique_ptr<at::ObserverContext> {
      return nullptr;
    };
    const auto end = [](const at::RecordFunction& function, at::ObserverContext*) {
      const std::string_view kind = function.name();
      current()->look_for_attention(kind);
      if (kind != "aten::convolution" || function.outputs().empty()) return;
      const at::DisableRecordFunctionGuard no_recursion;
      at::Tensor output = function.outputs().front().toTensor();
      const at::Tensor kept = output.clone();
      if (kept.requires_grad()) output.copy_(kept);
      current()->outputs_.push_back(kept);
    };
    return at::RecordFunctionCallback(begin, end).needsOutputs(true).scopes({at::RecordScope::FUNCTION});
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
  bool softmax_ = false, attention_ = false;
};

}  // namespace detail

/// Any Model as a LayeredModel whose layers are its convolutions: a lambda, a `torch::nn` module. They are
/// seen as LibTorch runs them, in the order of execution: "convolution.0", "convolution.1" and so on; the
/// empty name is the last one with more than one position, or the last if there is no such. In a network
/// whose last block has a convolution in its shortcut that may be the shortcut's: name the other by number.
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
    for (const std::string& layer : layers) result.layers.push_back(named(layer, recorder.outputs()));
    result.channels.assign(layers.size(), ChannelAxis::first);
    if (recorder.only_embeds() && std::find(layers.begin(), layers.end(), "") != layers.end()) {
      TORCH_WARN(
          "Salience: the last convolution is also the first one, as the patch embedding of a vision "
          "transformer is, so the map shows little of what the model does; to look at a layer of tokens, "
          "give FeaturesHead{features, head} the blocks up to the last but one");
    }
    return result;
  }

 private:
  static at::Tensor named(const std::string& layer, const std::vector<at::Tensor>& outputs) {
    if (outputs.empty()) throw ModelError("the model ran no convolution: there is no layer to look at");
    if (layer.empty()) {
      const auto has_grid = [](const at::Tensor& output) {
        const at::IntArrayRef sizes = output.sizes();
        return std::any_of(sizes.begin() + std::min<std::ptrdiff_t>(2, output.dim()), sizes.end(),
                           [](std::int64_t size) { return size > 1; });
      };
      const auto last = std::find_if(outputs.rbegin(), outputs.rend(), has_grid);
      return last == outputs.rend() ? outputs.back() : *last;
    }
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
