// save_pt and load_pt: tensors as the files of Python's torch.save and torch.load.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <caffe2/serialize/in_memory_adapter.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/csrc/jit/serialization/unpickler.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/io/detail/zip.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Tensors with their names, in an order that is kept.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

namespace detail {

/// How many bytes there are in the file for the storage that begins there.
using RecordSizes = std::unordered_map<const void*, std::size_t>;

/// Does a tensor that was read lie within its storage, and that within what was in the file? LibTorch looks
/// at neither.
inline bool within_storage(const at::Tensor& tensor, const RecordSizes& records) {
  if (!tensor.defined() || tensor.layout() != at::kStrided) return false;
  const std::size_t bytes = tensor.storage().nbytes();
  const auto record = records.find(tensor.storage().data());
  if (bytes > 0 && (record == records.end() || bytes > record->second)) return false;
  const std::uint64_t held = bytes / static_cast<std::size_t>(tensor.element_size());
  const std::int64_t begin = tensor.storage_offset();
  const at::IntArrayRef sizes = tensor.sizes(), strides = tensor.strides();
  const auto negative = [](std::int64_t value) { return value < 0; };
  if (begin < 0 || std::any_of(sizes.begin(), sizes.end(), negative)) return false;
  if (std::any_of(strides.begin(), strides.end(), negative)) return false;
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return true;
  auto last = static_cast<std::uint64_t>(begin);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 2 || strides[i] == 0) continue;
    const auto steps = static_cast<std::uint64_t>(sizes[i] - 1),
               step = static_cast<std::uint64_t>(strides[i]);
    if (steps > held / step) return false;
    last += steps * step;
    if (last >= held) return false;
  }
  return last < held;
}

/// What torch.save wrote, and how large its storages are.
struct LoadedPickle {
  c10::IValue value;
  RecordSizes records;
};

/// As torch::jit::pickle_load, which does not tell how large the storages are that it finds.
inline LoadedPickle unpickled(const std::vector<std::uint8_t>& bytes) {
  caffe2::serialize::PyTorchStreamReader archive(
      std::make_shared<caffe2::serialize::MemoryReadAdapter>(bytes.data(), static_cast<off_t>(bytes.size())));
  const auto [pickle, size] = archive.getRecord("data.pkl");
  const std::string_view text(static_cast<const char*>(pickle.get()), size);
  std::size_t done = 0;
  LoadedPickle loaded;
  torch::jit::Unpickler unpickler(
      [&](char* buffer, std::size_t count) {
        count = text.copy(buffer, count, done);
        done += count;
        return count;
      },
      nullptr, nullptr,
      [&](const std::string& name) {
        auto [data, length] = archive.getRecord("data/" + name);
        loaded.records[data.get()] = length;
        return std::move(data);
      },
      c10::Device(at::kCPU));
  unpickler.set_version(archive.version());
  loaded.value = unpickler.parse_ivalue();
  return loaded;
}

inline LoadedPickle load_pickle(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  if (!honest_zip({reinterpret_cast<const char*>(bytes.data()), bytes.size()})) {
    throw file_error(path, "is not what torch.save writes, or is cut off");
  }
  try {
    return unpickled(bytes);
  } catch (const std::exception& error) {
    std::throw_with_nested(
        file_error(path, concat("is not what torch.save writes of tensors: ", first_cause(error))));
  }
}

inline at::Tensor loaded_tensor(const std::filesystem::path& path, const c10::IValue& value,
                                const RecordSizes& records) {
  if (!value.isTensor())
    throw file_error(path, concat("holds a ", value.tagKind(), " where a tensor was expected"));
  at::Tensor tensor = value.toTensor();
  if (!within_storage(tensor, records)) {
    throw file_error(path, "is damaged: a tensor reaches beyond its values");
  }
  return tensor;
}

/// The tensor itself, without what else is in its storage, of which the whole would be written.
inline at::Tensor to_save(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_meta()) {
    throw ArgumentError::out_of_range("the tensor of a .pt file",
                                      tensor.defined() ? "on meta" : "(undefined)",
                                      "one that holds its values");
  }
  return tensor.detach().cpu().clone(at::MemoryFormat::Contiguous);
}

inline std::string pickled(const c10::IValue& value) {
  const std::vector<char> bytes = torch::jit::pickle_save(value);
  return {bytes.begin(), bytes.end()};
}

}  // namespace detail

/// The bytes of a file for Python's `torch.load`, which takes it without being told to trust it: the tensor
/// on the CPU, contiguous, in its own type. Throws ArgumentError for a tensor that is undefined.
inline std::string pt_bytes(const at::Tensor& tensor) { return detail::pickled(detail::to_save(tensor)); }

/// The same of tensors with names: a tuple of pairs, for Python's `dict(torch.load(path))`.
inline std::string pt_bytes(const NamedTensors& tensors) {
  std::vector<c10::IValue> pairs;
  pairs.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    pairs.emplace_back(c10::ivalue::Tuple::create(name, detail::to_save(tensor)));
  }
  return detail::pickled(c10::ivalue::Tuple::create(std::move(pairs)));
}

/// Writes what pt_bytes gives in one step: see write_file_atomically.
///
///     save_pt("map.pt", attribution.values);
///
/// Throws as pt_bytes, and FileError if the file cannot be written.
inline void save_pt(const std::filesystem::path& path, const at::Tensor& tensor) {
  write_file_atomically(path, pt_bytes(tensor));
}
/// The same of tensors with names.
inline void save_pt(const std::filesystem::path& path, const NamedTensors& tensors) {
  write_file_atomically(path, pt_bytes(tensors));
}

/// The tensor of a file that save_pt or Python's `torch.save(tensor, path)` wrote, on the CPU. Throws
/// FileError, with the file's path, if it cannot be read, holds anything else, or is damaged in a way that
/// shows; no entry of it may take more memory than the file's size.
inline at::Tensor load_pt(const std::filesystem::path& path) {
  const detail::LoadedPickle loaded = detail::load_pickle(path);
  return detail::loaded_tensor(path, loaded.value, loaded.records);
}

/// The tensors of a file that save_pt wrote of NamedTensors, or Python's `torch.save` of a dict from names to
/// tensors, in the file's order. Throws as load_pt.
inline NamedTensors load_named_pt(const std::filesystem::path& path) {
  const detail::LoadedPickle loaded = detail::load_pickle(path);
  const c10::IValue& value = loaded.value;
  NamedTensors tensors;
  const auto add = [&](const c10::IValue& name, const c10::IValue& tensor) {
    if (!name.isString()) {
      throw detail::file_error(path,
                               detail::concat("holds a ", name.tagKind(), " where a name was expected"));
    }
    tensors.emplace_back(name.toStringRef(), detail::loaded_tensor(path, tensor, loaded.records));
  };
  if (value.isGenericDict()) {
    for (const auto& pair : value.toGenericDict()) add(pair.key(), pair.value());
  } else if (value.isTuple()) {
    for (const c10::IValue& pair : value.toTupleRef().elements()) {
      if (!pair.isTuple() || pair.toTupleRef().elements().size() != 2) {
        throw detail::file_error(path, "holds no tensors with names");
      }
      add(pair.toTupleRef().elements()[0], pair.toTupleRef().elements()[1]);
    }
  } else {
    throw detail::file_error(path, detail::concat("holds a ", value.tagKind(), ", not tensors with names"));
  }
  return tensors;
}

}  // namespace salience
