// What operators hand back in layer-wise relevance propagation: the relevance of their inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <torch/script.h>

#include <salience/graph/rule_node.hpp>

namespace salience::detail {

/// z + sign(z) epsilon, with sign(0) = 1.
inline at::Tensor stabilised(const at::Tensor& z, double epsilon) {
  return z.add(at::where(z.lt(0), z.new_full({}, -epsilon), z.new_full({}, epsilon)));
}

/// What R / st(z) is; nothing where z is zero and nothing holds it up.
inline at::Tensor shares_of(const at::Tensor& relevance, const at::Tensor& z, double epsilon) {
  if (epsilon > 0.0) return relevance.div(stabilised(z, epsilon));
  const at::Tensor none = z.eq(0);
  return relevance.div(z.masked_fill(none, 1.0)).masked_fill_(none, 0.0);
}

/// The sum of several values, a mean, an interpolation: each input's own part x_i J_i of z, under Epsilon.
inline std::vector<at::Tensor> shared_rule(const RuleCall& call, double epsilon) {
  const at::Tensor shares = shares_of(call.gradient, call.output, epsilon);
  if (call.ledger) call.ledger->add({}, call.gradient.sub(call.output.mul(shares)));
  std::vector<at::Tensor> result = call.derivative(call.inputs, shares);
  const std::vector<at::Tensor> inputs = tensors_in(call.inputs);
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (result[i].defined()) result[i] = result[i].mul(inputs[i]);
  }
  return result;
}

/// An operator that takes one number and gives one: all relevance goes on.
inline std::vector<at::Tensor> passed_rule(const RuleCall& call, std::size_t place) {
  std::vector<at::Tensor> result(place + 1);
  result[place] = at::sum_to(call.gradient, tensors_in(call.inputs)[place].sizes());
  return result;
}

/// A product whose factors share its relevance, each `half` of them.
inline std::vector<at::Tensor> halved_rule(const RuleCall& call, double epsilon) {
  std::vector<at::Tensor> result = shared_rule(call, epsilon);
  double wanted = 0.0;
  for (const at::Tensor& share : result) wanted += share.defined() ? 1.0 : 0.0;
  for (at::Tensor& share : result) {
    if (share.defined()) share.div_(wanted);
  }
  return result;
}

/// A product one of whose factors is a gate, which gets nothing: `gate` is its place, or the smaller one.
inline std::vector<at::Tensor> gated_relevance(const RuleCall& call, std::optional<std::size_t> gate,
                                               double epsilon) {
  const std::vector<at::Tensor> inputs = tensors_in(call.inputs);
  if (!gate && inputs[0].numel() != inputs[1].numel()) gate = inputs[0].numel() < inputs[1].numel() ? 0 : 1;
  if (!gate) return halved_rule(call, epsilon);
  std::vector<at::Tensor> result = shared_rule(call, epsilon);
  result[*gate] = at::Tensor();
  return result;
}

/// Softmax: x_i (R_i - y_i sum_j R_j), the first-order terms (Achtibat et al. 2024).
inline std::vector<at::Tensor> softmax_relevance(const RuleCall& call, std::int64_t dimension) {
  const at::Tensor sum = call.gradient.sum(dimension, true);
  const at::Tensor x = call.tensor(0).to(call.gradient.scalar_type());
  return {x.mul(call.gradient.sub(call.output.mul(sum))).masked_fill_(x.isinf(), 0.0)};
}

}  // namespace salience::detail
