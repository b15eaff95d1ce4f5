// What the owner of a TorchScript module could notice of it.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>

#include <torch/script.h>

namespace support {

/// Every bit of a module that the first promise keeps.
inline std::string state(const torch::jit::Module& module) {
  std::ostringstream text;
  const auto print = [&text](const std::string& name, const at::Tensor& tensor) {
    text << name << ' ' << tensor.requires_grad() << ' ' << tensor.scalar_type() << ' ';
    const at::Tensor bytes = tensor.detach().contiguous().view(at::kByte).reshape({-1});
    for (std::int64_t i = 0; i < bytes.numel(); ++i)
      text << static_cast<int>(bytes.data_ptr<std::uint8_t>()[i]) << ' ';
    text << (tensor.grad().defined() ? tensor.grad().sum().item<float>() : -1.0F) << '\n';
  };
  for (const auto& item : module.named_parameters()) print(item.name, item.value);
  for (const auto& item : module.named_buffers()) print(item.name, item.value);
  for (const auto& item : module.named_modules())
    text << item.name << ' ' << item.value.is_training() << '\n';
  for (const auto& item : module.named_attributes()) {
    if (item.value.isTensorList()) text << item.name << ' ' << item.value.toTensorList().size() << '\n';
  }
  text << *module.get_method("forward").graph();
  return text.str();
}

}  // namespace support
