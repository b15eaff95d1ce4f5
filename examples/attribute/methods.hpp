// The attribution methods by their names on the command line.
#pragma once

#include <string>
#include <vector>

/// The names that --method takes.
inline std::vector<std::string> method_names() {
  return {"vanilla", "input_x_gradient", "smooth_grad", "smooth_grad_sq", "var_grad"};
}
