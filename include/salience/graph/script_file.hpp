// Tells TorchScript files from others, in words.
#pragma once

#include <exception>
#include <filesystem>
#include <string_view>

#include <caffe2/serialize/inline_container.h>
#include <torch/script.h>

#include <salience/error.hpp>
#include <salience/file.hpp>
#include <salience/tensor/tensor.hpp>
#include <salience/tensor/thread_modes.hpp>

namespace salience::detail {

constexpr std::string_view how_to_export =
    "export the model in Python: torch.jit.trace(model.eval(), torch.zeros(1, 3, 224, "
    "224)).save(\"model.pt\")";

/// Says what a file is, if it is not TorchScript.
inline void require_torchscript(const std::filesystem::path& path) {
  const auto fail = [&path](std::string_view what) { throw file_error(path, what); };
  const std::string head = read_head(path, 4);
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
  require_torchscript(path);
  try {
    const Recording recording;
    return torch::jit::load(path.string(), at::Device(at::kCPU));
  } catch (const std::exception& error) {
    std::throw_with_nested(file_error(path, concat("cannot be loaded as TorchScript: ", first_cause(error))));
  }
}

}  // namespace salience::detail
