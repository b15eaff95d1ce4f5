// The arguments of an exported program's operators as values of a graph.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <torch/csrc/jit/frontend/error_report.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/export_archive.hpp>

namespace salience::detail {

/// The values of an exported graph by their names; a sub-graph has a scope of its own.
using ExportScope = std::unordered_map<std::string, torch::jit::Value*>;

inline torch::jit::Value* named(const ExportScope& scope, const Json& name) {
  const auto known = scope.find(text(name));
  if (known == scope.end()) {
    throw ModelError(concat("the program reads '", shortened(text(name)), "', which nothing gives"));
  }
  return known->second;
}

/// A floating number, whose infinities stand as texts.
inline double real(const Json& value) {
  if (value.is_number()) return value.get<double>();
  const std::string& name = text(value);
  if (name == "Infinity") return std::numeric_limits<double>::infinity();
  if (name == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (name == "NaN") return std::numeric_limits<double>::quiet_NaN();
  throw ModelError(concat("the program has '", shortened(name), "' for a number"));
}

/// What a file's literals for places and types become where the model is moved.
struct LiteralTypes {
  at::Device device = at::kCPU;
  at::ScalarType own = at::kFloat;      ///< the type of the program's parameters
  std::optional<at::ScalarType> dtype;  ///< and what it becomes

  at::ScalarType operator()(at::ScalarType literal) const {
    if (!dtype || !at::isFloatingType(literal)) return literal;
    return literal == own ? *dtype : at::promote_types(literal, *dtype);
  }
};

/// Turns arguments into values, at the graph's insert point.
class ExportArguments {
 public:
  ExportArguments(torch::jit::Graph& graph, LiteralTypes literal) : graph_(graph), literal_(literal) {}

  torch::jit::Graph& graph() const noexcept { return graph_; }

  /// An argument for a parameter of this type.
  torch::jit::Value* operator()(const Json& argument, const c10::TypePtr& type,
                                std::optional<std::int32_t> count, const ExportScope& scope) const {
    const auto [kind, value] = tagged(argument);
    const c10::TypePtr wanted = of_optional(type);
    if (wanted->kind() == c10::TypeKind::ListType) {
      const c10::TypePtr element = wanted->containedType(0);
      if (value.is_array()) return list(kind, value, element, scope);
      if (kind != "as_none") {  // one number for all dimensions
        return list_of(
            std::vector(static_cast<std::size_t>(count.value_or(1)), one(argument, element, scope)), element);
      }
    }
    return one(argument, wanted, scope);
  }

  /// An argument of a sub-graph or of an operator on numbers, where nothing says what type is wanted.
  torch::jit::Value* any(const Json& argument, const ExportScope& scope) const {
    return one(argument, c10::AnyType::get(), scope);
  }

  at::ScalarType literal(at::ScalarType type) const { return literal_(type); }

  torch::jit::Value* constant(const c10::IValue& value) const { return graph_.insertConstant(value); }

  /// Inserts one of TorchScript's own operators; its arguments say which overload.
  torch::jit::Value* call(c10::Symbol kind, const std::vector<torch::jit::Value*>& inputs) const {
    try {
      const std::vector<torch::jit::NamedValue> arguments(inputs.begin(), inputs.end());
      return graph_.insert(kind, arguments);
    } catch (const torch::jit::ErrorReport&) {
      std::throw_with_nested(ModelError(
          concat("the program calls '", kind.toUnqualString(), "' with arguments that do not fit")));
    }
  }
  torch::jit::Value* call(const char* kind, const std::vector<torch::jit::Value*>& inputs) const {
    return call(c10::Symbol::fromQualString(kind), inputs);
  }

 private:
  static c10::TypePtr of_optional(const c10::TypePtr& type) {
    const auto optional = type->cast<c10::OptionalType>();
    return optional ? optional->getElementType() : type;
  }

  torch::jit::Value* one(const Json& argument, const c10::TypePtr& wanted, const ExportScope& scope) const {
    const auto [kind, value] = tagged(argument);
    if (kind == "as_none") return constant({});
    if (kind == "as_tensor") return named(scope, value.at("name"));
    if (kind == "as_optional_tensor" || kind == "as_sym_int" || kind == "as_sym_float" ||
        kind == "as_sym_bool") {
      const Tagged inner = tagged(value);
      if (inner.kind != "as_name") return one(value, wanted, scope);
      torch::jit::Value* known = named(scope, inner.value);
      const bool number = known->type()->isSubtypeOf(*c10::NumberType::get());
      return number && wanted->kind() == c10::TypeKind::TensorType ? call("prim::NumToTensor", {known})
                                                                   : known;
    }
    if (kind == "as_int") return number(c10::Scalar(integer(value)), wanted);
    if (kind == "as_float") return number(c10::Scalar(real(value)), wanted);
    if (kind == "as_bool") return number(c10::Scalar(value.get<bool>()), wanted);
    if (kind == "as_complex") {
      return number(c10::Scalar(c10::complex<double>(real(value.at("real")), real(value.at("imag")))),
                    wanted);
    }
    if (kind == "as_string") return constant(text(value));
    if (kind == "as_scalar_type") return constant(static_cast<std::int64_t>(literal_(exported_dtype(value))));
    if (kind == "as_memory_format") return constant(static_cast<std::int64_t>(memory_format(value)));
    if (kind == "as_layout") {
      if (integer(value) == 7) return constant(static_cast<std::int64_t>(at::kStrided));
      throw ModelError("the program makes tensors that are not dense, which is not supported");
    }
    if (kind == "as_device") return constant(literal_.device);
    throw ModelError(
        concat("the program has an argument of the kind '", shortened(kind), "', which is not supported"));
  }

  /// Tensors take numbers too, which do not widen them: a tensor of no dimension that says so.
  torch::jit::Value* number(const c10::Scalar& value, const c10::TypePtr& wanted) const {
    switch (wanted->kind()) {
      case c10::TypeKind::TensorType: {
        at::Tensor tensor = at::scalar_tensor(
            value, at::TensorOptions().dtype(value.isFloatingPoint() ? at::kDouble : value.type()));
        tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
        return constant(tensor);
      }
      case c10::TypeKind::FloatType:
        return constant(value.isComplex() ? c10::IValue(value) : c10::IValue(value.toDouble()));
      case c10::TypeKind::NumberType:  // of which a flag is none
        return constant(value.isBoolean() ? c10::IValue(std::int64_t{value.toBool()}) : c10::IValue(value));
      default:
        return constant(value);
    }
  }

  static at::MemoryFormat memory_format(const Json& value) {
    constexpr std::array formats{at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast,
                                 at::MemoryFormat::ChannelsLast3d, at::MemoryFormat::Preserve};
    const std::int64_t code = integer(value) - 1;
    if (code < 0 || std::cmp_greater_equal(code, formats.size())) {
      throw ModelError(concat("the program has an unknown memory format (number ", code + 1, ")"));
    }
    return formats[static_cast<std::size_t>(code)];
  }

  /// Whose elements stand in the file as bare values ("as_ints") or as arguments of their own
  /// ("as_sym_ints").
  torch::jit::Value* list(const std::string& kind, const Json& elements, const c10::TypePtr& type,
                          const ExportScope& scope) const {
    static const std::unordered_map<std::string, std::string> bare{{"as_ints", "as_int"},
                                                                   {"as_floats", "as_float"},
                                                                   {"as_bools", "as_bool"},
                                                                   {"as_strings", "as_string"}};
    const auto same = bare.find(kind);
    std::vector<torch::jit::Value*> values;
    for (const Json& element : elements) {
      if (same != bare.end()) {
        values.push_back(one(Json{{same->second, element}}, of_optional(type), scope));
      } else if (kind == "as_tensors") {
        values.push_back(named(scope, element.at("name")));
      } else {
        const Tagged inner = tagged(element);
        values.push_back(inner.kind == "as_name" ? named(scope, inner.value)
                                                 : one(element, of_optional(type), scope));
      }
    }
    return list_of(values, type);
  }

  torch::jit::Value* list_of(const std::vector<torch::jit::Value*>& values, const c10::TypePtr& type) const {
    for (const torch::jit::Value* value : values) {
      if (!value->type()->isSubtypeOf(*type)) {
        throw ModelError(concat("the program has a ", value->type()->str(), " in a list of ", type->str()));
      }
    }
    if (torch::jit::Value* known = constant_list(values, type)) return known;
    return graph_.insertNode(graph_.createList(type, values))->output();
  }

  /// Numbers that are all known are one constant, which passes can read.
  torch::jit::Value* constant_list(const std::vector<torch::jit::Value*>& values,
                                   const c10::TypePtr& type) const {
    if (type->kind() == c10::TypeKind::TensorType || type->kind() == c10::TypeKind::OptionalType)
      return nullptr;
    c10::impl::GenericList list(type);
    for (const torch::jit::Value* value : values) {
      const auto known = torch::jit::toIValue(value);
      if (!known) return nullptr;
      list.push_back(*known);
    }
    const auto inserted = torch::jit::tryInsertConstant(graph_, c10::IValue(list));
    return inserted ? *inserted : nullptr;
  }

  torch::jit::Graph& graph_;
  LiteralTypes literal_;
};

}  // namespace salience::detail
