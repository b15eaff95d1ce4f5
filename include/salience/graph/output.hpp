// The tensor to explain in what a model returns.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>

namespace salience::detail {

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
    const auto fields = tuple->type<c10::TupleType>()->names();
    for (std::size_t i = 0; i < tuple->elements().size(); ++i) {
      add(fields ? std::string(fields->at(i)) : std::to_string(i), tuple->elements()[i]);
    }
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
  const std::string missing = entry.empty() ? "" : concat("there is no entry '", entry, "': ");
  throw ModelError(concat(missing, "the model returns the tensors ", quoted(names),
                          "; name one by ModelOptions::output (--entry)"));
}

}  // namespace salience::detail
