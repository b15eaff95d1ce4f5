// The operators of an exported program as nodes of a graph.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/export_archive.hpp>
#include <salience/graph/export_arguments.hpp>
#include <salience/graph/export_names.hpp>

namespace salience::detail {

using Values = std::vector<torch::jit::Value*>;

/// Inserts the operators of a program, at the graph's insert point.
class ExportOperators {
 public:
  explicit ExportOperators(const ExportArguments& arguments) : arguments_(arguments) {}

  /// What an operator gives: one value for each of its results.
  Values operator()(const Json& node, const ExportScope& scope) const {
    const std::string& target = text(node.at("target"));
    const Json& inputs = node.at("inputs");
    if (const auto symbol = number_operator(target)) return on_numbers(*symbol, inputs, scope);
    const c10::OperatorName name = operator_name(target);
    const auto known = c10::Dispatcher::singleton().findSchema(name);
    if (is_refused(name)) {
      throw ModelError(
          concat("the program calls ", shortened(target),
                 ", which may not be called from a file: it reaches beyond the model's tensors"));
    }
    if (!known) {
      throw ModelError(concat("the program calls ", shortened(target),
                              ", which is not registered here: link the library that defines it"));
    }
    return inserted(suited(known->schema(), inputs), inputs, scope);
  }

 private:
  Values on_numbers(c10::Symbol symbol, const Json& inputs, const ExportScope& scope) const {
    Values values;
    for (const Json& input : inputs) {
      values.push_back(arguments_.any(input.at("arg"), scope));
      // TorchScript adds texts too, as long as the file's author likes.
      if (!is_number(values.back()->type()) && values.back()->type()->kind() != c10::TypeKind::TensorType) {
        throw ModelError(concat("the program calls '", symbol.toUnqualString(), "' with a ",
                                values.back()->type()->str(), ", which is no number"));
      }
    }
    const std::string_view kind = symbol.toQualString();
    const bool divides = (kind == "aten::remainder" || kind == "aten::floordiv") && values.size() == 2 &&
                         is_number(values[0]->type()) && is_number(values[1]->type());
    return {divides ? divided(symbol, values) : arguments_.call(symbol, values)};
  }

  static bool is_number(const c10::TypePtr& type) {
    return type->isSubtypeOf(*c10::NumberType::get()) || type->kind() == c10::TypeKind::BoolType;
  }

  /// Raises where TorchScript would end the process: its integers are divided by the processor, also by 0,
  /// and the lowest one by -1. No size is divided by these.
  torch::jit::Value* divided(c10::Symbol symbol, const Values& values) const {
    const auto known = torch::jit::toIValue(values[1]);
    if (known && (known->isDouble() || (known->isInt() && known->toInt() > 0))) {
      return arguments_.call(symbol, values);
    }
    const auto is = [&](std::int64_t number) {
      return arguments_.call("aten::eq", {values[1], arguments_.constant(number)});
    };
    torch::jit::Value* bad = arguments_.call("aten::__or__", {is(0), is(-1)});
    torch::jit::Node* branches = graph().insertNode(graph().create(c10::prim::If, {bad}, 0));
    {
      const torch::jit::WithInsertPoint inside(branches->addBlock());
      torch::jit::Value* message = arguments_.constant("the program divides a size by 0 or -1");
      graph().insertNode(graph().create(c10::prim::RaiseException, {message, arguments_.constant({})}, 0));
      branches->blocks()[0]->registerOutput(arguments_.constant(std::int64_t{0}));
    }
    const torch::jit::WithInsertPoint inside(branches->addBlock());
    torch::jit::Value* quotient = arguments_.call(symbol, values);
    branches->blocks()[1]->registerOutput(quotient);
    return branches->addOutput()->setType(quotient->type());
  }

  static const Json* find(const Json& inputs, const std::string& name) {
    const auto same = [&name](const Json& input) { return text(input.at("name")) == name; };
    const auto found = std::find_if(inputs.begin(), inputs.end(), same);
    return found == inputs.end() ? nullptr : &found->at("arg");
  }

  static bool is_flag(const Json* given) { return given && tagged(*given).kind == "as_bool"; }

  /// The operator with the other overload, if that has the same arguments but for those that `differs` says
  /// may be a `kind` there.
  template <class Differs>
  static const c10::FunctionSchema* with_overload(const c10::FunctionSchema& schema, const char* overload,
                                                  c10::TypeKind kind, const Differs& differs) {
    const auto other = c10::Dispatcher::singleton().findSchema({schema.name(), overload});
    if (!other) return nullptr;
    const auto fits = [&](const c10::Argument& a, const c10::Argument& b) {
      return a.name() == b.name() &&
             (a.type()->kind() == b.type()->kind() || (differs(a) && b.type()->kind() == kind));
    };
    const auto &arguments = schema.arguments(), &others = other->schema().arguments();
    return arguments.size() == others.size() &&
                   std::equal(arguments.begin(), arguments.end(), others.begin(), fits)
               ? &other->schema()
               : nullptr;
  }

  /// A number in the place of a tensor: the operator that takes one, if there is such. Python's own dispatch
  /// computes the same, and the passes know this form from TorchScript. A flag, which TorchScript takes for
  /// no number, the other way round: the operator that takes a tensor, since 1 is of another type than true.
  static const c10::FunctionSchema& suited(const c10::FunctionSchema& schema, const Json& inputs) {
    const auto given = [&inputs](const c10::Argument& argument) { return find(inputs, argument.name()); };
    const auto is_number = [&given](const c10::Argument& argument) {
      const Json* one = given(argument);
      return one && argument.type()->kind() == c10::TypeKind::TensorType &&
             tagged(*one).kind != "as_tensor" && !is_flag(one);
    };
    const auto takes_number = [](const c10::Argument& argument) {
      return argument.type()->kind() == c10::TypeKind::NumberType;
    };
    const auto has_flag = [&](const c10::Argument& argument) {
      return takes_number(argument) && is_flag(given(argument));
    };
    const auto& arguments = schema.arguments();
    const c10::FunctionSchema* other = nullptr;
    if (schema.overload_name() == "Tensor" && std::any_of(arguments.begin(), arguments.end(), is_number)) {
      other = with_overload(schema, "Scalar", c10::TypeKind::NumberType, is_number);
    } else if (std::any_of(arguments.begin(), arguments.end(), has_flag)) {
      for (const char* overload : {"Tensor", "self"}) {
        if (!other) other = with_overload(schema, overload, c10::TypeKind::TensorType, takes_number);
      }
    }
    return other ? *other : schema;
  }

  /// The type of what makes a tensor of nothing but numbers, where the program leaves it to the default,
  /// which is that of float32 as in Python; nothing where another one is meant.
  std::optional<at::ScalarType> left_to_default(const c10::FunctionSchema& schema, const Json& inputs) const {
    const auto takes_tensor = [](const c10::Argument& argument) { return holds_tensor(argument.type()); };
    const auto& arguments = schema.arguments();
    if (std::any_of(arguments.begin(), arguments.end(), takes_tensor)) return std::nullopt;
    bool flag = false, real = false, integer = false, complex = false;
    for (const c10::Argument& argument : arguments) {
      const Json* given = find(inputs, argument.name());
      if (!given || argument.type()->kind() != c10::TypeKind::NumberType) continue;
      const std::string& kind = tagged(*given).kind;
      flag = flag || kind == "as_bool";
      real = real || kind == "as_float" || kind == "as_sym_float";
      integer = integer || kind == "as_int" || kind == "as_sym_int";
      complex = complex || kind == "as_complex";
    }
    if (flag) return at::kBool;
    const bool of_integers = schema.name() == "aten::arange" || schema.name() == "aten::full";
    if (complex || (integer && !real && of_integers)) return std::nullopt;
    return arguments_.literal(at::kFloat);
  }

  Values inserted(const c10::FunctionSchema& schema, const Json& inputs, const ExportScope& scope) const {
    const auto fail = [&schema](const auto&... what) {
      return ModelError(concat("the program's call of ", schema.name(), " ", what...));
    };
    const auto& arguments = schema.arguments();
    for (const Json& input : inputs) {
      const std::string& name = text(input.at("name"));
      const auto same = [&name](const c10::Argument& argument) { return argument.name() == name; };
      if (std::none_of(arguments.begin(), arguments.end(), same)) {
        throw fail("has an argument '", shortened(name), "', which this LibTorch does not know");
      }
    }
    Values values;
    for (const c10::Argument& argument : arguments) {
      const Json* given = find(inputs, argument.name());
      if (!given && !argument.default_value()) throw fail("lacks the argument '", argument.name(), "'");
      values.push_back(given ? arguments_(*given, argument.type(), argument.N(), scope)
                             : arguments_.constant(*argument.default_value()));
      if (argument.name() == "dtype" && values.back()->type()->kind() == c10::TypeKind::NoneType) {
        if (const auto type = left_to_default(schema, inputs)) {
          values.back() = arguments_.constant(static_cast<std::int64_t>(*type));
        }
      }
      if (!values.back()->type()->isSubtypeOf(*argument.type())) {
        throw fail("has a ", values.back()->type()->str(), " for '", argument.name(), "', which is a ",
                   argument.type()->str());
      }
    }
    const auto& returns = schema.returns();
    // LibTorch's passes run what gives a number from numbers while the model is loaded. Nothing of the file
    // may be.
    const auto gives_tensors = [](const c10::Argument& result) { return holds_tensor(result.type()); };
    const auto is_tensor = [](const torch::jit::Value* value) {
      return value->node()->kind() != c10::prim::Constant && holds_tensor(value->type());
    };
    if (std::none_of(returns.begin(), returns.end(), gives_tensors) &&
        std::none_of(values.begin(), values.end(), is_tensor)) {
      throw fail("neither takes nor gives a tensor, which is not supported");
    }
    torch::jit::Node* node = graph().insertNode(
        graph().create(c10::Symbol::fromQualString(schema.name()), values, returns.size()));
    for (std::size_t i = 0; i < returns.size(); ++i) node->outputs()[i]->setType(returns[i].type());
    if (!node->maybeOperator()) throw fail("has arguments that do not fit");
    return node->outputs().vec();
  }

  static bool holds_tensor(const c10::TypePtr& type) {
    if (type->kind() == c10::TypeKind::TensorType) return true;
    const auto parts = type->containedTypes();
    return std::any_of(parts.begin(), parts.end(), holds_tensor);
  }

  torch::jit::Graph& graph() const { return arguments_.graph(); }

  const ExportArguments& arguments_;
};

}  // namespace salience::detail
