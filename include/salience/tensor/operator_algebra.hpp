// LibTorch's operators by what they do to numbers: what the rules of relevance methods ask.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include <salience/tensor/operator_kinds.hpp>

namespace salience::detail {

/// Which give each number of their (first) input on, or a constant: they move, repeat, join or convert.
inline bool moves_numbers(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::_conj",
                                                   "aten::_unwrap_optional",
                                                   "aten::alias",
                                                   "aten::as_strided",
                                                   "aten::atleast_1d",
                                                   "aten::atleast_2d",
                                                   "aten::atleast_3d",
                                                   "aten::bfloat16",
                                                   "aten::broadcast_to",
                                                   "aten::cat",
                                                   "aten::channel_shuffle",
                                                   "aten::chunk",
                                                   "aten::clone",
                                                   "aten::fill",
                                                   "aten::concat",
                                                   "aten::concatenate",
                                                   "aten::constant_pad_nd",
                                                   "aten::contiguous",
                                                   "aten::copy",
                                                   "aten::copy_",
                                                   "aten::cpu",
                                                   "aten::cuda",
                                                   "aten::diag_embed",
                                                   "aten::diagonal",
                                                   "aten::double",
                                                   "aten::dropout",
                                                   "aten::dsplit",
                                                   "aten::dstack",
                                                   "aten::expand",
                                                   "aten::expand_as",
                                                   "aten::feature_dropout",
                                                   "aten::alpha_dropout",
                                                   "aten::feature_alpha_dropout",
                                                   "aten::fill_",
                                                   "aten::flatten",
                                                   "aten::flip",
                                                   "aten::fliplr",
                                                   "aten::flipud",
                                                   "aten::float",
                                                   "aten::gather",
                                                   "aten::half",
                                                   "aten::hsplit",
                                                   "aten::hstack",
                                                   "aten::im2col",
                                                   "aten::index",
                                                   "aten::index_select",
                                                   "aten::lift_fresh",
                                                   "aten::lift_fresh_copy",
                                                   "aten::masked_fill",
                                                   "aten::mH",
                                                   "aten::moveaxis",
                                                   "aten::movedim",
                                                   "aten::mT",
                                                   "aten::narrow",
                                                   "aten::native_channel_shuffle",
                                                   "aten::numpy_T",
                                                   "aten::pad",
                                                   "aten::permute",
                                                   "aten::pixel_shuffle",
                                                   "aten::pixel_unshuffle",
                                                   "aten::ravel",
                                                   "aten::reflection_pad1d",
                                                   "aten::reflection_pad2d",
                                                   "aten::reflection_pad3d",
                                                   "aten::repeat",
                                                   "aten::repeat_interleave",
                                                   "aten::replication_pad1d",
                                                   "aten::replication_pad2d",
                                                   "aten::replication_pad3d",
                                                   "aten::reshape",
                                                   "aten::reshape_as",
                                                   "aten::roll",
                                                   "aten::rot90",
                                                   "aten::scatter",
                                                   "aten::select",
                                                   "aten::select_copy",
                                                   "aten::select_scatter",
                                                   "aten::slice",
                                                   "aten::slice_scatter",
                                                   "aten::split",
                                                   "aten::split_with_sizes",
                                                   "aten::squeeze",
                                                   "aten::stack",
                                                   "aten::swapaxes",
                                                   "aten::swapdims",
                                                   "aten::t",
                                                   "aten::take_along_dim",
                                                   "aten::tensor_split",
                                                   "aten::tile",
                                                   "aten::to",
                                                   "aten::_to_copy",
                                                   "aten::transpose",
                                                   "aten::tril",
                                                   "aten::triu",
                                                   "aten::type_as",
                                                   "aten::unbind",
                                                   "aten::unflatten",
                                                   "aten::unfold",
                                                   "aten::unsafe_chunk",
                                                   "aten::unsafe_split",
                                                   "aten::unsafe_split_with_sizes",
                                                   "aten::unsqueeze",
                                                   "aten::view",
                                                   "aten::view_as",
                                                   "aten::vsplit",
                                                   "aten::vstack",
                                                   "aten::where",
                                                   "aten::zero",
                                                   "aten::zero_",
                                                   "aten::_reshape_alias",
                                                   "aten::_unsafe_view",
                                                   "aten::__getitem__",
                                                   "aten::append",
                                                   "aten::list",
                                                   "aten::broadcast_tensors",
                                                   "aten::to_dense",
                                                   "prim::unchecked_cast",
                                                   "prim::ListConstruct",
                                                   "prim::ListUnpack",
                                                   "prim::TupleConstruct",
                                                   "prim::TupleUnpack",
                                                   "prim::TupleIndex",
                                                   "prim::TupleSlice",
                                                   "prim::DictConstruct",
                                                   "prim::Print",
                                                   "prim::RaiseException",
                                                   "aten::values",
                                                   "aten::items",
                                                   "aten::__contains__",
                                                   "aten::_set_item"}),
                  kind);
}

/// Which are weighted sums of the numbers of their first input, with weights that no input gives.
inline bool sums_numbers(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::mean", "aten::sum", "aten::cumsum", "aten::trace",
                                                   "aten::sum_to_size", "aten::col2im", "aten::grid_sampler",
                                                   "aten::grid_sampler_2d", "aten::grid_sampler_3d"}),
                  kind) ||
         (kind.starts_with("aten::") && (kind.find("avg_pool") != std::string_view::npos ||
                                         kind.find("upsample_") != std::string_view::npos));
}

/// Which add their operands, perhaps with a factor.
inline bool adds_operands(std::string_view kind) {
  return contains(std::to_array<std::string_view>({"aten::add", "aten::sub", "aten::subtract", "aten::rsub",
                                                   "aten::neg", "aten::negative", "aten::lerp"}),
                  kind);
}

/// Which multiply their operands, number by number or as matrices, and may add one more: linear in each of
/// them, so that of a product of two the derivative at the middle is exact.
inline bool multiplies_operands(std::string_view kind) {
  return is_convolution(kind) ||
         contains(
             std::to_array<std::string_view>(
                 {"aten::linear",    "aten::addmm",   "aten::addmv",    "aten::addbmm", "aten::baddbmm",
                  "aten::mm",        "aten::mv",      "aten::bmm",      "aten::matmul", "aten::mul",
                  "aten::multiply",  "aten::dot",     "aten::inner",    "aten::outer",  "aten::einsum",
                  "aten::tensordot", "aten::addcmul", "aten::bilinear", "aten::square", "aten::linalg_matmul",
                  "aten::vdot",      "aten::kron"}),
             kind);
}

/// Which are a curve with a kink or a jump, number by number of the first input.
inline bool is_kinked_curve(std::string_view kind) {
  return contains(
      std::to_array<std::string_view>(
          {"aten::relu",          "aten::relu6",       "aten::hardtanh",   "aten::clamp",      "aten::clip",
           "aten::clamp_min",     "aten::clamp_max",   "aten::threshold",  "aten::leaky_relu", "aten::prelu",
           "aten::_prelu_kernel", "aten::rrelu",       "aten::elu",        "aten::selu",       "aten::celu",
           "aten::hardswish",     "aten::hardsigmoid", "aten::hardshrink", "aten::softshrink", "aten::abs",
           "aten::softsign",      "aten::nan_to_num"}),
      kind);
}

/// Which are a smooth curve, number by number of the first input.
inline bool is_smooth_curve(std::string_view kind) {
  return contains(
      std::to_array<std::string_view>(
          {"aten::gelu",     "aten::silu",          "aten::mish",       "aten::sigmoid", "aten::tanh",
           "aten::softplus", "aten::log_sigmoid",   "aten::exp",        "aten::exp2",    "aten::expm1",
           "aten::log",      "aten::log1p",         "aten::log2",       "aten::log10",   "aten::sqrt",
           "aten::rsqrt",    "aten::reciprocal",    "aten::pow",        "aten::sin",     "aten::cos",
           "aten::tan",      "aten::atan",          "aten::asin",       "aten::acos",    "aten::sinh",
           "aten::cosh",     "aten::asinh",         "aten::erf",        "aten::erfc",    "aten::logit",
           "aten::sinc",     "aten::special_expit", "aten::special_erf"}),
      kind);
}

/// Which take the largest number of windows of their input.
inline bool is_max_pool(std::string_view kind) {
  return kind.starts_with("aten::") && kind.find("max_pool") != std::string_view::npos;
}

}  // namespace salience::detail
