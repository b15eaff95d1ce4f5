// What operators hand back in DeepLIFT: multipliers between an input and a baseline.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include <torch/script.h>

#include <salience/graph/rule_node.hpp>

namespace salience::detail {

/// One call of an operator and of its twin: `beside` holds the twin's inputs and, last, its output.
struct PairedCall : RuleCall {
  explicit PairedCall(const RuleCall& call) : RuleCall(call) {}

  at::Tensor base(std::size_t i) const { return beside.at(i).toTensor(); }
  at::Tensor base_output() const { return beside.back().toTensor(); }

  /// The inputs halfway, where they differ.
  torch::jit::Stack middle() const {
    const std::vector<at::Tensor> others = tensors_in(beside);
    return with_tensors(inputs, [&](const at::Tensor& tensor, std::size_t i) {
      return wanted[i] ? tensor.add(others[i]).mul_(0.5) : tensor;
    });
  }
};

/// \f$ (y - y_0) / (u - u_0) \f$, and where that says nothing, `otherwise`'s.
template <class Otherwise>
at::Tensor slope(const at::Tensor& rise, const at::Tensor& run, const at::Tensor& too_short,
                 const Otherwise& otherwise) {
  if (!too_short.any().item<bool>()) return rise.div(run);
  return at::where(too_short, otherwise(), rise.div(run.masked_fill(too_short, 1.0)));
}

/// Below which change the quotient of a smooth curve's changes is less exact than its derivative halfway: the
/// error of the one grows as rounding over the change, that of the other as the change squared.
inline double short_change(at::ScalarType type) {
  return type == at::kDouble ? 6e-6 : type == at::kFloat ? 5e-3 : 0.1;
}

/// The multiplier of a function of single numbers, for which u and u0 give y and y0.
template <class Derivative>
at::Tensor curve_multiplier(const at::Tensor& u, const at::Tensor& u0, const at::Tensor& y,
                            const at::Tensor& y0, bool smooth, const Derivative& derivative) {
  const at::Tensor run = u.sub(u0);
  at::Tensor too_short;  // also where both are masked by minus infinity, which is no change
  if (smooth) {
    const at::Tensor scale = at::maximum(u.abs(), u0.abs());
    too_short = run.abs()
                    .gt(at::minimum(scale, scale.new_ones({})).mul_(short_change(u.scalar_type())))
                    .logical_not();
  } else {
    too_short = run.abs().gt(0.0).logical_not();
  }
  return slope(y.sub(y0), run, too_short, [&] { return derivative(smooth ? u.add(u0).mul_(0.5) : u); });
}

/// The multiplier of an activation, number by number.
inline std::vector<at::Tensor> curve_factor(const RuleCall& plain, bool smooth) {
  const PairedCall call(plain);
  return {curve_multiplier(call.tensor(0), call.base(0), call.output, call.base_output(), smooth,
                           [&](const at::Tensor& at) {
                             torch::jit::Stack there = call.inputs;
                             there[0] = at;
                             return call.derivative(there, at::ones_like(call.output)).front();
                           })};
}

/// The operator's own derivative.
inline std::vector<at::Tensor> plain_rule(const RuleCall& call) {
  return call.derivative(call.inputs, call.gradient);
}

/// A product, or anything else of the second degree: the derivative halfway.
inline std::vector<at::Tensor> product_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  return call.derivative(call.middle(), call.gradient);
}

/// y = a / b. Where b keeps its sign, by the product a = y b halfway, of which no multiplier grows where one
/// of the two b is small; elsewhere as a (1 / b).
inline std::vector<at::Tensor> quotient_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  const at::Tensor b = call.tensor(1), b0 = call.base(1), sum = b.add(b0), product = b.mul(b0);
  const at::Tensor one_sign = product.gt(0);
  std::vector<at::Tensor> result(2);
  const at::Tensor of_a = at::where(one_sign, sum.reciprocal().mul_(2.0), sum.div(product).mul_(0.5));
  result[0] = at::sum_to(call.gradient.mul(of_a), call.tensor(0).sizes());
  if (call.wanted[1]) {
    const at::Tensor numerator = call.tensor(0).add(call.base(0)).mul_(0.5);
    // The slope of 1 / b between b0 and b is -1 / (b b0).
    const at::Tensor of_b =
        at::where(one_sign, call.output.add(call.base_output()).div_(sum), numerator.div(product));
    result[1] = at::sum_to(call.gradient.mul(of_b), b.sizes()).neg_();
  }
  return result;
}

/// max(a, b) = b + max(a - b, 0), and the same for min.
inline std::vector<at::Tensor> larger_rule(const RuleCall& plain, double sign) {
  const PairedCall call(plain);
  const at::Tensor d = call.tensor(0).sub(call.tensor(1)).mul_(sign);
  const at::Tensor d0 = call.base(0).sub(call.base(1)).mul_(sign);
  const at::Tensor m = curve_multiplier(d, d0, d.relu(), d0.relu(), false,
                                        [](const at::Tensor& at) { return at.gt(0).to(at.scalar_type()); });
  return {at::sum_to(call.gradient.mul(m), call.tensor(0).sizes()),
          at::sum_to(call.gradient.mul(m.neg().add_(1.0)), call.tensor(1).sizes())};
}

/// c a + (1 - c) b, where the condition c is 0 or 1 and looks at another value, `u`, which stands beside:
/// what the change of c brings goes to that.
inline std::vector<at::Tensor> switched(const PairedCall& call, const at::Tensor& c, const at::Tensor& c0,
                                        const at::Tensor& step, at::Tensor& of_a, at::Tensor& of_b) {
  const at::Tensor& g = call.gradient;
  const at::Tensor share = c.add(c0).mul_(0.5);
  of_a = g.mul(share);
  of_b = g.sub(of_a);
  const std::size_t place = call.beside.size() - 2;
  const at::Tensor u = call.beside[place].toTensor(), run = u.sub(call.beside[place + 1].toTensor());
  const at::Tensor turned = c.sub(c0);  // only where u changes
  const at::Tensor of_u =
      g.mul(turned).mul_(step).div(run.masked_fill(run.eq(0), 1.0)).masked_fill_(turned.eq(0), 0.0);
  std::vector<at::Tensor> result(tensors_in(call.inputs).size() + tensors_in(call.beside).size());
  result[result.size() - 2] = at::sum_to(of_u, u.sizes());
  return result;
}

/// A number of the type of what is handed back.
inline at::Tensor number_like(const c10::IValue& value, const at::Tensor& gradient) {
  return value.isTensor() ? value.toTensor().to(gradient.scalar_type())
                          : at::full({}, value.toScalar(), gradient.options());
}

/// where(c, a, b).
inline std::vector<at::Tensor> where_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  const auto number = [&](const c10::IValue& value) { return number_like(value, call.gradient); };
  const at::Tensor a = number(call.argument(1)), b = number(call.argument(2));
  const at::Tensor step = a.add(number(call.beside[1])).sub(b.add(number(call.beside[2]))).mul_(0.5);
  at::Tensor of_a, of_b;
  std::vector<at::Tensor> result =
      switched(call, number(call.argument(0)), number(call.beside[0]), step, of_a, of_b);
  std::size_t next = 1;
  if (call.argument(1).isTensor()) result[next++] = at::sum_to(of_a, a.sizes());
  if (call.argument(2).isTensor()) result[next] = at::sum_to(of_b, b.sizes());
  return result;
}

/// where(c, value, x).
inline std::vector<at::Tensor> filled_rule(const RuleCall& plain) {
  const PairedCall call(plain);
  const at::ScalarType type = call.gradient.scalar_type();
  const at::Tensor step =
      number_like(call.argument(2), call.gradient).sub(call.tensor(0).add(call.base(0)).mul_(0.5));
  at::Tensor of_value, of_x;
  std::vector<at::Tensor> result =
      switched(call, call.tensor(1).to(type), call.base(1).to(type), step, of_value, of_x);
  result[0] = at::sum_to(of_x, call.tensor(0).sizes());
  return result;
}

/// c x.
inline std::vector<at::Tensor> masked_rule(const RuleCall& plain, std::size_t mask) {
  const PairedCall call(plain);
  const at::ScalarType type = call.gradient.scalar_type();
  const std::size_t other = 1 - mask;
  const at::Tensor x = call.tensor(other);
  at::Tensor of_x, nothing;
  std::vector<at::Tensor> result = switched(call, call.tensor(mask).to(type), call.base(mask).to(type),
                                            x.add(call.base(other)).mul_(0.5), of_x, nothing);
  result[other] = at::sum_to(of_x, x.sizes());
  return result;
}

/// Maxima: `u` and `u0` are (..., positions), `place` and `place0` (..., windows) say where the largest
/// numbers of each window are. The change of a maximum goes to where the larger of the two maxima is.
inline at::Tensor maxima_multiplied(const at::Tensor& u, const at::Tensor& u0, const at::Tensor& place,
                                    const at::Tensor& place0, const at::Tensor& gradient) {
  const at::Tensor change = u.gather(-1, place).sub_(u0.gather(-1, place0));
  const at::Tensor where = at::where(change.ge(0), place, place0);
  const at::Tensor run = u.gather(-1, where).sub_(u0.gather(-1, where));
  // Both maxima differ by no more than the numbers there do, so a change of zero has nothing to give.
  const at::Tensor m = slope(change, run, run.eq(0), [&] { return at::ones_like(run); });
  return at::zeros_like(u).scatter_add(-1, where, m.mul_(gradient));
}

/// Pooling by maxima, with windows that may overlap, over the last `dimensions` dimensions.
inline std::vector<at::Tensor> max_pool_rule(const RuleCall& plain, bool adaptive, std::int64_t dimensions) {
  const PairedCall call(plain);
  const auto places = [&](const at::Tensor& of) {
    const auto list = [&](std::size_t i) { return call.argument(i).toIntVector(); };
    at::Tensor found;
    if (adaptive) {
      const std::vector<std::int64_t> size = list(1);
      found = dimensions == 1   ? std::get<1>(at::adaptive_max_pool1d(of, size))
              : dimensions == 2 ? std::get<1>(at::adaptive_max_pool2d(of, size))
                                : std::get<1>(at::adaptive_max_pool3d(of, size));
    } else {
      const std::vector<std::int64_t> size = list(1), stride = list(2), padding = list(3), dilation = list(4);
      const bool ceil = call.argument(5).toBool();
      found = dimensions == 1
                  ? std::get<1>(at::max_pool1d_with_indices(of, size, stride, padding, dilation, ceil))
              : dimensions == 2
                  ? std::get<1>(at::max_pool2d_with_indices(of, size, stride, padding, dilation, ceil))
                  : std::get<1>(at::max_pool3d_with_indices(of, size, stride, padding, dilation, ceil));
    }
    return found.flatten(-dimensions);
  };
  const at::Tensor u = call.tensor(0).contiguous(), u0 = call.base(0).contiguous();
  return {maxima_multiplied(u.flatten(-dimensions), u0.flatten(-dimensions), places(u), places(u0),
                            call.gradient.flatten(-dimensions))
              .view(u.sizes())};
}

/// The largest number along one dimension.
inline std::vector<at::Tensor> maximum_rule(const RuleCall& plain, double sign) {
  const PairedCall call(plain);
  const at::Tensor u = call.tensor(0), u0 = call.base(0);
  const c10::IValue& wanted = call.inputs.size() > 1 ? call.argument(1) : c10::IValue();
  std::vector<std::int64_t> dimensions;
  if (wanted.isInt()) dimensions = {wanted.toInt()};
  if (wanted.isIntList()) dimensions = wanted.toIntVector();
  if (dimensions.empty()) {
    for (std::int64_t i = 0; i < u.dim(); ++i) dimensions.push_back(i);
  }
  // The dimensions in question last, as one.
  std::vector<std::int64_t> order, kept;
  for (std::int64_t& d : dimensions) d = d < 0 ? d + u.dim() : d;
  for (std::int64_t i = 0; i < u.dim(); ++i) {
    if (std::find(dimensions.begin(), dimensions.end(), i) == dimensions.end()) order.push_back(i);
  }
  const auto first = static_cast<std::int64_t>(order.size());
  order.insert(order.end(), dimensions.begin(), dimensions.end());
  const auto rows = [&](const at::Tensor& tensor) { return tensor.permute(order).flatten(first).mul(sign); };
  std::vector<std::int64_t> back(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    back[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  const at::Tensor a = rows(u), a0 = rows(u0);
  const at::Tensor gradient =
      call.gradient.reshape(a.sizes().slice(0, static_cast<std::size_t>(first))).unsqueeze(-1);
  const at::Tensor result = maxima_multiplied(a, a0, a.argmax(-1, true), a0.argmax(-1, true), gradient);
  return {result.view(u.permute(order).sizes()).permute(back)};
}

}  // namespace salience::detail
