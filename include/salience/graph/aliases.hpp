// Which values of a graph may be the same memory, and who writes into it.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/script.h>

#include <salience/graph/nodes.hpp>

namespace salience::detail {

/// Divides the values of a graph into classes: two that may share memory, wholly or in part, or one of which
/// may hold the other, are in one class, wherever in the program. So it is careful, and may say too much.
///
/// LibTorch's own analysis believes the schemas. They do not say that a dropout outside of training,
/// `type_as` or `einsum` may give their input on, nor that a BatchNorm writes its statistics.
class Aliases {
 public:
  Aliases(torch::jit::Graph& graph, const torch::jit::Module& module) : graph_(graph), module_(module) {
    walk(graph.block());
    for (const auto& [value, node] : writes_) writers_[root(value)].push_back(node);
  }

  /// Whether they may share memory.
  bool share(const torch::jit::Value* one, const torch::jit::Value* other) const {
    return root(one) == root(other);
  }

  /// Tells of a value that has come into the graph in the place of another one.
  void add(const torch::jit::Value* value, const torch::jit::Value* in_place_of) {
    if (root(value) != root(in_place_of)) parents_[root(value)] = root(in_place_of);
  }

  /// The nodes that may write into what it is.
  const std::vector<const torch::jit::Node*>& writers(const torch::jit::Value* value) const {
    static const std::vector<const torch::jit::Node*> none;
    const auto known = writers_.find(root(value));
    return known == writers_.end() ? none : known->second;
  }

  /// Whether something may be written into what it is once `node` has run.
  bool written_after(const torch::jit::Node* node, const torch::jit::Value* value) const {
    const auto& all = writers(value);
    return std::any_of(all.begin(), all.end(),
                       [node](const torch::jit::Node* writer) { return may_follow(writer, node); });
  }

 private:
  static bool holds_memory(const torch::jit::Value* value) {
    switch (value->type()->kind()) {
      case c10::TypeKind::NumberType:
      case c10::TypeKind::IntType:
      case c10::TypeKind::FloatType:
      case c10::TypeKind::ComplexType:
      case c10::TypeKind::BoolType:
      case c10::TypeKind::StringType:
      case c10::TypeKind::NoneType:
      case c10::TypeKind::DeviceObjType:
        return false;
      default:
        return true;
    }
  }

  const torch::jit::Value* root(const torch::jit::Value* value) const {
    for (auto next = parents_.find(value); next != parents_.end(); next = parents_.find(value)) {
      value = next->second;
    }
    return value;
  }

  void unite(const torch::jit::Value* one, const torch::jit::Value* other) {
    if (!holds_memory(one) || !holds_memory(other)) return;
    one = root(one);
    other = root(other);
    if (one != other) parents_[one] = other;
  }

  template <class Key>
  void unite(std::map<Key, const torch::jit::Value*>& known, const Key& key, const torch::jit::Value* value) {
    unite(known.emplace(key, value).first->second, value);
  }

  void same_storage(const c10::IValue& held, const torch::jit::Value* value) {
    if (!held.isTensor() || !held.toTensor().defined() || !held.toTensor().has_storage()) return;
    unite(storages_, static_cast<const void*>(held.toTensor().storage().unsafeGetStorageImpl()), value);
  }

  void unite_all(const torch::jit::Node* node) {
    const torch::jit::Value* first = nullptr;
    for (const auto& values : {node->inputs(), node->outputs()}) {
      for (const torch::jit::Value* value : values) {
        if (!holds_memory(value)) continue;
        if (first) unite(first, value);
        first = value;
      }
    }
  }

  void writes(const torch::jit::Node* node, const torch::jit::Value* value) {
    if (holds_memory(value)) writes_.emplace_back(value, node);
  }

  void walk(torch::jit::Block* block) {
    for (torch::jit::Node* node : block->nodes()) visit(node);
  }

  void visit(torch::jit::Node* node) {
    for (torch::jit::Block* inner : node->blocks()) walk(inner);
    if (node->kind() == c10::prim::If) {
      for (const torch::jit::Block* branch : node->blocks()) {
        for (std::size_t i = 0; i < node->outputs().size(); ++i)
          unite(node->outputs()[i], branch->outputs()[i]);
      }
    } else if (node->kind() == c10::prim::Loop) {
      torch::jit::Block* body = node->blocks().at(0);
      for (std::size_t i = 0; i < node->outputs().size(); ++i) {
        for (const torch::jit::Value* value :
             {node->inputs()[i + 2], body->inputs()[i + 1], body->outputs()[i + 1]}) {
          unite(node->outputs()[i], value);
        }
      }
    } else if (node->kind() == c10::prim::Constant) {
      if (const auto known = torch::jit::toIValue(node->output())) same_storage(*known, node->output());
    } else if (node->kind() == c10::prim::GetAttr) {
      unite(attributes_, node->s(c10::attr::name), node->output());
      if (const auto held = attribute_of(node->output(), graph_, module_))
        same_storage(*held, node->output());
    } else if (node->kind() == c10::prim::SetAttr) {
      unite(attributes_, node->s(c10::attr::name), node->input(1));
    } else {
      operation(node);
    }
  }

  void operation(torch::jit::Node* node) {
    const torch::jit::Operator* known = node->maybeOperator();
    if (!known || known->schema().is_vararg() || known->schema().is_varret() ||
        known->aliasAnalysisKind() == c10::AliasAnalysisKind::CONSERVATIVE) {
      unite_all(node);
      constexpr std::array<std::string_view, 13> only_hold{
          "prim::ListConstruct",  "prim::TupleConstruct", "prim::DictConstruct", "prim::TupleUnpack",
          "prim::ListUnpack",     "prim::TupleIndex",     "prim::TupleSlice",    "prim::Print",
          "prim::unchecked_cast", "prim::Uninitialized",  "prim::Enter",         "prim::Exit",
          "prim::RaiseException"};
      if (is_one_of(node, only_hold)) return;
      for (const torch::jit::Value* input : node->inputs()) writes(node, input);
      return;
    }
    const c10::FunctionSchema& schema = known->schema();
    const auto tied = [](const c10::Argument& argument) { return argument.alias_info() != nullptr; };
    const auto wild = [](const c10::Argument& argument) {  // may be anything that a container holds
      const c10::AliasInfo* info = argument.alias_info();
      return info && (info->isWildcardAfter() || info->isWildcardBefore());
    };
    const auto& arguments = schema.arguments();
    const auto& returns = schema.returns();
    const bool gives_its_input = std::any_of(returns.begin(), returns.end(), tied);
    if (std::any_of(arguments.begin(), arguments.end(), wild) ||
        std::any_of(returns.begin(), returns.end(), wild) || moves_elements(*known, node) ||
        (!gives_its_input && may_give_its_input(*known, node))) {
      unite_all(node);
    }
    for (std::size_t i = 0; i < node->inputs().size(); ++i) {
      if (!tied(arguments.at(i))) continue;
      if (arguments[i].alias_info()->isWrite()) writes(node, node->input(i));
      if (!gives_its_input) continue;
      for (const torch::jit::Value* output : node->outputs()) unite(output, node->input(i));
    }
    writes_statistics(node);
  }

  static bool is_in_dispatcher(const torch::jit::Operator& known) {
    return c10::Dispatcher::singleton().findSchema(known.schema().operator_name()).has_value();
  }

  /// TorchScript's own operators on lists and dictionaries (extend, copy, times) say nothing of the elements,
  /// which are in both afterwards.
  static bool moves_elements(const torch::jit::Operator& known, const torch::jit::Node* node) {
    const auto container = [](const torch::jit::Value* value) {
      return value->type()->kind() != c10::TypeKind::TensorType && holds_tensors(value->type());
    };
    const auto inputs = node->inputs(), outputs = node->outputs();
    return (std::any_of(inputs.begin(), inputs.end(), container) ||
            std::any_of(outputs.begin(), outputs.end(), container)) &&
           !is_in_dispatcher(known);
  }

  /// An operator that is written in terms of others may return its input or a view of it, though its schema
  /// says nothing.
  static bool may_give_its_input(const torch::jit::Operator& known, const torch::jit::Node* node) {
    constexpr std::array<std::string_view, 38> fresh{"aten::linear",
                                                     "aten::_convolution",
                                                     "aten::conv1d",
                                                     "aten::conv2d",
                                                     "aten::conv3d",
                                                     "aten::conv_transpose1d",
                                                     "aten::conv_transpose2d",
                                                     "aten::conv_transpose3d",
                                                     "aten::batch_norm",
                                                     "aten::instance_norm",
                                                     "aten::layer_norm",
                                                     "aten::group_norm",
                                                     "aten::rms_norm",
                                                     "aten::matmul",
                                                     "aten::max_pool1d",
                                                     "aten::max_pool2d",
                                                     "aten::max_pool3d",
                                                     "aten::adaptive_avg_pool1d",
                                                     "aten::adaptive_avg_pool2d",
                                                     "aten::adaptive_avg_pool3d",
                                                     "aten::softmax",
                                                     "aten::log_softmax",
                                                     "aten::relu6",
                                                     "aten::selu",
                                                     "aten::scaled_dot_product_attention",
                                                     "aten::upsample_nearest2d",
                                                     "aten::upsample_bilinear2d",
                                                     "aten::upsample_bicubic2d",
                                                     "aten::cat",
                                                     "aten::stack",
                                                     "aten::grid_sampler",
                                                     "aten::gru",
                                                     "aten::lstm",
                                                     "aten::bilinear",
                                                     "aten::tensordot",
                                                     "aten::outer",
                                                     "aten::linalg_norm",
                                                     "aten::cosine_similarity"};
    if (is_one_of(node, fresh)) return false;
    const bool einsum = kind_of(node) == "aten::einsum";
    if (einsum && node->input(1)->node()->inputs().size() > 1) return false;  // a product
    const auto found = c10::Dispatcher::singleton().findSchema(known.schema().operator_name());
    return found && found->hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
  }

  /// BatchNorm's statistics, which its schema does not mark as written.
  void writes_statistics(const torch::jit::Node* node) {
    constexpr std::array<std::string_view, 2> norms{"aten::batch_norm", "aten::instance_norm"};
    if (!is_one_of(node, norms) || is_known(node->input(5), false)) return;
    writes(node, node->input(3));
    writes(node, node->input(4));
  }

  const torch::jit::Graph& graph_;
  const torch::jit::Module& module_;
  std::unordered_map<const torch::jit::Value*, const torch::jit::Value*> parents_;
  std::map<std::string, const torch::jit::Value*> attributes_;
  std::map<const void*, const torch::jit::Value*> storages_;
  std::vector<std::pair<const torch::jit::Value*, const torch::jit::Node*>> writes_;
  std::unordered_map<const torch::jit::Value*, std::vector<const torch::jit::Node*>> writers_;
};

}  // namespace salience::detail
