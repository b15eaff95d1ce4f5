// What the names of an exported program's operators stand for.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <ATen/core/operator_name.h>
#include <torch/script.h>

#include <salience/error.hpp>

namespace salience::detail {

/// What only checks what was true in Python, of sizes and types that may be others here.
inline bool is_assertion(std::string_view target) {
  constexpr std::array<std::string_view, 7> checks{"torch.ops.aten._assert_async.",
                                                   "torch.ops.aten._assert_scalar.",
                                                   "torch.ops.aten._assert_tensor_metadata.",
                                                   "torch.ops.aten.sym_constrain_range.",
                                                   "torch.ops.aten._functional_assert_",
                                                   "torch.ops.aten.sym_constrain_range_for_size.",
                                                   "torch.ops.aten._functional_sym_constrain_range"};
  return std::any_of(checks.begin(), checks.end(),
                     [target](auto check) { return target.starts_with(check); });
}

/// TorchScript's operator for one of Python's on sizes and other numbers; nothing if there is none.
inline std::optional<c10::Symbol> number_operator(const std::string& target) {
  static const std::map<std::string, const char*> operators{
      {"_operator.add", "aten::add"},
      {"_operator.sub", "aten::sub"},
      {"_operator.mul", "aten::mul"},
      {"_operator.floordiv", "aten::floordiv"},
      {"_operator.truediv", "aten::div"},
      {"_operator.mod", "aten::remainder"},
      {"_operator.pow", "aten::pow"},
      {"_operator.neg", "aten::neg"},
      {"_operator.lshift", "aten::__lshift__"},
      {"_operator.rshift", "aten::__rshift__"},
      {"_operator.eq", "aten::eq"},
      {"_operator.ne", "aten::ne"},
      {"_operator.lt", "aten::lt"},
      {"_operator.le", "aten::le"},
      {"_operator.gt", "aten::gt"},
      {"_operator.ge", "aten::ge"},
      {"_operator.and_", "aten::__and__"},
      {"_operator.or_", "aten::__or__"},
      {"math.trunc", "aten::Int"},
      {"math.ceil", "aten::ceil"},
      {"math.floor", "aten::floor"},
      {"torch.sym_int", "aten::Int"},
      {"torch.sym_float", "aten::Float"},
      {"torch.sym_max", "prim::max"},
      {"torch.sym_min", "prim::min"},
      {"torch.sym_not", "aten::__not__"},
      {"torch.sym_sqrt", "aten::sqrt"},
      {"torch._sym_sqrt", "aten::sqrt"},
      {"torch.ops.aten.sym_size.int", "aten::size"},
      {"torch.ops.aten.sym_stride.int", "aten::stride"},
      {"torch.ops.aten.sym_numel.default", "aten::numel"},
      {"torch.ops.aten.sym_storage_offset.default", "aten::storage_offset"},
      {"torch.ops.aten._local_scalar_dense.default", "aten::item"},
  };
  const auto known = operators.find(target);
  if (known == operators.end()) return std::nullopt;
  return c10::Symbol::fromQualString(known->second);
}

/// "torch.ops.aten.add.Tensor" is the operator aten::add.Tensor.
inline c10::OperatorName operator_name(const std::string& target) {
  constexpr std::string_view prefix = "torch.ops.";
  const std::size_t name = target.find('.', prefix.size());
  const std::size_t overload = target.rfind('.');
  if (!target.starts_with(prefix) || name == std::string::npos || overload <= name) {
    throw ModelError(concat("the program calls '", shortened(target), "', which is no operator of LibTorch"));
  }
  const std::string variant = target.substr(overload + 1);
  return {concat(target.substr(prefix.size(), name - prefix.size()),
                 "::", target.substr(name + 1, overload - name - 1)),
          variant == "default" ? "" : variant};
}

/// Of the operators that LibTorch and torchvision register, those with which a program could reach more than
/// the tensors that it is given: files, the standard output, other processes, memory by address. No model
/// needs them.
inline bool is_refused(const c10::OperatorName& name) {
  constexpr std::array<std::string_view, 11> beginnings{
      "aten::from_file", "aten::_print", "c10d::",           "_c10d_functional",
      "symm_mem::",      "debugprims::", "image::read_file", "image::write_file",
      "inductor::",      "rpc::",        "mkldnn::data_ptr"};
  // Sparse tensors by indices that nothing checks.
  return name.name.ends_with("_tensor_unsafe") ||
         std::any_of(beginnings.begin(), beginnings.end(),
                     [&name](std::string_view beginning) { return name.name.starts_with(beginning); });
}

}  // namespace salience::detail
