// The operators of vision networks, as functions of one tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace kernels {

/// One operator with its constants. Where it cannot take a shape or a type it throws.
struct Case {
  std::string name;
  std::int64_t rank;  ///< of the input
  at::Tensor (*apply)(const at::Tensor& x);
  bool writes = false;  ///< into x, which must not repeat a value then
};

/// Every case, in the order of their kinds.
std::vector<Case> cases();

/// `count` values that are all different, of both signs, between 1/8 and 4, and the same in bfloat16, float32
/// and float64, in an order that depends on `salt`. After 1280 of them they repeat.
std::vector<double> exact_values(std::int64_t count, int salt);

}  // namespace kernels
