// A tensor of one number as JSON.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>

/// JSON has no infinities and no NaN: they are null.
inline nlohmann::json json_number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

/// Of one element: a Boolean, an integer or a number.
inline nlohmann::json json_number(const at::Tensor& one) {
  if (one.scalar_type() == at::kBool) return one.item<bool>();
  if (one.scalar_type() == at::kLong) return one.item<std::int64_t>();
  return json_number(one.to(at::kDouble).item<double>());
}
