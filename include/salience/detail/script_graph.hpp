// How ScriptModel looks at a torch::jit::Module without changing it: the private object tree, the private
// graph, and what may be folded in that graph. For model/script_model.hpp alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/frozen_conv_folding.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/script.h>

#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>

namespace salience::detail {

constexpr std::string_view how_to_export =
    "export the model in Python: torch.jit.trace(model.eval(), torch.zeros(1, 3, 224, "
    "224)).save(\"model.pt\")";

/// Says what a file is, if it is not TorchScript.
inline void require_torchscript(const std::filesystem::path& path) {
  const auto fail = [&path](std::string_view what) { throw FileError::at(path.string(), what); };
  if (!std::filesystem::exists(path)) fail("there is no such file");
  if (!std::filesystem::is_regular_file(path)) fail("is not a file");
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot be read");
  char magic[4] = {};
  file.read(magic, sizeof magic);
  const std::string_view head(magic, static_cast<std::size_t>(file.gcount()));
  if (head.starts_with("\x80")) {
    fail(concat("is a Python pickle (a state dict?), not TorchScript; ", how_to_export));
  }
  if (!head.starts_with("PK")) fail(concat("is not a TorchScript file; ", how_to_export));
  bool pickle = false;
  try {
    caffe2::serialize::PyTorchStreamReader archive(path.string());
    if (archive.hasRecord("constants.pkl")) return;
    pickle = archive.hasRecord("data.pkl");
  } catch (const c10::Error&) {
    fail("is a damaged zip archive, not a TorchScript file (truncated?)");
  }
  fail(pickle ? concat("holds a state dict or another Python object, not TorchScript; ", how_to_export)
              : concat("is a zip archive, but not a TorchScript file; ", how_to_export));
}

inline torch::jit::Module load_module(const std::filesystem::path& path) {
  try {
    return torch::jit::load(path.string(), at::Device(at::kCPU));
  } catch (const std::exception& error) {
    std::throw_with_nested(
        FileError::at(path.string(), concat("cannot be loaded as TorchScript: ", first_cause(error))));
  }
}

/// Copies the tree of module objects, once for each object and tensor: parameters are shared (or converted),
/// buffers copied, other containers copied, `training` false.
class EvaluationView {
 public:
  EvaluationView(std::optional<at::Device> device, std::optional<at::ScalarType> dtype)
      : device_(device), dtype_(dtype) {}

  c10::intrusive_ptr<c10::ivalue::Object> of(const c10::intrusive_ptr<c10::ivalue::Object>& object) {
    auto& copy = objects_[object.get()];
    if (copy) return copy;
    const std::shared_ptr<c10::ClassType> type = object->type();
    copy = c10::ivalue::Object::create(c10::StrongTypePtr(object->compilation_unit(), type),
                                       type->numAttributes());
    const auto fresh = copy;  // the map may move while the children are added
    for (std::size_t slot = 0; slot < type->numAttributes(); ++slot) {
      const c10::IValue& value = object->getSlot(slot);
      if (value.isModule()) {
        fresh->setSlot(slot, of(value.toObject()));
      } else if (value.isTensor()) {
        fresh->setSlot(slot, of(value.toTensor(), type->is_buffer(slot)));
      } else if (value.isBool() && type->getAttributeName(slot) == "training") {
        fresh->setSlot(slot, false);
      } else {
        fresh->setSlot(slot, value.deepcopy());
      }
    }
    return fresh;
  }

 private:
  at::Tensor of(const at::Tensor& tensor, bool buffer) {
    if (!tensor.defined()) return tensor;
    auto& copy = tensors_[tensor.unsafeGetTensorImpl()];
    if (copy.defined()) return copy;
    copy = tensor;
    if (device_) copy = copy.detach().to(*device_);
    if (dtype_ && copy.is_floating_point()) copy = copy.detach().to(*dtype_);
    if (buffer && copy.is_same(tensor)) copy = copy.detach().clone();
    return copy;
  }

  std::optional<at::Device> device_;
  std::optional<at::ScalarType> dtype_;
  std::map<const c10::ivalue::Object*, c10::intrusive_ptr<c10::ivalue::Object>> objects_;
  std::map<const c10::TensorImpl*, at::Tensor> tensors_;
};

inline torch::jit::Module evaluation_view(const torch::jit::Module& module, std::optional<at::Device> device,
                                          std::optional<at::ScalarType> dtype) {
  if (dtype && !at::isFloatingType(*dtype))
    throw ArgumentError::out_of_range("dtype", *dtype, "a floating type");
  return torch::jit::Module(EvaluationView(device, dtype).of(module._ivalue()));
}

/// A copy of forward's graph with all calls inlined.
inline std::shared_ptr<torch::jit::Graph> forward_graph(const torch::jit::Module& module) {
  const auto method = module.find_method("forward");
  if (!method) throw ModelError("the module has no method 'forward'");
  std::size_t required = 0;
  std::string names;
  for (const c10::Argument& argument : method->function().getSchema().arguments()) {
    if (argument.default_value() || argument.kwarg_only()) continue;
    if (required++ > 0) names += concat(names.empty() ? "" : ", ", argument.name());  // the first is self
  }
  if (required != 2) {
    throw ModelError(
        concat("the model's forward takes ", required - 1, " inputs (", names,
               "), an attribution needs exactly one tensor; wrap it in a module that fixes the others"));
  }
  auto graph = method->graph()->copy();
  torch::jit::Inline(*graph);
  return graph;
}

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

inline void collect(torch::jit::Block* block, std::vector<torch::jit::Node*>& nodes) {
  for (torch::jit::Node* node : block->nodes()) {
    nodes.push_back(node);
    for (torch::jit::Block* inner : node->blocks()) collect(inner, nodes);
  }
}

/// Rewrites a private graph for speed: attributes become constants, what follows from constants is computed,
/// BatchNorm is folded into the convolution before it, convolution weights lie channels-last. A module that
/// assigns to its attributes is left as it is, since they are not constant.
inline void fold(std::shared_ptr<torch::jit::Graph>& graph, const torch::jit::Module& module) {
  std::vector<torch::jit::Node*> nodes;
  collect(graph->block(), nodes);
  for (const torch::jit::Node* node : nodes) {
    if (node->kind() == c10::prim::SetAttr) return;
  }
  for (torch::jit::Node* node : nodes) {
    if (node->kind() != c10::prim::GetAttr) continue;
    auto value = attribute_of(node->output(), *graph, module);
    if (!value || value->isObject()) continue;
    if (value->isTensor()) value = value->toTensor().detach();
    const torch::jit::WithInsertPoint before(node);
    if (const auto constant = torch::jit::tryInsertConstant(*graph, *value)) {
      node->output()->replaceAllUsesWith(*constant);
    }
  }
  torch::jit::EliminateDeadCode(graph);
  torch::jit::ConstantPropagation(graph);
  torch::jit::FoldFrozenConvBatchnorm(graph);
  torch::jit::EliminateDeadCode(graph);

  nodes.clear();
  collect(graph->block(), nodes);
  for (torch::jit::Node* node : nodes) {
    const std::string_view kind = node->kind().toQualString();
    if (kind != "aten::conv2d" && kind != "aten::_convolution" && kind != "aten::convolution") continue;
    const auto weight = torch::jit::toIValue(node->input(1));
    if (!weight || !weight->isTensor() || weight->toTensor().dim() != 4) continue;
    const torch::jit::WithInsertPoint before(node);
    const at::Tensor last = weight->toTensor().contiguous(at::MemoryFormat::ChannelsLast);
    node->replaceInput(1, graph->insertConstant(last));
  }
  torch::jit::EliminateDeadCode(graph);
}

/// The tensor to explain in what forward returned.
inline at::Tensor tensor_output(const c10::IValue& output, const std::string& entry) {
  if (output.isTensor() && entry.empty()) return output.toTensor();
  std::vector<std::string> names;
  std::vector<at::Tensor> tensors;
  const auto add = [&](std::string name, const c10::IValue& value) {
    if (!value.isTensor()) return;
    names.push_back(std::move(name));
    tensors.push_back(value.toTensor());
  };
  if (output.isGenericDict()) {
    for (const auto& item : output.toGenericDict()) {
      add(item.key().isString() ? item.key().toStringRef() : concat(item.key()), item.value());
    }
  } else if (output.isTuple()) {
    const auto tuple = output.toTuple();
    for (std::size_t i = 0; i < tuple->elements().size(); ++i) add(std::to_string(i), tuple->elements()[i]);
  } else if (output.isList()) {
    const auto list = output.toList();
    for (std::size_t i = 0; i < list.size(); ++i) add(std::to_string(i), list.get(i));
  } else {
    throw ModelError(concat("the model returns a ", output.tagKind(),
                            entry.empty() ? "" : ", which has no entries",
                            "; an attribution needs a tensor"));
  }
  if (tensors.size() == 1 && entry.empty()) return tensors.front();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == entry) return tensors[i];
  }
  std::string known;
  for (const std::string& name : names) known += concat(known.empty() ? "'" : ", '", name, "'");
  throw ModelError(concat("the model returns a ", output.tagKind(), " of tensors ", known,
                          "; name one with the option "
                          "'output'",
                          entry.empty() ? "" : concat(", there is no '", entry, "'")));
}

}  // namespace salience::detail
