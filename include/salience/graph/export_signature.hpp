// What an exported program takes and returns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/arguments.hpp>
#include <salience/graph/export_archive.hpp>
#include <salience/graph/export_object.hpp>
#include <salience/graph/input_sizes.hpp>

namespace salience::detail {

/// Fails for inputs that nobody can make. The batch is made by us where the program says how large it is.
inline void require_sensible(const InputSizes& sizes) {
  std::int64_t room = std::int64_t{1} << 32;
  for (const auto& size : sizes) {
    if (!size) continue;
    if (*size < 1 || *size > room || sizes.size() > 64) {
      throw ModelError(concat("the program takes an input of shape ", shortened(shape_text(sizes)),
                              ", which no attribution can give it"));
    }
    room /= *size;
  }
}

/// How a size varies that stands in the file as an expression of sympy: a symbol, times a number, plus a
/// number. Of others nothing is known.
inline std::optional<SizeRule> size_rule(const std::string& expression) {
  static const std::regex form(
      R"((?:Add\()?(?:Mul\(Integer\((\d{1,9})\), )?Symbol\('(\w+)'[^()]*\)\)?(?:, Integer\((-?\d{1,9})\)\))?)");
  std::smatch parts;
  if (expression.size() > 200 || !std::regex_match(expression, parts, form)) return std::nullopt;
  SizeRule rule{parts[2].str()};
  if (parts[1].matched) rule.factor = std::stoll(parts[1].str());
  if (parts[3].matched) rule.offset = std::stoll(parts[3].str());
  return rule.factor > 0 ? std::optional(rule) : std::nullopt;
}

inline SizeRange size_range(const Json& constraint) {
  constexpr std::int64_t most = std::int64_t{1} << 31;
  SizeRange range;
  if (!constraint.at("min_val").is_null())
    range.least = std::clamp<std::int64_t>(integer(constraint.at("min_val")), 0, most);
  if (!constraint.at("max_val").is_null())
    range.most = std::clamp(integer(constraint.at("max_val")), range.least, most);
  return range;
}

/// Sizes and type of a tensor that a program's caller gives, by its name.
inline InputShape exported_input_shape(const Json& program, const std::string& name) {
  const Json& tensor = program.at("graph_module").at("graph").at("tensor_values").at(name);
  InputShape shape;
  const at::ScalarType type = exported_dtype(tensor.at("dtype"));
  if (!at::isFloatingType(type) && !at::isComplexType(type)) shape.whole = type;
  for (const Json& size : tensor.at("sizes")) {
    const Tagged known = tagged(size);
    const bool fixed = known.kind == "as_int";
    shape.sizes.push_back(fixed ? std::optional(integer(known.value)) : std::nullopt);
    shape.rules.push_back(fixed ? std::nullopt : size_rule(text(known.value.at("expr_str"))));
  }
  require_sensible(shape.sizes);
  for (const auto& rule : shape.rules) {
    const Json& ranges = program.at("range_constraints");
    if (rule && ranges.contains(rule->symbol))
      shape.ranges[rule->symbol] = size_range(ranges.at(rule->symbol));
  }
  return shape;
}

/// What a program's caller gives: tensors, and numbers that vary. A number that was fixed is none of it.
inline std::vector<GraphArgument> exported_arguments(const Json& program) {
  std::vector<GraphArgument> arguments;
  for (const Json& input : program.at("graph_module").at("signature").at("input_specs")) {
    const Tagged spec = tagged(input);
    if (spec.kind == "constant_input" || held_tensor(spec)) continue;
    if (spec.kind != "user_input") {
      throw ModelError(concat("the program takes a ", shortened(spec.kind), ", which is not supported"));
    }
    const Tagged argument = tagged(spec.value.at("arg"));
    if (argument.kind == "as_tensor") {
      GraphArgument tensor{text(argument.value.at("name")), c10::TensorType::get()};
      const InputSizes sizes = exported_input_shape(program, tensor.name).sizes;
      for (std::size_t i = 1; i < sizes.size() && sizes[i]; ++i) tensor.sizes.push_back(*sizes[i]);
      if (tensor.sizes.size() + 1 != sizes.size()) tensor.sizes.clear();
      const auto same = [&tensor](const GraphArgument& other) { return other.name == tensor.name; };
      if (std::any_of(arguments.begin(), arguments.end(), same)) {
        throw ModelError(concat("the program takes '", shortened(tensor.name), "' twice"));
      }
      arguments.push_back(std::move(tensor));
    } else if (argument.kind.starts_with("as_sym") && argument.value.contains("as_name")) {
      const bool real = argument.kind == "as_sym_float";
      const bool flag = argument.kind == "as_sym_bool";
      arguments.push_back({text(argument.value.at("as_name")), real   ? c10::TypePtr(c10::FloatType::get())
                                                               : flag ? c10::TypePtr(c10::BoolType::get())
                                                                      : c10::TypePtr(c10::IntType::get())});
    }
  }
  return arguments;
}

/// What is known of the input that is explained: of several in one row the size of the batch alone.
inline InputShape explained_shape(const Json& program, const std::vector<GraphArgument>& arguments,
                                  const ArgumentChoice& choice) {
  const std::vector<std::size_t> explained = explained_among(arguments, choice);
  InputShape shape = exported_input_shape(program, arguments[explained.front()].name);
  return explained.size() == 1 ? shape : shape.of_batch();
}

/// The leaves of a tree of tuples, lists, dicts and classes, by their paths: "out", "aux.1". `tree` is
/// {"type": ..., "context": ..., "children_spec": [...]}, as torch.utils._pytree writes it; a leaf has no
/// type.
class OutputNames {
 public:
  /// `fields` has the field names of named tuples by their types.
  OutputNames(const Json& tree, const Json& fields) : fields_(fields) { walk(tree, "", 0); }

  const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  void walk(const Json& tree, const std::string& path, int depth) {
    if (depth > 64) throw ModelError("the program returns containers in containers beyond reason");
    const Json& children = tree.at("children_spec");
    if (tree.at("type").is_null()) {
      if (path.size() > 512) throw ModelError("the program returns things by names beyond reason");
      names_.push_back(path);
      return;
    }
    const std::vector<std::string> keys = this->keys(tree, children.size());
    for (std::size_t i = 0; i < children.size(); ++i) {
      const std::string key = keys.empty() ? std::to_string(i) : keys[i];
      walk(children[i], path.empty() ? key : concat(path, ".", key), depth + 1);
    }
  }

  /// The keys of a container; none where its children are told apart by their places.
  std::vector<std::string> keys(const Json& tree, std::size_t count) const {
    Json context = tree.at("context");
    if (context.is_string()) {
      const bool named = fields_.contains(text(context));
      context = named ? fields_.at(text(context)).at("field_names") : keys_of(text(context));
    }
    if (context.is_string() && fields_.contains(text(context)))
      context = fields_.at(text(context)).at("field_names");
    if (context.is_object() && context.contains("dict_context")) context = Json(context.at("dict_context"));
    // Of a data class: the names of its members that are there, and of those that are None.
    const auto all_arrays = [](const Json& lists) {
      return std::all_of(lists.begin(), lists.end(), [](const Json& list) { return list.is_array(); });
    };
    if (context.is_array() && context.size() == 2 && all_arrays(context)) context = Json(context[0]);
    std::vector<std::string> keys;
    if (!context.is_array() || context.size() != count) return keys;
    for (const Json& key : context) keys.push_back(key.is_string() ? text(key) : key.dump());
    return keys;
  }

  /// What stands in a text, most often the keys; the text itself otherwise.
  static Json keys_of(const std::string& context) {
    try {
      return parsed_json(context);
    } catch (const Json::parse_error&) {
      return context;
    }
  }

  const Json& fields_;
  std::vector<std::string> names_;
};

}  // namespace salience::detail
