// Inlines all calls of a TorchScript graph and marks which values are the outputs of layers.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <torch/csrc/jit/passes/inliner.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/graph/marks.hpp>
#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// The path of such a Value, "layer4.1.bn2"; empty for the module itself.
inline std::optional<std::string> path_of(const torch::jit::Value* value, const torch::jit::Graph& graph) {
  if (value == graph.inputs().at(0)) return "";
  const torch::jit::Node* node = value->node();
  if (node->kind() != c10::prim::GetAttr) return std::nullopt;
  const auto owner = path_of(node->input(), graph);
  if (!owner) return std::nullopt;
  return concat(*owner, owner->empty() ? "" : ".", node->s(c10::attr::name));
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

/// Marks the inputs and the output of a call of a layer, before the call is inlined: its output is then used
/// by nothing else, wherever the call stands and whatever the layer returns.
inline void mark_layer(torch::jit::Node* call, torch::jit::Graph& graph) {
  if (call->kind() != c10::prim::CallMethod || !is_forward(call->s(c10::attr::name))) return;
  const auto path = path_of(call->input(0), graph);
  if (!path || path->empty()) return;
  const MarkedLayer layer{*path, class_name(*call->input(0))};
  constexpr auto nobody = [](const torch::jit::Node*) {};
  for (std::size_t i = 1; i < call->inputs().size(); ++i) {
    if (call->input(i)->type()->kind() != c10::TypeKind::TensorType) continue;
    call->replaceInput(
        i, mark_input(call->input(i), call->prev(), layer, static_cast<std::int64_t>(i - 1), nobody));
  }
  mark_output(call->output(), call, layer, nobody);
}

/// Inlines all calls of a graph, those through an interface too if its object is known, and what is forked,
/// and marks what layers give. Functions come in as they were written: LibTorch's simplified ones have lost
/// layers, writes through a dropout, and the caller's autocast has changed them.
class Inliner {
 public:
  Inliner(torch::jit::Graph& graph, const torch::jit::Module& module) : graph_(graph), module_(module) {}

  void run() {
    for (bool again = true; again;) {
      again = false;
      for (torch::jit::Node* node : nodes_of(graph_)) {
        if (node->kind() == c10::prim::fork) {
          again = inlined_fork(node) || again;
        } else if (node->kind() == c10::prim::CallMethod || node->kind() == c10::prim::CallFunction) {
          again = inlined(node) || again;
        }
      }
    }
  }

 private:
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
    function->ensure_defined();
    torch::jit::inlineCallTo(node, function, function->graph().get());
    return true;
  }

  /// What is forked runs where it was forked: the same values, and its layers can be seen. Who needs a
  /// Future, as a list of them, gets one that is made of the value.
  bool inlined_fork(torch::jit::Node* fork) {
    if (!fork->hasAttribute(c10::attr::Subgraph) || fork->hasAttribute(ready())) return false;
    const torch::jit::WithInsertPoint here(fork);
    torch::jit::Value* value =
        torch::jit::insertGraph(graph_, *fork->g(c10::attr::Subgraph), fork->inputs()).at(0);
    const std::vector<torch::jit::Use> uses = fork->output()->uses();
    for (const torch::jit::Use& use : uses) {
      if (use.user->kind() == c10::aten::wait) use.user->output()->replaceAllUsesWith(value);
    }
    for (const torch::jit::Use& use : uses) {
      if (use.user->kind() == c10::aten::wait) use.user->destroy();
    }
    if (!fork->output()->uses().empty()) {
      torch::jit::Node* made = graph_.insertNode(graph_.create(c10::prim::fork, {value}, 1));
      auto identity = std::make_shared<torch::jit::Graph>();
      identity->registerOutput(identity->addInput()->setType(value->type()));
      made->g_(c10::attr::Subgraph, identity)->i_(ready(), 1);
      made->output()->setType(fork->output()->type());
      fork->output()->replaceAllUsesWith(made->output());
    }
    fork->destroy();
    return true;
  }

  static c10::Symbol ready() { return c10::Symbol::attr("salience_ready"); }

  torch::jit::Graph& graph_;
  const torch::jit::Module& module_;
};

}  // namespace salience::detail
