// The graph of an exported program.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/aliases.hpp>
#include <salience/graph/channels_last.hpp>
#include <salience/graph/export_archive.hpp>
#include <salience/graph/export_arguments.hpp>
#include <salience/graph/export_autocast.hpp>
#include <salience/graph/export_layers.hpp>
#include <salience/graph/export_object.hpp>
#include <salience/graph/export_operators.hpp>
#include <salience/graph/export_signature.hpp>
#include <salience/graph/input_sizes.hpp>
#include <salience/graph/marked_graph.hpp>
#include <salience/graph/object_copy.hpp>
#include <salience/graph/recompose.hpp>
#include <salience/graph/simplify.hpp>
#include <salience/graph/writes.hpp>

namespace salience::detail {

/// Makes the graph of one program.
class ExportedGraph {
 public:
  /// `program` is a model of the archive, by that name.
  ExportedGraph(ExportArchive& archive, const Json& program, const std::string& name, const Placement& place,
                const ArgumentChoice& choice)
      : program_(program),
        module_(program.at("graph_module")),
        given_(exported_arguments(program)),
        choice_(choice),
        shape_(explained_shape(program, given_, choice)),
        place_(place),
        tensors_(archive, name),
        graph_(std::make_shared<torch::jit::Graph>()),
        arguments_(*graph_,
                   {place.device.value_or(at::kCPU), tensors_.dtype(), tensors_.needed(place).dtype}),
        operators_(arguments_) {}

  MarkedGraph operator()() {
    const Json& graph = module_.at("graph");
    paths_ = tensors_.load(module_.at("signature").at("input_specs"), tensors_.needed(place_), object_);
    ExportScope scope = inputs();
    const Values outputs = run(graph, scope);
    return_named(outputs);
    ChosenInputs chosen = ChosenArguments(*graph_, given_, choice_, place_)();
    for (const HeldInput& held : chosen.held.inputs()) require_shape(held);
    recompose(*graph_, [this](torch::jit::Node* node, torch::jit::Node* by) { layers_.replace(node, by); });
    {
      const WritesHeld held(graph_);
      torch::jit::EliminateDeadCode(graph_);
    }
    layers_.keep(nodes_of(*graph_));
    layers_.mark();
    simplify(graph_, object_.object());
    remove_autocast(*graph_);
    // Decompositions write views where the model reshaped, in the layout of the example input.
    reshape_views(*graph_, Aliases(*graph_, object_.object()));
    return MarkedGraph(graph_, object_.object(), shape_, std::move(chosen.held), std::move(chosen.parts));
  }

 private:
  /// The graph's inputs, by their names in the program.
  ExportScope inputs() {
    torch::jit::Value* self = graph_->addInput("self");
    self->setType(object_.object().type());
    ExportScope scope;
    for (const GraphArgument& argument : given_) {
      scope[argument.name] = graph_->addInput()->setType(argument.type);
    }
    for (const auto& [value, path] : paths_) scope[value] = object_.read(*graph_, path);
    return scope;
  }

  /// Fails for a bound tensor of another shape than the program was exported for.
  void require_shape(const HeldInput& held) const {
    if (!held.value.isTensor()) return;
    try {
      exported_input_shape(program_, held.name).require(held.value.toTensor());
    } catch (const ModelError& error) {
      throw ModelError(concat("the argument '", held.name, "': ", error.what()));
    }
  }

  /// Inserts all nodes of a graph or sub-graph; gives its outputs.
  Values run(const Json& graph, ExportScope& scope) {
    for (const Json& node : graph.at("nodes")) {
      const std::string& target = text(node.at("target"));
      if (is_assertion(target)) continue;
      const Json& metadata = node.at("metadata");
      layers_.enter(metadata.contains("nn_module_stack") ? text(metadata.at("nn_module_stack")) : "");
      torch::jit::Node* last = graph_->insertPoint()->prev();
      constexpr std::string_view higher = "torch.ops.higher_order.";
      const std::vector<std::size_t> calls = layers_.now();
      const Values values = target.starts_with(higher) ? sub_graph(target.substr(higher.size()), node, scope)
                                                       : operators_(node, scope);
      layers_.back_to(calls);
      bind(node.at("outputs"), values, scope);
      for (last = last->next(); last != graph_->insertPoint(); last = last->next()) {
        layers_.add(last);
      }
    }
    Values outputs;
    for (const Json& output : graph.at("outputs")) outputs.push_back(arguments_.any(output, scope));
    return outputs;
  }

  void give(ExportScope& scope, const Json& name, torch::jit::Value* value) const {
    if (!scope.emplace(text(name), value).second) {
      throw ModelError(concat("the program gives '", shortened(text(name)), "' twice"));
    }
  }

  /// Names what a node gives.
  void bind(const Json& outputs, const Values& values, ExportScope& scope) {
    std::size_t next = 0;
    const auto value = [&]() -> torch::jit::Value* {
      if (next >= values.size()) throw ModelError("the program names more results than an operator gives");
      return values[next++];
    };
    for (const Json& output : outputs) {
      const Tagged argument = tagged(output);
      if (argument.kind == "as_none") {
        ++next;
      } else if (argument.kind == "as_tensors") {
        const bool list = next < values.size() && values[next]->type()->kind() == c10::TypeKind::ListType;
        const std::size_t count = argument.value.size();
        const Values parts =
            list ? graph_->insertNode(graph_->createListUnpack(value(), count))->outputs().vec() : Values{};
        for (std::size_t i = 0; i < count; ++i) {
          give(scope, argument.value[i].at("name"), list ? parts[i] : value());
        }
      } else if (argument.kind == "as_tensor") {
        give(scope, argument.value.at("name"), value());
      } else if (argument.kind.starts_with("as_sym_") && argument.value.contains("as_name")) {
        give(scope, argument.value.at("as_name"), value());
      } else {
        throw ModelError(concat("the program has a result of the kind '", shortened(argument.kind),
                                "', which is not supported"));
      }
    }
  }

  /// An operator that runs graphs of its own.
  Values sub_graph(const std::string& name, const Json& node, const ExportScope& scope) {
    const Json& inputs = node.at("inputs");
    const auto at = [&inputs](std::size_t i) -> const Json& { return inputs.at(i).at("arg"); };
    if (name == "wrap_with_set_grad_enabled") {
      torch::jit::Value* before = arguments_.call("aten::is_grad_enabled", {});
      arguments_.call("aten::set_grad_enabled", {arguments_.any(at(0), scope)});
      Values outputs = call(at(1), operands(inputs, 2, scope));
      arguments_.call("aten::set_grad_enabled", {before});
      return outputs;
    }
    if (name == "wrap_with_autocast") {
      const AutocastRegion region(*graph_, at(0), at(1), at(2));
      return call(at(4), operands(inputs, 5, scope));
    }
    if (name == "cond") {
      torch::jit::Value* condition = arguments_.any(at(0), scope);
      if (condition->type()->kind() == c10::TypeKind::TensorType)
        condition = arguments_.call("aten::Bool", {condition});
      const Values arguments = operands(inputs, 3, scope);
      torch::jit::Node* branches = graph_->insertNode(graph_->create(c10::prim::If, {condition}, 0));
      for (const std::size_t i : {1U, 2U}) {
        torch::jit::Block* block = branches->addBlock();
        const torch::jit::WithInsertPoint inside(block);
        for (torch::jit::Value* output : call(at(i), arguments)) block->registerOutput(output);
      }
      const auto first = branches->blocks()[0]->outputs(), second = branches->blocks()[1]->outputs();
      const auto same_type = [](const auto* one, const auto* other) {
        return *one->type() == *other->type();
      };
      if (!std::equal(first.begin(), first.end(), second.begin(), second.end(), same_type)) {
        throw ModelError("the branches of the program's cond give different results");
      }
      for (const torch::jit::Value* output : first) branches->addOutput()->setType(output->type());
      return branches->outputs().vec();
    }
    throw ModelError(concat("the program runs a sub-graph by '", shortened(name),
                            "', which is not supported (supported are cond, no_grad and autocast)"));
  }

  /// What a sub-graph is given: the arguments from `first` on, the elements of a list one by one.
  Values operands(const Json& inputs, std::size_t first, const ExportScope& scope) const {
    Values values;
    for (std::size_t i = first; i < inputs.size(); ++i) {
      const Json& argument = inputs[i].at("arg");
      const Tagged one = tagged(argument);
      if (!one.value.is_array()) {
        values.push_back(arguments_.any(argument, scope));
      } else if (one.kind == "as_tensors") {
        for (const Json& tensor : one.value) values.push_back(named(scope, tensor.at("name")));
      } else if (one.kind == "as_ints") {
        for (const Json& number : one.value) values.push_back(arguments_.constant(integer(number)));
      } else {
        for (const Json& element : one.value)
          values.push_back(arguments_.any(Json{{"as_sym_int", element}}, scope));
      }
    }
    return values;
  }

  Values call(const Json& argument, const Values& values) {
    const Tagged graph = tagged(argument);
    if (graph.kind != "as_graph") throw ModelError("the program runs a sub-graph that is not there");
    if (depth_ == 32) throw ModelError("the program nests sub-graphs beyond reason");
    const Json& inner = graph.value.at("graph");
    ExportScope scope;
    const Json& inputs = inner.at("inputs");
    if (inputs.size() != values.size()) {
      throw ModelError(
          concat("the program gives ", values.size(), " values to a sub-graph that takes ", inputs.size()));
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Tagged input = tagged(inputs[i]);
      if (input.value.contains("name")) give(scope, input.value.at("name"), values[i]);
      if (input.value.contains("as_name")) give(scope, input.value.at("as_name"), values[i]);
    }
    ++depth_;
    Values outputs = run(inner, scope);
    --depth_;
    return outputs;
  }

  /// Returns the tensors that the model returned, alone or as a named tuple. What it wrote to its buffers is
  /// among the program's outputs, and left out.
  void return_named(const Values& outputs) {
    const Json& specs = module_.at("signature").at("output_specs");
    const Json& calls = module_.at("module_call_graph");
    const Json tree = parsed_json(text(calls.at(0).at("signature").at("out_spec")));
    const std::vector<std::string> names =
        OutputNames(tree.at(1), module_.value("treespec_namedtuple_fields", Json::object())).names();
    if (specs.size() != outputs.size()) throw ModelError("is damaged: it has results without a meaning");
    Values tensors;
    std::vector<std::string> fields;
    std::size_t leaf = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (tagged(specs[i]).kind != "user_output") continue;
      const std::string name = leaf < names.size() ? names[leaf] : std::to_string(leaf);
      ++leaf;
      if (outputs[i]->type()->kind() != c10::TypeKind::TensorType) continue;
      tensors.push_back(outputs[i]);
      fields.push_back(name);
    }
    if (tensors.empty()) throw ModelError("the program returns no tensor");
    const bool bare = names.size() == 1 && names.front().empty();  // not even in a container
    if (bare) {
      graph_->registerOutput(tensors.front());
      return;
    }
    const c10::TupleTypePtr type =
        c10::TupleType::createNamed(c10::QualifiedName("__torch__.exported_outputs"), fields,
                                    std::vector<c10::TypePtr>(tensors.size(), c10::TensorType::get()));
    graph_->registerOutput(graph_->insertNode(graph_->createTuple(tensors, type))->output());
  }

  const Json& program_;
  const Json& module_;
  std::vector<GraphArgument> given_;
  ArgumentChoice choice_;
  InputShape shape_;
  Placement place_;
  ExportedTensors tensors_;
  std::shared_ptr<torch::jit::Graph> graph_;
  ExportArguments arguments_;
  ExportOperators operators_;
  ExportedObject object_;
  ExportedLayers layers_;
  std::map<std::string, std::string> paths_;  ///< of the tensors, by their names in the program
  int depth_ = 0;
};

}  // namespace salience::detail
