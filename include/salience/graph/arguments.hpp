// What the inputs of a graph are: one is explained, or several as one row, and the others are bound.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/held_inputs.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/graph/points.hpp>
#include <salience/tensor/parts.hpp>

namespace salience {

/// A value for an argument of the model's forward.
struct Binding {
  std::string name;  ///< of the argument, or its position, "1"
  /// A tensor, number, flag, text, None, or what else the argument's type is. A tensor with dimensions has a
  /// row for each sample of the batch, and follows the samples where a method regroups them, unless `shared`.
  c10::IValue value;
  bool shared = false;  ///< the tensor is the same for all samples
};

/// An argument of the model's forward that is explained.
struct ExplainedInput {
  std::string name;  ///< or its position, "0"
  std::vector<std::int64_t> sizes =
      {};  ///< without the batch; where the file says them, and of one alone, not needed
};

namespace detail {

/// An argument of a graph.
struct GraphArgument {
  std::string name;
  c10::TypePtr type;
  std::optional<c10::IValue> value{};  ///< a default
  std::vector<std::int64_t> sizes{};   ///< of a tensor, without the batch, where they are known
};

/// Which arguments are explained, and what the others are.
struct ArgumentChoice {
  const std::vector<Binding>& bound;
  const std::vector<ExplainedInput>& explained;
};

inline bool is_tensor(const c10::TypePtr& type) { return c10::TensorType::get()->isSubtypeOf(*type); }

/// The argument of that name, or at that position.
inline std::size_t place_of(const std::vector<GraphArgument>& arguments, const std::string& name) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].name == name || std::to_string(i) == name) return i;
    names.push_back(arguments[i].name);
  }
  throw ArgumentError::unknown_name("argument of the model", name, names);
}

/// What is bound to each argument.
inline std::vector<const Binding*> bindings_of(const std::vector<GraphArgument>& arguments,
                                               const ArgumentChoice& choice) {
  std::vector<const Binding*> bindings(arguments.size());
  for (const Binding& binding : choice.bound) {
    const Binding*& known = bindings[place_of(arguments, binding.name)];
    if (known) throw ArgumentError(concat("the argument '", binding.name, "' is bound twice"));
    known = &binding;
  }
  return bindings;
}

/// The arguments to explain: those that are named, or the one that is left.
inline std::vector<std::size_t> explained_among(const std::vector<GraphArgument>& arguments,
                                                const ArgumentChoice& choice) {
  const std::vector<const Binding*> bindings = bindings_of(arguments, choice);
  std::vector<std::size_t> explained;
  for (const ExplainedInput& input : choice.explained) explained.push_back(place_of(arguments, input.name));
  std::vector<std::size_t> open;  // neither bound nor with a default
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (!bindings[i] && !arguments[i].value) open.push_back(i);
  }
  for (const std::size_t i : explained) {
    if (bindings[i])
      throw ArgumentError(concat("the argument '", arguments[i].name, "' is both explained and bound"));
    std::erase(open, i);
  }
  if (explained.empty() && open.empty()) {  // the first that has a default
    for (std::size_t i = 0; i < arguments.size() && open.empty(); ++i) {
      if (!bindings[i] && is_tensor(arguments[i].type)) open.push_back(i);
    }
  }
  if (explained.empty() && open.size() == 1) std::swap(explained, open);
  if (!open.empty()) {
    std::string list;
    for (const std::size_t i : open) list += concat(list.empty() ? "" : ", ", arguments[i].name);
    throw ModelError(
        concat("the model takes ", open.size(), explained.empty() ? " inputs" : " inputs more", " (", list,
               "), an attribution needs exactly one tensor: bind the others (ModelOptions::bind, --bind), or "
               "explain several together (ModelOptions::explain)"));
  }
  if (explained.empty())
    throw ModelError("the model takes no input that is left to explain, an attribution needs one tensor");
  for (const std::size_t i : explained) {
    if (is_tensor(arguments[i].type)) continue;
    throw ModelError(concat("the model's input '", arguments[i].name, "' is a ",
                            arguments[i].type->annotation_str(),
                            ", an attribution needs a tensor; wrap the model in a module that takes one"));
  }
  return explained;
}

/// What a graph takes once its arguments are chosen.
struct ChosenInputs {
  HeldInputs held;
  std::optional<Parts> parts;
};

/// Brings the inputs of a graph, behind the object, into the form of a MarkedGraph.
class ChosenArguments {
 public:
  ChosenArguments(torch::jit::Graph& graph, std::vector<GraphArgument> arguments,
                  const ArgumentChoice& choice, const Placement& place)
      : graph_(graph), arguments_(std::move(arguments)), choice_(choice), place_(place) {}

  ChosenInputs operator()() {
    const std::vector<const Binding*> bindings = bindings_of(arguments_, choice_);
    const std::vector<std::size_t> explained = explained_among(arguments_, choice_);
    ChosenInputs result;
    std::vector<HeldInput> held;
    std::vector<torch::jit::Value*> inputs;  // of the arguments, in their order
    for (std::size_t i = 0; i < arguments_.size(); ++i) inputs.push_back(graph_.inputs()[i + 1]);
    give(explained, inputs, result.parts);
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (std::find(explained.begin(), explained.end(), i) != explained.end()) continue;
      HeldInput other = bindings[i] ? bound(*bindings[i], arguments_[i])
                                    : HeldInput{arguments_[i].name, *arguments_[i].value};
      if (other.value.isTensor() || !insert_constant(inputs[i], other.value)) {
        inputs[i]->replaceAllUsesWith(graph_.addInput(other.name)->setType(inputs[i]->type()));
        held.push_back(std::move(other));
      }
    }
    for (std::size_t i = 0; i < arguments_.size(); ++i) graph_.eraseInput(1);
    result.held = HeldInputs(std::move(held));
    return result;
  }

 private:
  /// Puts the explained input in the place of arguments.
  void give(const std::vector<std::size_t>& explained, const std::vector<torch::jit::Value*>& inputs,
            std::optional<Parts>& parts) {
    const std::string name = explained.size() == 1 ? arguments_[explained[0]].name : "inputs";
    torch::jit::Value* input = graph_.addInput(name)->setType(c10::TensorType::get());
    std::vector<std::vector<std::int64_t>> shapes;
    for (std::size_t i = 0; i < explained.size(); ++i) {
      const GraphArgument& argument = arguments_[explained[i]];
      shapes.push_back(choice_.explained.empty() || choice_.explained[i].sizes.empty()
                           ? argument.sizes
                           : choice_.explained[i].sizes);
      if (explained.size() > 1 && shapes.back().empty()) {
        throw ArgumentError(
            concat("the sizes of the explained input '", argument.name,
                   "' are not known: ModelOptions::explain must give them, without the batch"));
      }
    }
    if (explained.size() > 1) parts.emplace(shapes);
    const std::vector<torch::jit::Value*> values = parted(graph_, input, shapes);
    for (std::size_t i = 0; i < explained.size(); ++i) inputs[explained[i]]->replaceAllUsesWith(values[i]);
  }

  HeldInput bound(const Binding& binding, const GraphArgument& argument) const {
    c10::IValue value = binding.value;
    if (value.isInt() && argument.type->kind() == c10::TypeKind::FloatType) {
      value = static_cast<double>(value.toInt());
    }
    if (!value.type()->isSubtypeOf(*argument.type)) {
      throw ArgumentError(concat("the model's argument '", argument.name, "' is a ",
                                 argument.type->annotation_str(), ", but a ", value.type()->annotation_str(),
                                 " is bound to it"));
    }
    HeldInput input{argument.name, value};
    if (!value.isTensor()) return input;
    const at::Tensor tensor = value.toTensor();
    if (!tensor.defined())
      throw ArgumentError(concat("the tensor bound to '", argument.name, "' is undefined"));
    input.value = place_(tensor.detach());
    if (tensor.dim() > 0 && !binding.shared) input.rows = SampleRows{};
    return input;
  }

  bool insert_constant(torch::jit::Value* input, const c10::IValue& value) {
    const torch::jit::WithInsertPoint first(*graph_.nodes().begin());
    const auto constant = torch::jit::tryInsertConstant(graph_, value);
    if (!constant) return false;
    input->replaceAllUsesWith(*constant);
    return true;
  }

  torch::jit::Graph& graph_;
  std::vector<GraphArgument> arguments_;
  const ArgumentChoice& choice_;
  const Placement& place_;
};

}  // namespace detail
}  // namespace salience
