// What operators of several steps hand back in DeepLIFT: softmax, norms and attention, taken apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <torch/script.h>

#include <salience/graph/attention.hpp>
#include <salience/graph/deep_lift_rules.hpp>
#include <salience/graph/norms.hpp>
#include <salience/graph/rule_node.hpp>

namespace salience::detail {

/// The slope of exp between two numbers, without a quotient of small changes.
inline at::Tensor slope_of_exp(const at::Tensor& u, const at::Tensor& u0) {
  const at::Tensor run = u.sub(u0).abs_(), none = run.eq(0);
  const at::Tensor share = run.neg().expm1_().neg_().div_(run.masked_fill(none, 1.0)).masked_fill_(none, 1.0);
  return at::maximum(u, u0).exp_().mul_(share);
}

/// What log(sum(exp(u))) hands back: the slope of exp at each number over that of exp at the whole, which is
/// the slope of exp, sum and log one after the other. None is below 0 and together they are at most 1, so
/// that nothing overflows however far apart u and u0 are.
inline at::Tensor log_sum_multiplier(const at::Tensor& u, const at::Tensor& u0, std::int64_t dimension) {
  const at::Tensor whole = u.logsumexp(dimension, true), whole0 = u0.logsumexp(dimension, true);
  const at::Tensor shift = at::maximum(whole, whole0);  // changes nothing in the quotient
  return slope_of_exp(u.sub(shift), u0.sub(shift)).div_(slope_of_exp(whole.sub(shift), whole0.sub(shift)));
}

/// In float32 at least, with a number in the place of minus infinity.
inline at::Tensor unmasked(const at::Tensor& scores) {
  return scores.to(scores.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).clamp_min(-1e30);
}

/// What softmax, of which these are the inputs, hands back for `gradient`: it is exp(u - log(sum(exp(u)))).
inline at::Tensor softmax_multiplied(const at::Tensor& input, const at::Tensor& input0,
                                     std::int64_t dimension, const at::Tensor& gradient) {
  // What is masked by minus infinity has no change.
  const at::Tensor u = unmasked(input), u0 = unmasked(input0);
  const at::Tensor of_logs = slope_of_exp(u.log_softmax(dimension), u0.log_softmax(dimension)).mul(gradient);
  return of_logs.sub(log_sum_multiplier(u, u0, dimension).mul_(of_logs.sum(dimension, true)))
      .masked_fill_(input.eq(-std::numeric_limits<double>::infinity()), 0.0)
      .to(gradient.scalar_type());
}

inline std::vector<at::Tensor> softmax_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  const at::ScalarType type = call.gradient.scalar_type();
  return {softmax_multiplied(call.tensor(0).to(type), call.base(0).to(type), call.argument(1).toInt(),
                             call.gradient)
              .to(call.tensor(0).scalar_type())};
}

/// u - log(sum(exp(u))).
inline std::vector<at::Tensor> log_softmax_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  const at::ScalarType type = call.gradient.scalar_type();
  const at::Tensor u = unmasked(call.tensor(0).to(type)), u0 = unmasked(call.base(0).to(type));
  const std::int64_t dimension = call.argument(1).toInt();
  return {call.gradient.sub(log_sum_multiplier(u, u0, dimension).mul_(call.gradient.sum(dimension, true)))
              .to(call.tensor(0).scalar_type())};
}

/// (u - mean) / sqrt(mean of squares + eps) over the last `dimensions` dimensions: taken apart into the
/// deviation, its square, the root and the quotient y = c / s, of which c = y s is the product, halfway: so
/// no multiplier grows where one of the roots is small.
inline at::Tensor norm_multiplied(const at::Tensor& u, const at::Tensor& u0, at::IntArrayRef dimensions,
                                  bool centred, double eps, const at::Tensor& gradient) {
  const at::Tensor c = centred ? u.sub(u.mean(dimensions, true)) : u;
  const at::Tensor c0 = centred ? u0.sub(u0.mean(dimensions, true)) : u0;
  const at::Tensor v = c.square().mean(dimensions, true).add_(eps);
  const at::Tensor v0 = c0.square().mean(dimensions, true).add_(eps);
  const at::Tensor root = v.sqrt(), root0 = v0.sqrt();
  const at::Tensor roots = root.add(root0);
  double count = 1.0;
  for (const std::int64_t d : dimensions) count *= static_cast<double>(u.size(d));
  // The slope of the root between v0 and v is 1 / roots.
  const at::Tensor of_v =
      gradient.mul(c.div(root).add_(c0.div(root0))).sum(dimensions, true).div_(roots.square()).neg_();
  at::Tensor of_c = gradient.mul(2.0).div_(roots);
  of_c.add_(c.add(c0).mul_(of_v), 1.0 / count);
  return centred ? of_c.sub_(of_c.mean(dimensions, true)) : of_c;
}

/// Any norm of its own input.
inline std::vector<at::Tensor> norm_rule(const RuleCall& plain, const NormPlaces& places) {
  const PairedCall call(plain);
  const NormCall norm(call, places);
  return {
      norm.back(norm_multiplied(norm.laid_out(call.tensor(0)), norm.laid_out(call.base(0)), norm.dimensions(),
                                norm.centred(), norm.eps(), norm.laid_out(norm.weighted(call.gradient))))};
}

/// The length of vectors, sqrt(sum of squares).
inline std::vector<at::Tensor> length_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  const at::Tensor sum = call.output.add(call.base_output());
  // The slope of sqrt between s0 and s is 1 / (sqrt(s) + sqrt(s0)).
  at::Tensor m = call.gradient.div(sum.masked_fill(sum.eq(0), 1.0)).masked_fill_(sum.eq(0), 0.0);
  const at::Tensor u = call.tensor(0);
  if (m.dim() != u.dim()) {
    std::vector<std::int64_t> dimensions;
    if (call.argument(2).isIntList()) dimensions = call.argument(2).toIntVector();
    if (dimensions.empty()) {
      m = m.view(std::vector<std::int64_t>(static_cast<std::size_t>(u.dim()), 1));
    } else {
      for (std::int64_t& d : dimensions) d = d < 0 ? d + u.dim() : d;
      std::sort(dimensions.begin(), dimensions.end());
      for (const std::int64_t d : dimensions) m = m.unsqueeze(d);
    }
  }
  return {u.add(call.base(0)).mul_(m)};
}

/// a sigmoid(b) of the halves of the input.
inline std::vector<at::Tensor> gated_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  const std::int64_t dimension = call.argument(1).toInt();
  const auto halves = call.tensor(0).chunk(2, dimension), halves0 = call.base(0).chunk(2, dimension);
  const at::Tensor s = halves[1].sigmoid(), s0 = halves0[1].sigmoid();
  const at::Tensor m = curve_multiplier(halves[1], halves0[1], s, s0, true, [](const at::Tensor& at) {
    const at::Tensor there = at.sigmoid();
    return there.mul(there.neg().add_(1.0));
  });
  return {at::cat({call.gradient.mul(s.add(s0).mul_(0.5)),
                   call.gradient.mul(halves[0].add(halves0[0]).mul_(0.5)).mul_(m)},
                  dimension)};
}

/// Attention in one operator: the product of queries and keys, softmax, the product with the values.
inline std::vector<at::Tensor> attention_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  const Attention one(call.inputs), other(call.beside);
  const auto middle = [](const at::Tensor& a, const at::Tensor& b) { return a.add(b).mul_(0.5); };
  const at::Tensor s = one.scores(), s0 = other.scores();
  const at::Tensor of_a = call.gradient.matmul(middle(one.values(), other.values()).transpose(-2, -1));
  const at::Tensor of_v = middle(one.weights(), other.weights()).transpose(-2, -1).matmul(call.gradient);
  const at::Tensor of_s = softmax_multiplied(s, s0, -1, of_a).mul_(one.factor());
  return {of_s.matmul(middle(one.keys(), other.keys())),
          one.shared(of_s.transpose(-2, -1).matmul(middle(one.queries(), other.queries()))),
          one.shared(of_v)};
}

}  // namespace salience::detail
