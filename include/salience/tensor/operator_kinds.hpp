// LibTorch's operators by what they do to the dimensions of a tensor.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace salience::detail {

/// "aten::relu" for "aten::relu_", which is the same in place.
inline std::string_view out_of_place(std::string_view kind) {
  return kind.ends_with('_') && !kind.ends_with("__") ? kind.substr(0, kind.size() - 1) : kind;
}

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& kinds, std::string_view kind) {
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

/// A trace has _convolution, a script has conv2d.
inline bool is_convolution(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::_convolution", "aten::convolution",
                                                   "aten::_convolution_mode", "aten::conv1d", "aten::conv2d",
                                                   "aten::conv3d", "aten::conv_transpose1d",
                                                   "aten::conv_transpose2d", "aten::conv_transpose3d"}),
                  kind);
}

/// Over how many dimensions a convolution of this name moves; 0 if the name does not say it.
inline std::int64_t spatial_of(std::string_view kind) {
  if (kind.ends_with("1d")) return 1;
  if (kind.ends_with("2d")) return 2;
  return kind.ends_with("3d") ? 3 : 0;
}

/// Of which each element of the result belongs to the same place of every operand.
inline bool is_elementwise(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::abs",
                                                   "aten::add",
                                                   "aten::addcdiv",
                                                   "aten::addcmul",
                                                   "aten::alias",
                                                   "aten::atan",
                                                   "aten::bernoulli",
                                                   "aten::celu",
                                                   "aten::clamp",
                                                   "aten::clamp_max",
                                                   "aten::clamp_min",
                                                   "aten::clip",
                                                   "aten::clone",
                                                   "aten::contiguous",
                                                   "aten::copy",
                                                   "aten::cos",
                                                   "aten::detach",
                                                   "aten::div",
                                                   "aten::divide",
                                                   "aten::double",
                                                   "aten::dropout",
                                                   "aten::elu",
                                                   "aten::erf",
                                                   "aten::exp",
                                                   "aten::float",
                                                   "aten::floor",
                                                   "aten::gelu",
                                                   "aten::half",
                                                   "aten::hardshrink",
                                                   "aten::hardsigmoid",
                                                   "aten::hardswish",
                                                   "aten::hardtanh",
                                                   "aten::leaky_relu",
                                                   "aten::lerp",
                                                   "aten::log",
                                                   "aten::log_sigmoid",
                                                   "aten::log_softmax",
                                                   "aten::masked_fill",
                                                   "aten::maximum",
                                                   "aten::minimum",
                                                   "aten::mish",
                                                   "aten::mul",
                                                   "aten::multiply",
                                                   "aten::nan_to_num",
                                                   "aten::neg",
                                                   "aten::pow",
                                                   "aten::prelu",
                                                   "aten::reciprocal",
                                                   "aten::relu",
                                                   "aten::relu6",
                                                   "aten::round",
                                                   "aten::rrelu",
                                                   "aten::rsqrt",
                                                   "aten::rsub",
                                                   "aten::selu",
                                                   "aten::sigmoid",
                                                   "aten::sign",
                                                   "aten::silu",
                                                   "aten::sin",
                                                   "aten::softmax",
                                                   "aten::softplus",
                                                   "aten::softshrink",
                                                   "aten::softsign",
                                                   "aten::sqrt",
                                                   "aten::square",
                                                   "aten::sub",
                                                   "aten::subtract",
                                                   "aten::tanh",
                                                   "aten::threshold",
                                                   "aten::to",
                                                   "aten::true_divide",
                                                   "aten::type_as",
                                                   "aten::where",
                                                   "aten::zero",
                                                   "aten::feature_dropout",
                                                   "aten::alpha_dropout",
                                                   "aten::feature_alpha_dropout"}),
                  kind);
}

/// Which have a number for each channel and find the channels in the second dimension.
inline bool is_channel_norm(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::batch_norm", "aten::instance_norm",
                                                   "aten::group_norm", "aten::native_batch_norm",
                                                   "aten::native_group_norm", "aten::cudnn_batch_norm"}),
                  kind);
}

/// Which take the last dimensions for one vector.
inline bool is_last_norm(std::string_view kind) {
  return contains(
      std::to_array<std::string_view>({"aten::layer_norm", "aten::native_layer_norm", "aten::rms_norm"}),
      kind);
}

/// Which change sizes, but not what a dimension stands for.
inline bool keeps_dimensions(std::string_view kind) {
  return contains(
             std::to_array<std::string_view>(
                 {"aten::channel_shuffle", "aten::constant_pad_nd", "aten::cumsum", "aten::flip", "aten::glu",
                  "aten::grid_sampler", "aten::grid_sampler_2d", "aten::local_response_norm", "aten::pad",
                  "aten::pixel_shuffle", "aten::pixel_unshuffle", "aten::roll"}),
             kind) ||
         (kind.starts_with("aten::") &&
          (kind.find("_pool") != std::string_view::npos || kind.find("ion_pad") != std::string_view::npos ||
           kind.find("upsample_") != std::string_view::npos));
}

/// Which take a part along the dimension that is their second argument.
inline bool is_part(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::slice", "aten::narrow", "aten::index_select"}),
                  kind);
}

/// Which give a list of parts along the dimension that is their third argument.
inline bool is_parts(std::string_view kind) {
  return contains(
      std::to_array<std::string_view>({"aten::chunk", "aten::unsafe_chunk", "aten::split",
                                       "aten::unsafe_split", "aten::split_with_sizes", "aten::tensor_split"}),
      kind);
}

inline bool is_mean(std::string_view kind) {
  return contains(std::to_array<std::string_view>(
                      {"aten::mean", "aten::sum", "aten::amax", "aten::amin", "aten::logsumexp"}),
                  kind);
}

inline bool is_cat(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::cat", "aten::concat", "aten::concatenate"}), kind);
}

inline bool is_reshape(std::string_view kind) {
  return contains(std::to_array<std::string_view>(
                      {"aten::view", "aten::reshape", "aten::_unsafe_view", "aten::_reshape_alias"}),
                  kind);
}

inline bool is_transpose(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::transpose", "aten::swapaxes", "aten::swapdims"}),
                  kind);
}

/// Which compute attention, or a whole block of it.
inline bool is_attention(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::scaled_dot_product_attention",
                                                   "aten::_native_multi_head_attention",
                                                   "aten::_transformer_encoder_layer_fwd"}),
                  kind) ||
         kind.starts_with("aten::_scaled_dot_product");
}

inline bool is_product(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::matmul", "aten::bmm", "aten::mm"}), kind);
}

}  // namespace salience::detail
