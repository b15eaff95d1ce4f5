// The relevance of operators of several steps: norms, whose deviation is held fixed, and attention.
#pragma once

#include <vector>

#include <torch/script.h>

#include <salience/graph/attention.hpp>
#include <salience/graph/norms.hpp>
#include <salience/graph/relevance_rules.hpp>
#include <salience/graph/rule_node.hpp>

namespace salience::detail {

/// Notes what of z times the shares is not the input's own, which the bias took, and epsilon's part.
inline void note_affine(const RuleCall& call, const at::Tensor& shares, const at::Tensor& own) {
  if (!call.ledger) return;
  const at::Tensor shared = call.output.mul(shares);
  call.ledger->add(shared.sub(own), call.gradient.sub(shared));
}

/// x times a factor plus a bias, that is x_i J_i of z, under Epsilon, with the bias's share noted.
inline std::vector<at::Tensor> affine_relevance(const RuleCall& call, double epsilon) {
  const at::Tensor shares = shares_of(call.gradient, call.output, epsilon);
  const at::Tensor own = call.tensor(0).mul(call.derivative(call.inputs, shares).front());
  note_affine(call, shares, own);
  return {own};
}

/// (u - mean) / deviation times a weight, plus a bias: linear in u where the deviation is held fixed.
/// `shares` are R / st(z) times the weight.
inline at::Tensor norm_relevance(const at::Tensor& u, at::IntArrayRef dimensions, bool centred, double eps,
                                 const at::Tensor& shares) {
  const at::Tensor c = centred ? u.sub(u.mean(dimensions, true)) : u;
  const at::Tensor back = shares.mul(c.square().mean(dimensions, true).add_(eps).rsqrt_());
  return u.mul(centred ? back.sub(back.mean(dimensions, true)) : back);
}

/// Any norm of its own input.
inline std::vector<at::Tensor> norm_rule_of_relevance(const RuleCall& call, const NormPlaces& places,
                                                      double epsilon) {
  const NormCall norm(call, places);
  const at::Tensor shares = shares_of(call.gradient, call.output, epsilon);
  const at::Tensor own =
      norm.back(norm_relevance(norm.laid_out(call.tensor(0)), norm.dimensions(), norm.centred(), norm.eps(),
                               norm.laid_out(norm.weighted(shares))));
  note_affine(call, shares, own);
  return {own};
}

/// a sigmoid(b): the gate is held, and the first half takes all.
inline std::vector<at::Tensor> half_of_gate(const RuleCall& call) {
  return {at::cat({call.gradient, at::zeros_like(call.gradient)}, call.argument(1).toInt())};
}

/// Attention in one operator. `halve`: products share their relevance, and softmax hands on its first-order
/// terms; otherwise the attention is held fixed and the values take all.
inline std::vector<at::Tensor> attention_relevance(const RuleCall& call, bool halve, double epsilon) {
  const Attention attention(call.inputs);
  const at::Tensor a = attention.weights();
  const at::Tensor shares = shares_of(call.gradient, call.output, epsilon);
  const at::Tensor& v = attention.values();
  const at::Tensor of_v = v.mul(a.transpose(-2, -1).matmul(shares));
  if (!halve) return {at::Tensor(), at::Tensor(), attention.shared(of_v)};
  const at::Tensor of_a = a.mul(shares.matmul(v.transpose(-2, -1))).mul_(0.5);
  const at::Tensor s = attention.scores();
  const at::Tensor of_s = s.mul(of_a.sub(a.mul(of_a.sum(-1, true)))).masked_fill_(s.isinf(), 0.0);
  const at::Tensor &q = attention.queries(), &k = attention.keys();
  // What a mask adds to the scores keeps its share.
  const at::Tensor of_products =
      shares_of(of_s, s, epsilon).mul_(attention.factor() * 0.5).masked_fill_(s.isinf(), 0.0);
  return {q.mul(of_products.matmul(k)), attention.shared(k.mul(of_products.transpose(-2, -1).matmul(q))),
          attention.shared(of_v.mul(0.5))};
}

}  // namespace salience::detail
