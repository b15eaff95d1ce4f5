// Inlines all calls of a graph and remembers which values are the outputs of layers. For
// model/script_model.hpp alone.
#pragma once

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/peephole.h>
#include <torch/script.h>

#include <salience/error.hpp>

namespace salience::detail {

/// The object or value that a Value of the graph stands for, if it is read from the module by GetAttr alone.
inline std::optional<c10::IValue> attribute_of(const torch::jit::Value* value, const torch::jit::Graph& graph,
                                               const torch::jit::Module& module) {
  if (value == graph.inputs().at(0)) return module._ivalue();
  const torch::jit::Node* node = value->node();
  if (node->kind() != c10::prim::GetAttr) return std::nullopt;
  const auto owner = attribute_of(node->input(), graph, module);
  if (!owner || !owner->isObject()) return std::nullopt;
  return owner->toObject()->getAttr(node->s(c10::attr::name));
}

/// The path of such a Value, "layer4.1.bn2"; empty for the module itself.
inline std::optional<std::string> path_of(const torch::jit::Value* value, const torch::jit::Graph& graph) {
  if (value == graph.inputs().at(0)) return "";
  const torch::jit::Node* node = value->node();
  if (node->kind() != c10::prim::GetAttr) return std::nullopt;
  const auto owner = path_of(node->input(), graph);
  if (!owner) return std::nullopt;
  return concat(*owner, owner->empty() ? "" : ".", node->s(c10::attr::name));
}

inline void collect(torch::jit::Block* block, std::vector<torch::jit::Node*>& nodes) {
  for (torch::jit::Node* node : block->nodes()) {
    nodes.push_back(node);
    for (torch::jit::Block* inner : node->blocks()) collect(inner, nodes);
  }
}

/// All nodes of the graph, also those inside of branches and loops, in the order of the program.
inline std::vector<torch::jit::Node*> nodes_of(torch::jit::Graph& graph) {
  std::vector<torch::jit::Node*> nodes;
  collect(graph.block(), nodes);
  return nodes;
}

/// A node that gives its input and says which layer's output that is. It stands where the layer's call stood
/// and is never run: it is taken out of every graph before.
struct Mark {
  static c10::Symbol kind() { return c10::Symbol::fromQualString("salience::layer"); }
  static c10::Symbol path() { return c10::Symbol::attr("path"); }
  static c10::Symbol type() { return c10::Symbol::attr("type"); }
};

inline std::vector<torch::jit::Node*> marks_of(torch::jit::Graph& graph) {
  std::vector<torch::jit::Node*> marks = nodes_of(graph);
  std::erase_if(marks, [](const torch::jit::Node* node) { return node->kind() != Mark::kind(); });
  return marks;
}

/// Takes the marks out and simplifies what is left, as LibTorch does with a function before it runs it: tests
/// for None, branches that cannot be taken, constants that are there twice.
inline void remove_marks(std::shared_ptr<torch::jit::Graph>& graph) {
  for (torch::jit::Node* mark : marks_of(*graph)) {
    mark->output()->replaceAllUsesWith(mark->input());
    mark->destroy();
  }
  torch::jit::PeepholeOptimize(graph, /*disable_shape_peepholes=*/true);
  torch::jit::ConstantPropagationImmutableTypes(graph);
  torch::jit::ConstantPooling(graph);
}

/// "forward"; "forward1" and so on, of which a trace has one for each use of a layer; "forward__0" and so on,
/// of an overloaded method.
inline bool is_forward(std::string_view method) {
  constexpr std::string_view forward = "forward", overload = "__";
  if (!method.starts_with(forward)) return false;
  method.remove_prefix(forward.size());
  if (method.starts_with(overload)) method.remove_prefix(overload.size());
  return std::all_of(method.begin(), method.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// "__torch__.torch.nn.modules.conv.___torch_mangle_5.Conv2d" is a "Conv2d".
inline std::string class_name(const torch::jit::Value& object) {
  const auto type = object.type()->cast<c10::ClassType>();
  const std::string name = type && type->name() ? type->name()->name() : "";
  return name.substr(0, name.find("___torch_mangle"));
}

/// Marks the output of a call of a layer, before the call is inlined: its output is then used by nothing
/// else, wherever the call stands and whatever the layer returns.
inline void mark_layer(torch::jit::Node* call, torch::jit::Graph& graph) {
  if (call->kind() != c10::prim::CallMethod || !is_forward(call->s(c10::attr::name))) return;
  const auto path = path_of(call->input(0), graph);
  if (!path || path->empty()) return;
  torch::jit::Node* mark = graph.create(Mark::kind(), 1);
  mark->s_(Mark::path(), *path)->s_(Mark::type(), class_name(*call->input(0)));
  mark->output()->setType(call->output()->type());
  mark->insertAfter(call);
  call->output()->replaceAllUsesWith(mark->output());
  mark->addInput(call->output());
}

/// Inlines all calls of a graph, those through an interface too if its object is known, and marks what layers
/// give.
class Inliner {
 public:
  Inliner(torch::jit::Graph& graph, const torch::jit::Module& module) : graph_(graph), module_(module) {}

  void run() {
    for (bool again = true; again;) {
      again = false;
      for (torch::jit::Node* node : nodes_of(graph_)) again = is_call(node) && inlined(node) ? true : again;
    }
  }

 private:
  static bool is_call(const torch::jit::Node* node) {
    return node->kind() == c10::prim::CallMethod || node->kind() == c10::prim::CallFunction;
  }

  bool inlined(torch::jit::Node* node) {
    const bool method = node->kind() == c10::prim::CallMethod;
    if (method && node->input(0)->type()->cast<c10::InterfaceType>()) {
      const auto object = attribute_of(node->input(0), graph_, module_);
      if (object && object->isObject()) node->input(0)->setType(object->toObject()->type());
    }
    torch::jit::GraphFunction* function = torch::jit::tryToGraphFunction(node);
    if (!function) return false;
    mark_layer(node, graph_);
    if (!method) node->removeInput(0);  // the function itself
    // LibTorch keeps a simplified graph of each function, in which no calls are left; layers would be lost.
    const auto body = has_layers(*function) ? function->graph() : function->optimized_graph();
    torch::jit::inlineCallTo(node, function, body.get());
    return true;
  }

  /// Whether a layer is called in it, or something that could call one.
  bool has_layers(torch::jit::GraphFunction& function) {
    const auto known = has_layers_.find(&function);
    if (known != has_layers_.end()) return known->second;
    function.ensure_defined();
    bool found = false;
    for (torch::jit::Node* node : nodes_of(*function.graph())) {
      if (found || !is_call(node)) continue;
      torch::jit::GraphFunction* callee = torch::jit::tryToGraphFunction(node);
      const bool layer = node->kind() == c10::prim::CallMethod && is_forward(node->s(c10::attr::name));
      found = layer || !callee || has_layers(*callee);
    }
    return has_layers_[&function] = found;
  }

  torch::jit::Graph& graph_;
  const torch::jit::Module& module_;
  std::map<const torch::jit::GraphFunction*, bool> has_layers_;
};

}  // namespace salience::detail
