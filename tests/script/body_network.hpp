// Networks that are one function of x, for the tests of rules on operators.
#pragma once

#include <torch/script.h>

#include <string>

#include "../support.hpp"

namespace support {

/// Its forward has this body, and may use the weights w (3, 3, 3, 3), v (3, 4) and b (3), times `bias`.
inline torch::jit::Module body_network(const std::string& body, double bias = 1.0) {
  torch::jit::Module made("Net");
  made.register_parameter("w", normal({3, 3, 3, 3}, at::kDouble, 1) * 0.5, false);
  made.register_parameter("v", normal({3, 4}, at::kDouble, 2), false);
  made.register_parameter("b", normal({3}, at::kDouble, 3) * bias, false);
  made.define("def forward(self, x):\n" + body);
  return made;
}

/// The end of a body: four logits from y (N, 3, H, W).
inline const std::string logits_of_y = "  return torch.matmul(y.mean([2, 3]), self.v)\n";

}  // namespace support
