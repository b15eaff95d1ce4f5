// Tells model files by their content, and says of others what they are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/io/detail/zip.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience::detail {

constexpr std::string_view how_to_export =
    "export the model in Python: torch.export.save(torch.export.export(model.eval(), (torch.zeros(2, 3, 224, "
    "224),), dynamic_shapes=({0: torch.export.Dim(\"batch\")},)), \"model.pt2\"), or as TorchScript: "
    "torch.jit.trace(model.eval(), torch.zeros(1, 3, 224, 224)).save(\"model.pt\")";

/// The entries of a zip file; nothing if it is none or cut off.
inline std::optional<std::vector<ZipEntry>> zip_file_entries(const std::filesystem::path& path) {
  std::ifstream file = open_file(path);
  file.seekg(0, std::ios::end);
  const auto size = static_cast<std::uint64_t>(std::max<std::streamoff>(file.tellg(), 0));
  return zip_entries(size, [&file](std::uint64_t place, std::uint64_t count) {
    std::string bytes(static_cast<std::size_t>(count), '\0');
    file.clear();
    file.seekg(static_cast<std::streamoff>(place));
    file.read(bytes.data(), static_cast<std::streamsize>(count));
    bytes.resize(static_cast<std::size_t>(file.gcount()));
    return bytes;
  });
}

enum class ModelFile { torchscript, exported };

/// Which kind of model file this is. Throws FileError for what is none, and says what it is.
inline ModelFile kind_of_model(const std::filesystem::path& path) {
  const auto fail = [&path](std::string_view what) { return file_error(path, what); };
  const std::string head = read_head(path, 4);
  if (head.starts_with("\x80")) {
    throw fail(concat("is a Python pickle (a state dict?), not a model; ", how_to_export));
  }
  if (!head.starts_with("PK")) {
    throw fail(concat("is neither a torch.export program nor TorchScript; ", how_to_export));
  }
  const auto entries = zip_file_entries(path);
  if (!entries) throw fail("is a damaged zip archive, not a model (truncated?)");
  // In what PyTorch writes, all names begin with the archive's own.
  const auto has = [&entries](std::string_view begin, std::string_view end) {
    return std::any_of(entries->begin(), entries->end(), [begin, end](const ZipEntry& entry) {
      const std::string_view name = std::string_view(entry.name).substr(entry.name.find('/') + 1);
      return name.starts_with(begin) && name.ends_with(end);
    });
  };
  if (has("models/", ".json")) return ModelFile::exported;
  if (has("constants.pkl", "constants.pkl")) return ModelFile::torchscript;
  if (has("data/aotinductor/", "")) {
    throw fail(
        "is compiled by AOTInductor, which leaves no operators to take a gradient of; save the program that "
        "it "
        "was compiled from: torch.export.save(program, \"model.pt2\")");
  }
  if (has("serialized_exported_program.json", "")) {
    throw fail(
        "is a torch.export program in a layout of older PyTorch; save it anew in PyTorch 2.8 or later: "
        "torch.export.save(torch.export.load(\"old.pt2\"), \"model.pt2\")");
  }
  throw fail(concat(has("data.pkl", "data.pkl") ? "holds a state dict or another Python object, not a model; "
                                                : "is a zip archive, but not a model; ",
                    how_to_export));
}

inline torch::jit::Module load_module(const std::filesystem::path& path) {
  if (kind_of_model(path) != ModelFile::torchscript) {
    throw file_error(path, "is a torch.export program, not TorchScript: load it with load_model");
  }
  try {
    const Recording recording;
    return torch::jit::load(path.string(), at::Device(at::kCPU));
  } catch (const std::exception& error) {
    std::throw_with_nested(file_error(path, concat("cannot be loaded as TorchScript: ", first_cause(error))));
  }
}

}  // namespace salience::detail
