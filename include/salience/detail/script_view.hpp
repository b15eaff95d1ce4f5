// The private view of a torch::jit::Module, and what it returns. For model/script_model.hpp alone.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/detail/tensor.hpp>
#include <salience/error.hpp>

namespace salience::detail {

/// Where and in which floating type to compute, if not as the model is.
struct Placement {
  std::optional<at::Device> device;
  std::optional<at::ScalarType> dtype;

  at::Tensor operator()(at::Tensor tensor) const {
    if (device) tensor = tensor.to(*device);
    if (dtype && tensor.is_floating_point()) tensor = tensor.to(*dtype);
    return tensor;
  }
};

/// Copies the tree of module objects, once for each object and tensor. Parameters share their memory with the
/// caller's (unless the placement is another) but ask for no gradient, so that none is computed or prepared
/// for; all other tensors and containers are copied, since a forward may write into them; `training` is
/// false.
class EvaluationView {
 public:
  explicit EvaluationView(const Placement& place) : place_(place) {}

  c10::intrusive_ptr<c10::ivalue::Object> of(const c10::intrusive_ptr<c10::ivalue::Object>& object) {
    auto& copy = objects_[object.get()];
    if (copy) return copy;
    const std::shared_ptr<c10::ClassType> type = object->type();
    copy = c10::ivalue::Object::create(c10::StrongTypePtr(object->compilation_unit(), type),
                                       type->numAttributes());
    for (std::size_t slot = 0; slot < type->numAttributes(); ++slot) {
      const c10::IValue& value = object->getSlot(slot);
      if (value.isModule()) {
        copy->setSlot(slot, of(value.toObject()));
      } else if (value.isTensor()) {
        copy->setSlot(slot, of(value.toTensor(), type->is_parameter(slot)));
      } else if (value.isBool() && type->getAttributeName(slot) == "training") {
        copy->setSlot(slot, false);
      } else {
        copy->setSlot(slot, placed(value.deepcopy()));
      }
    }
    return copy;
  }

 private:
  at::Tensor of(const at::Tensor& tensor, bool parameter) {
    if (!tensor.defined()) return tensor;
    auto& [original, copy] = tensors_[tensor.unsafeGetTensorImpl()];
    if (!copy.defined()) {
      original = tensor;
      const bool share = parameter && !tensor.is_inference();
      copy = place_(share ? tensor.detach() : tensor.detach().clone());
    }
    return copy;
  }

  /// The tensors in a container that is ours already.
  c10::IValue placed(const c10::IValue& value) {
    if (value.isTensor()) return of(value.toTensor(), false);
    if (value.isTensorList()) {
      c10::List<at::Tensor> list = value.toTensorList();
      for (std::size_t i = 0; i < list.size(); ++i) list.set(i, of(list.get(i), false));
    } else if (value.isTuple()) {
      std::vector<c10::IValue> elements;
      for (const c10::IValue& element : value.toTuple()->elements()) elements.push_back(placed(element));
      return c10::ivalue::Tuple::create(std::move(elements));
    } else if (value.isGenericDict()) {
      c10::impl::GenericDict dict = value.toGenericDict();
      for (const auto& item : dict.copy()) dict.insert_or_assign(item.key(), placed(item.value()));
    }
    return value;
  }

  const Placement& place_;
  std::map<const c10::ivalue::Object*, c10::intrusive_ptr<c10::ivalue::Object>> objects_;
  /// The original is kept so that no other tensor takes its address.
  std::map<const c10::TensorImpl*, std::pair<at::Tensor, at::Tensor>> tensors_;
};

inline torch::jit::Module evaluation_view(const torch::jit::Module& module, const Placement& place) {
  if (place.dtype && !at::isFloatingType(*place.dtype)) {
    throw ArgumentError::out_of_range("dtype", *place.dtype, "a floating type");
  }
  return torch::jit::Module(EvaluationView(place).of(module._ivalue()));
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
                            "; an attribution needs a tensor: wrap the model in a module that returns one"));
  }
  if (tensors.empty())
    throw ModelError(concat("the model returns a ", output.tagKind(),
                            " that holds no tensor; wrap it in a module that returns one"));
  if (tensors.size() == 1 && entry.empty()) return tensors.front();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == entry) return tensors[i];
  }
  std::string known;
  for (const std::string& name : names) known += concat(known.empty() ? "'" : ", '", name, "'");
  const std::string missing = entry.empty() ? "" : concat("there is no entry '", entry, "': ");
  throw ModelError(
      concat(missing, "the model returns the tensors ", known, "; name one with the option 'output'"));
}

}  // namespace salience::detail
