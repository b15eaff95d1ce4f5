// Composite: which rule of layer-wise relevance propagation which operators get.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>

namespace salience {

/// Rules of layer-wise relevance propagation. An operator gives z = sum_i x_i w_i + b; its relevance R goes
/// back as R_i = sum of shares. w+ and w- are the positive and negative parts of a weight, st(z) = z +
/// sign(z) epsilon with sign(0) = 1.
namespace lrp {

/// R_i = x_i w_i R / st(z) (Bach et al. 2015).
struct Epsilon {
  double epsilon = 1e-6;  ///< above 0; zennit's default
};

/// Where z > 0 the weights are w + gamma w+ for positive inputs and w + gamma w- for negative ones, where z <
/// 0 the other way round (Montavon et al. 2019, for inputs of any sign); the rest is as in Epsilon.
struct Gamma {
  double gamma = 0.25;    ///< at least 0; zennit's default
  double epsilon = 1e-6;  ///< above 0
};

/// The positive shares alone, x+ w+ and x- w-, and the positive part of the bias.
struct ZPlus {
  double epsilon = 1e-6;  ///< above 0
};

/// alpha times the positive shares minus beta times the negative ones, each of their own sum; alpha - beta =
/// 1.
struct AlphaBeta {
  double alpha = 2.0;     ///< at least 0
  double beta = 1.0;      ///< at least 0
  double epsilon = 1e-6;  ///< above 0
};

/// x w - low w+ - high w-: for the pixels of a picture, which lie between bounds (Montavon et al. 2017).
struct ZBox {
  at::Tensor low{};       ///< black, as the operator gets it; undefined: each sample's smallest number
  at::Tensor high{};      ///< white; undefined: its largest
  double epsilon = 1e-6;  ///< above 0
};

/// The same share for each input (Lapuschkin et al. 2019).
struct Flat {
  double epsilon = 1e-6;  ///< above 0
};

/// Shares w^2, whatever the inputs (Montavon et al. 2017).
struct WSquare {
  double epsilon = 1e-6;  ///< above 0
};

/// The positive shares of x w+ alone; nothing where their sum is zero (excitation backprop, Zhang et al.
/// 2016).
struct Excitation {};

}  // namespace lrp

/// Any rule for a linear operator.
using LrpRule = std::variant<lrp::Epsilon, lrp::Gamma, lrp::ZPlus, lrp::AlphaBeta, lrp::ZBox, lrp::Flat,
                             lrp::WSquare, lrp::Excitation>;

/// Which linear operators a rule is for.
enum class LinearKind {
  any,
  convolution,  ///< convolutions, transposed ones too
  linear,       ///< matrix products with a weight
};

/// Which rules a network gets: the first entry that fits an operator counts, and `otherwise` where none does.
///
///     Composite mine{{{.kind = LinearKind::any, .first = true, .rule = lrp::Flat{}},
///                     {.kind = LinearKind::convolution, .layers = {"features"}, .rule = lrp::Gamma{0.1}},
///                     {.kind = LinearKind::linear, .rule = lrp::Epsilon{}}}};
///     Attribution a = Lrp{model, mine}(x);
///
/// The rest of a network is the same in all: activations, dropout and products with a constant hand their
/// relevance on, and a quotient to its numerator; sums, means, average pooling and interpolation share it as
/// Epsilon does; the largest number of a window takes all; softmax hands on its first-order terms; a
/// BatchNorm that is not part of a convolution, and a norm, whose deviation is held fixed, are linear
/// operators under Epsilon.
struct Composite {
  /// A rule and whom it is for.
  struct Entry {
    LinearKind kind = LinearKind::any;  ///< which operators
    /// Names of layers, as in GraphModel::layers: the operator that gives the output of one of them, or of a
    /// layer inside of it. Empty: any. A name that no such operator has is an ArgumentError.
    std::vector<std::string> layers{};
    bool first = false;  ///< only operators with no other linear operator between them and the input
    LrpRule rule = lrp::Epsilon{};  ///< what they do
  };
  /// What a product of two values that depend on the input does.
  enum class Products {
    /// A gate is held fixed and the other takes all: what a sigmoid, a clamp (ReLU6 too) or a softmax gave,
    /// moved or scaled; where neither or both are one, the operand with fewer numbers. Of the same size each
    /// takes
    /// half. With attention that is CP-LRP (Ali et al. 2022).
    hold_gates,
    halve,  ///< each takes half (AttnLRP, Achtibat et al. 2024)
  };

  std::vector<Entry> entries{};              ///< the first that fits counts
  LrpRule otherwise = lrp::Epsilon{};        ///< of linear operators that no entry fits
  Products products = Products::hold_gates;  ///< of two values that depend on the input

  /// Convolutions z-plus, linear layers epsilon.
  static Composite epsilon_plus() { return of_convolutions(lrp::ZPlus{}); }
  /// The same, and the first operators flat.
  static Composite epsilon_plus_flat() { return with_first(LinearKind::any, lrp::Flat{}, epsilon_plus()); }
  /// Convolutions alpha-beta with 2 and 1, linear layers epsilon.
  static Composite epsilon_alpha2_beta1() { return of_convolutions(lrp::AlphaBeta{}); }
  /// The same, and the first operators flat.
  static Composite epsilon_alpha2_beta1_flat() {
    return with_first(LinearKind::any, lrp::Flat{}, epsilon_alpha2_beta1());
  }
  /// Convolutions gamma, the first ones z-box between `low` and `high`, linear layers epsilon.
  static Composite epsilon_gamma_box(at::Tensor low = {}, at::Tensor high = {}) {
    return with_first(LinearKind::convolution, lrp::ZBox{std::move(low), std::move(high)},
                      of_convolutions(lrp::Gamma{}));
  }
  /// Excitation backprop.
  static Composite excitation_backprop() { return {{}, lrp::Excitation{}}; }
  /// AttnLRP: epsilon, and products halve.
  static Composite attn_lrp() { return {{}, lrp::Epsilon{}, Products::halve}; }
  /// CP-LRP: epsilon, attention held fixed.
  static Composite cp_lrp() { return {{}, lrp::Epsilon{}, Products::hold_gates}; }

 private:
  static Composite of_convolutions(LrpRule rule) {
    return {{{.kind = LinearKind::convolution, .rule = std::move(rule)}}};
  }
  static Composite with_first(LinearKind kind, LrpRule rule, Composite rest) {
    rest.entries.insert(rest.entries.begin(), {.kind = kind, .first = true, .rule = std::move(rule)});
    return rest;
  }
};

namespace detail {

/// Throws ArgumentError for a number out of range.
inline void require_composite(const Composite& composite) {
  const auto check = [](const LrpRule& any) {
    std::visit(
        [](const auto& rule) {
          if constexpr (requires { rule.epsilon; }) {
            if (!(rule.epsilon > 0.0)) throw ArgumentError::out_of_range("epsilon", rule.epsilon, "above 0");
          }
          if constexpr (requires { rule.gamma; }) {
            if (!(rule.gamma >= 0.0)) throw ArgumentError::out_of_range("gamma", rule.gamma, "at least 0");
          }
          if constexpr (requires { rule.alpha; }) {
            if (!(rule.alpha >= 0.0 && rule.beta >= 0.0 && rule.alpha - rule.beta > 0.999999 &&
                  rule.alpha - rule.beta < 1.000001)) {
              throw ArgumentError(concat("alpha is ", rule.alpha, " and beta ", rule.beta,
                                         "; both must be at least 0, and alpha - beta 1"));
            }
          }
        },
        any);
  };
  check(composite.otherwise);
  for (const Composite::Entry& entry : composite.entries) check(entry.rule);
}

}  // namespace detail

}  // namespace salience
