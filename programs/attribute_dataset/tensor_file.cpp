#include "tensor_file.hpp"

#include <torch/csrc/jit/serialization/pickle.h>
#include <salience/file.hpp>

namespace sal = salience;

std::string tensor_file(const NamedTensors& tensors) {
  std::vector<c10::IValue> pairs;
  pairs.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    // Of a view its whole storage would be written.
    pairs.emplace_back(c10::ivalue::Tuple::create(name, tensor.cpu().clone(at::MemoryFormat::Contiguous)));
  }
  const std::vector<char> bytes = torch::jit::pickle_save(c10::ivalue::Tuple::create(std::move(pairs)));
  return {bytes.begin(), bytes.end()};
}

NamedTensors read_tensor_file(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> bytes = sal::read_file(path);
  try {
    NamedTensors tensors;
    const c10::IValue file = torch::jit::pickle_load(std::vector<char>(bytes.begin(), bytes.end()));
    for (const c10::IValue& pair : file.toTupleRef().elements()) {
      const auto& elements = pair.toTupleRef().elements();
      tensors.emplace_back(elements.at(0).toStringRef(), elements.at(1).toTensor());
    }
    return tensors;
  } catch (const std::exception&) {
    throw sal::FileError::at(path.string(), "is not what attribute_dataset wrote");
  }
}
