// Copies of a tree of module objects: the private snapshot of a model, and what a run may change of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

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

inline void require_floating(const Placement& place) {
  if (place.dtype && !at::isFloatingType(*place.dtype)) {
    throw ArgumentError::out_of_range("dtype", *place.dtype, "a floating type");
  }
}

/// Copies a tree of module objects, and those attributes in it that `copied` names; it shares the others.
/// Each object and tensor is copied once, and tensors that share memory do so in the copy. No tensor of the
/// copy asks for a gradient, so that none is computed or prepared for, and `training` is false.
class ObjectCopy {
 public:
  using Names = std::function<bool(const std::string&)>;

  explicit ObjectCopy(Names copied, Placement place = {}, bool share_memory = false)
      : copied_(std::move(copied)), place_(place), share_memory_(share_memory) {}

  torch::jit::Module operator()(const torch::jit::Module& module) {
    return torch::jit::Module(of(module._ivalue()));
  }

 private:
  c10::intrusive_ptr<c10::ivalue::Object> of(const c10::intrusive_ptr<c10::ivalue::Object>& object) {
    auto& copy = objects_[object.get()];
    if (copy) return copy;
    const std::shared_ptr<c10::ClassType> type = object->type();
    copy = c10::ivalue::Object::create(c10::StrongTypePtr(object->compilation_unit(), type),
                                       type->numAttributes());
    for (std::size_t slot = 0; slot < type->numAttributes(); ++slot) {
      const c10::IValue& value = object->getSlot(slot);
      const bool own = copied_(type->getAttributeName(slot));
      if (value.isModule()) {
        copy->setSlot(slot, of(value.toObject()));
      } else if (value.isTensor()) {
        copy->setSlot(slot, of(value.toTensor(), own));
      } else if (value.isBool() && type->getAttributeName(slot) == "training") {
        copy->setSlot(slot, false);
      } else {
        copy->setSlot(slot, own ? of_container(value.deepcopy(), value) : value);
      }
    }
    return copy;
  }

  at::Tensor of(const at::Tensor& tensor, bool own) {
    if (!tensor.defined()) return tensor;
    auto& [original, copy] = tensors_[tensor.unsafeGetTensorImpl()];
    if (!copy.defined()) {
      original = tensor;
      copy = place_(tensor.detach());
      const bool same_memory = copy.is_alias_of(tensor);
      if ((own && same_memory && !share_memory_) || copy.is_inference()) copy = with_own_memory(copy);
    }
    return copy;
  }

  at::Tensor with_own_memory(const at::Tensor& tensor) {
    if (tensor.layout() != at::kStrided || tensor.is_quantized()) return tensor.clone();
    auto& [original, copy] = memory_[tensor.storage().unsafeGetStorageImpl()];
    if (!copy.defined()) {
      original = tensor;
      const auto bytes = static_cast<std::int64_t>(tensor.storage().nbytes());
      at::Tensor all = at::empty({0}, tensor.options().dtype(at::kByte));
      copy = all.set_(tensor.storage(), 0, {bytes}, {1}).clone();
    }
    return at::empty({0}, tensor.options())
        .set_(copy.storage(), tensor.storage_offset(), tensor.sizes(), tensor.strides());
  }

  /// The tensors in a container that is ours already, `original` being the caller's.
  c10::IValue of_container(const c10::IValue& value, const c10::IValue& original) {
    if (value.isTensor()) return of(original.toTensor(), true);
    if (value.isTensorList()) {
      c10::List<at::Tensor> list = value.toTensorList();
      const c10::List<at::Tensor> originals = original.toTensorList();
      for (std::size_t i = 0; i < list.size(); ++i) list.set(i, of(originals.get(i), true));
    } else if (value.isTuple()) {
      const auto& originals = original.toTupleRef().elements();
      std::vector<c10::IValue> elements;
      for (const c10::IValue& element : value.toTupleRef().elements())
        elements.push_back(of_container(element, originals[elements.size()]));
      return c10::ivalue::Tuple::create(std::move(elements));
    } else if (value.isGenericDict()) {
      c10::impl::GenericDict dict = value.toGenericDict();
      const c10::impl::GenericDict originals = original.toGenericDict();
      for (const auto& item : originals)
        dict.insert_or_assign(item.key(), of_container(dict.at(item.key()), item.value()));
    }
    return value;
  }

  Names copied_;
  Placement place_;
  bool share_memory_;
  std::map<const c10::ivalue::Object*, c10::intrusive_ptr<c10::ivalue::Object>> objects_;
  /// Originals are kept so that nothing else takes their addresses.
  std::map<const c10::TensorImpl*, std::pair<at::Tensor, at::Tensor>> tensors_;
  std::map<const c10::StorageImpl*, std::pair<at::Tensor, at::Tensor>> memory_;
};

/// A module of our own, as the given one is now. What was just loaded is nobody else's and is not copied once
/// more.
inline torch::jit::Module snapshot(const torch::jit::Module& module, const Placement& place,
                                   bool just_loaded) {
  require_floating(place);
  return ObjectCopy([](const std::string&) { return true; }, place, just_loaded)(module);
}

}  // namespace salience::detail
