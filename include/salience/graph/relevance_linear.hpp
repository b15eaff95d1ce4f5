// The relevance of linear operators, by the rules of a composite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include <torch/csrc/autograd/autograd.h>
#include <torch/script.h>

#include <salience/graph/relevance_rules.hpp>
#include <salience/graph/rule_node.hpp>
#include <salience/tensor/composite.hpp>
#include <salience/tensor/ledger.hpp>

namespace salience::detail {

/// Where a linear operator has what: `data` is the place of the one tensor that depends on the input among
/// tensors_in(inputs), `weight` and `bias` those of the others, if there are any.
struct LinearPlaces {
  std::size_t data = 0;
  std::optional<std::size_t> weight{}, bias{};
  bool convolution = false;
};

/// One call of a linear operator: sums of it with other inputs, weights and biases, and their transposes.
class LinearCall {
 public:
  LinearCall(const RuleCall& call, const LinearPlaces& places)
      : call_(call), places_(places), tensors_(tensors_in(call.inputs)) {}

  at::Tensor x() const { return tensors_.at(places_.data); }
  at::Tensor weight() const { return places_.weight ? tensors_.at(*places_.weight) : at::Tensor(); }
  at::Tensor bias() const { return places_.bias ? tensors_.at(*places_.bias) : at::Tensor(); }
  const RuleCall& call() const noexcept { return call_; }

  /// A sum, which remembers its input.
  struct Sum {
    at::Tensor value, leaf;
    /// The transposed operator at `shares`.
    at::Tensor back(const at::Tensor& shares) const {
      return torch::autograd::grad({value}, {leaf}, {shares})[0];
    }
  };

  /// Of these; an undefined bias is none.
  Sum operator()(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
    const c10::AutoGradMode recording(true);
    const at::Tensor leaf = x.detach().requires_grad_(true);
    const at::Tensor value =
        call_.run(with_tensors(call_.inputs, [&](const at::Tensor& tensor, std::size_t i) {
          if (i == places_.data) return at::Tensor(leaf);
          if (i == places_.weight) return weight;
          if (i == places_.bias && tensor.defined()) return bias.defined() ? bias : at::zeros_like(tensor);
          return tensor;
        }));
    return {value, leaf};
  }

  /// Notes that of `relevance`, (rows, ...), the bias took its share of z, and epsilon what is left of z.
  void note(const at::Tensor& shares, const at::Tensor& bias_part, const at::Tensor& z,
            const at::Tensor& relevance) const {
    if (!call_.ledger) return;
    call_.ledger->add(bias_part.defined() ? bias_part.mul(shares) : at::Tensor(),
                      relevance.sub(z.mul(shares)));
  }

  /// A bias in the shape in which it adds to the output; undefined without one.
  at::Tensor bias_part(const at::Tensor& bias) const {
    if (!places_.bias || !bias.defined() || bias.dim() != 1) return bias;
    const std::int64_t behind = places_.convolution ? weight().dim() - 2 : 0;
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(behind) + 1, 1);
    sizes[0] = bias.size(0);
    return bias.view(sizes);
  }

 private:
  const RuleCall& call_;
  const LinearPlaces& places_;
  std::vector<at::Tensor> tensors_;
};

inline at::Tensor positive_part(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.clamp_min(0) : tensor;
}
inline at::Tensor negative_part(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.clamp_max(0) : tensor;
}

/// x1 w1 + x2 w2 + bias, in which the second product may be left out, and its share of some relevance.
struct TwoSums {
  LinearCall::Sum first;
  std::optional<LinearCall::Sum> second{};

  at::Tensor value() const { return second ? first.value.add(second->value) : first.value; }
  /// x1 (w1 s)  + x2 (w2 s).
  at::Tensor relevance(const at::Tensor& shares) const {
    const at::Tensor one = first.leaf.detach().mul(first.back(shares));
    return second ? one.add(second->leaf.detach().mul(second->back(shares))) : one;
  }
};

/// The relevance of the data of a linear operator.
class LinearRule {
 public:
  explicit LinearRule(const LinearCall& linear) : linear_(linear), relevance_(linear.call().gradient) {}

  at::Tensor operator()(const lrp::Epsilon& rule) const {
    const at::Tensor x = linear_.x();
    const LinearCall::Sum sum = linear_(x, linear_.weight(), linear_.bias());
    const at::Tensor z = linear_.call().output;
    const at::Tensor shares = shares_of(relevance_, z, rule.epsilon);
    note(shares, linear_.bias(), z);
    return x.mul(sum.back(shares));
  }

  at::Tensor operator()(const lrp::ZPlus& rule) const {
    const TwoSums sums = of_signs(linear_.weight(), /*same_sign=*/true, positive_part(linear_.bias()));
    const at::Tensor z = sums.value().detach(), shares = shares_of(relevance_, z, rule.epsilon);
    note(shares, positive_part(linear_.bias()), z);
    return sums.relevance(shares);
  }

  at::Tensor operator()(const lrp::AlphaBeta& rule) const {
    const auto part = [&](bool same_sign, const at::Tensor& bias, double factor) {
      const TwoSums sums = of_signs(linear_.weight(), same_sign, bias);
      const at::Tensor z = sums.value().detach();
      const at::Tensor shares = shares_of(relevance_.mul(factor), z, rule.epsilon);
      note(shares, bias, z, factor);
      return sums.relevance(shares);
    };
    const at::Tensor excitation = part(true, positive_part(linear_.bias()), rule.alpha);
    return rule.beta == 0.0 ? excitation
                            : excitation.add(part(false, negative_part(linear_.bias()), -rule.beta));
  }

  at::Tensor operator()(const lrp::Gamma& rule) const {
    const at::Tensor output = linear_.call().output;
    const auto part = [&](bool above) {
      const auto leaning = [&](const at::Tensor& tensor, bool up) {
        if (!tensor.defined()) return tensor;
        return tensor.add(up ? positive_part(tensor) : negative_part(tensor), rule.gamma);
      };
      const at::Tensor bias = leaning(linear_.bias(), above);
      const TwoSums sums =
          of_weights(leaning(linear_.weight(), above), leaning(linear_.weight(), !above), bias);
      const at::Tensor relevance = relevance_.mul(above ? output.gt(0) : output.lt(0));
      const at::Tensor z = sums.value().detach(), shares = shares_of(relevance, z, rule.epsilon);
      linear_.note(shares, linear_.bias_part(bias), z, relevance);
      return sums.relevance(shares);
    };
    return part(true).add_(part(false));
  }

  at::Tensor operator()(const lrp::ZBox& rule) const {
    const at::Tensor x = linear_.x(), w = linear_.weight();
    const auto bound = [&](const at::Tensor& given, bool low) {
      if (given.defined()) return given.to(x.options()).expand_as(x);
      std::vector<std::int64_t> dimensions;
      for (std::int64_t d = 1; d < x.dim(); ++d) dimensions.push_back(d);
      if (dimensions.empty()) return at::Tensor(x);
      return (low ? x.amin(dimensions, true) : x.amax(dimensions, true)).expand_as(x);
    };
    const LinearCall::Sum own = linear_(x, w, {}), low = linear_(bound(rule.low, true), positive_part(w), {}),
                          high = linear_(bound(rule.high, false), negative_part(w), {});
    const at::Tensor z = own.value.sub(low.value).sub_(high.value).detach();
    const at::Tensor shares = shares_of(relevance_, z, rule.epsilon);
    note(shares, {}, z);
    const auto share = [&](const LinearCall::Sum& sum) { return sum.leaf.detach().mul(sum.back(shares)); };
    return share(own).sub_(share(low)).sub_(share(high));
  }

  at::Tensor operator()(const lrp::Flat& rule) const {
    return alike(linear_.weight().defined() ? at::ones_like(linear_.weight()) : at::Tensor(), {},
                 rule.epsilon);
  }

  at::Tensor operator()(const lrp::WSquare& rule) const {
    const auto squared = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.square() : tensor; };
    return alike(squared(linear_.weight()), squared(linear_.bias()), rule.epsilon);
  }

  at::Tensor operator()(const lrp::Excitation&) const {
    const at::Tensor x = positive_part(linear_.x());
    const LinearCall::Sum sum = linear_(x, positive_part(linear_.weight()), {});
    const at::Tensor z = sum.value.detach();
    const at::Tensor shares = shares_of(relevance_, z, 0.0);
    note(shares, {}, z);
    return x.mul(sum.back(shares));
  }

 private:
  void note(const at::Tensor& shares, const at::Tensor& bias, const at::Tensor& z,
            double factor = 1.0) const {
    if (!linear_.call().ledger) return;
    linear_.note(shares, linear_.bias_part(bias), z, factor == 1.0 ? relevance_ : relevance_.mul(factor));
  }

  /// With inputs of one: what each gets does not depend on them.
  at::Tensor alike(const at::Tensor& weight, const at::Tensor& bias, double epsilon) const {
    const LinearCall::Sum sum = linear_(at::ones_like(linear_.x()), weight, bias);
    const at::Tensor z = sum.value.detach(), shares = shares_of(relevance_, z, epsilon);
    note(shares, bias, z);
    return sum.back(shares);
  }

  /// Positive inputs with the weights `up`, negative ones with `down`; without the latter where there are
  /// none, as behind a ReLU.
  TwoSums of_weights(const at::Tensor& up, const at::Tensor& down, const at::Tensor& bias) const {
    const at::Tensor x = linear_.x();
    const bool signs = x.lt(0).any().item<bool>();
    TwoSums sums{linear_(signs ? positive_part(x) : x, up, bias)};
    if (signs) sums.second = linear_(negative_part(x), down, {});
    return sums;
  }

  /// The products of inputs and weights of the same sign, or of opposite signs.
  TwoSums of_signs(const at::Tensor& weight, bool same_sign, const at::Tensor& bias) const {
    return of_weights(same_sign ? positive_part(weight) : negative_part(weight),
                      same_sign ? negative_part(weight) : positive_part(weight), bias);
  }

  const LinearCall& linear_;
  const at::Tensor& relevance_;
};

/// Whether a rule looks at what the operator gave.
inline bool looks_at_output(const LrpRule& rule) {
  return std::holds_alternative<lrp::Epsilon>(rule) || std::holds_alternative<lrp::Gamma>(rule);
}

/// A linear operator under a rule.
inline std::vector<at::Tensor> linear_rule(const RuleCall& call, const LinearPlaces& places,
                                           const LrpRule& rule) {
  std::vector<at::Tensor> result(tensors_in(call.inputs).size());
  const LinearCall linear(call, places);
  result[places.data] = std::visit(LinearRule(linear), rule);
  return result;
}

}  // namespace salience::detail
