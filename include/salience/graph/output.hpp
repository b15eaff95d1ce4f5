// The tensor to explain in what a model returns.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// A tensor in what forward returned, by its path: "out", "aux.1.0".
struct OutputEntry {
  std::string path;
  at::Tensor tensor;
};

/// Adds the tensors in a value, and in the containers in it.
inline void add_entries(const c10::IValue& value, const std::string& path,
                        std::vector<OutputEntry>& entries) {
  const auto inner = [&path](const std::string& key) { return path.empty() ? key : concat(path, ".", key); };
  if (value.isTensor()) {
    entries.push_back({path, value.toTensor()});
  } else if (value.isGenericDict()) {
    for (const auto& item : value.toGenericDict()) {
      add_entries(item.value(), inner(item.key().isString() ? item.key().toStringRef() : concat(item.key())),
                  entries);
    }
  } else if (value.isTuple()) {
    const auto tuple = value.toTuple();
    const auto fields = tuple->type<c10::TupleType>()->names();
    for (std::size_t i = 0; i < tuple->elements().size(); ++i) {
      add_entries(tuple->elements()[i], inner(fields ? std::string(fields->at(i)) : std::to_string(i)),
                  entries);
    }
  } else if (value.isList()) {
    const auto list = value.toList();
    for (std::size_t i = 0; i < list.size(); ++i) add_entries(list.get(i), inner(std::to_string(i)), entries);
  }
}

/// The tensor to explain in what forward returned: that at the path `entry`, or the only one.
inline at::Tensor tensor_output(const c10::IValue& output, const std::string& entry) {
  if (output.isTensor()) {
    if (entry.empty()) return output.toTensor();
    throw ModelError(concat("the model returns one tensor, which has no entry '", entry,
                            "'; leave ModelOptions::output (--entry) out"));
  }
  if (!output.isGenericDict() && !output.isTuple() && !output.isList()) {
    throw ModelError(concat("the model returns a ", output.tagKind(),
                            "; an attribution needs a tensor: wrap the model in a module that returns one"));
  }
  std::vector<OutputEntry> entries;
  add_entries(output, "", entries);
  if (entries.empty()) {
    throw ModelError(concat("the model returns a ", output.tagKind(),
                            " that holds no tensor; wrap it in a module that returns one"));
  }
  if (entries.size() == 1 && entry.empty()) return entries.front().tensor;
  std::string all;
  constexpr std::size_t most = 40;  // that a person would read
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].path == entry) return entries[i].tensor;
    if (i < most) all += concat(i > 0 ? ", " : "", "'", entries[i].path, "' ", shape(entries[i].tensor));
  }
  if (entries.size() > most) all += concat(" and ", entries.size() - most, " more");
  throw ModelError(concat(entry.empty() ? "" : concat("there is no entry '", entry, "': "),
                          "the model returns the tensors ", all,
                          "; name one by ModelOptions::output (--entry)"));
}

}  // namespace salience::detail
