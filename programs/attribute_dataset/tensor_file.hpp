// Named tensors in one file, for Python: dict(torch.load(path)).
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// The file's bytes: a tuple of pairs, which torch.load takes without being told to trust the file.
std::string tensor_file(const NamedTensors& tensors);

/// What tensor_file() gave. Throws FileError for anything else.
NamedTensors read_tensor_file(const std::filesystem::path& path);
