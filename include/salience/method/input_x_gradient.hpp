// InputXGradient: the gradient times the input.
#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/gradient_attributor.hpp>

namespace salience {

/// Input x Gradient (Shrikumar et al.: "Not Just a Black Box", 2016): \f$ x_i \, \partial s_c(x) / \partial
/// x_i \f$, the first-order share of each input element in the score. In a network of ReLUs without biases
/// the values sum to the score. Arguments, results and errors are those of GradientAttributor.
///
///     InputXGradient method{model};
///     Attribution a = method(x, ClassIndex{5});
template <class M>
class InputXGradient {
 public:
  /// Of any Model.
  explicit InputXGradient(M model) : gradient_(std::move(model)) {}

  /// Input times gradient for each sample of `input`, (N, ...).
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(gradient_, input, target, [&](const auto& wanted) {
      Attribution attribution = gradient_(input, wanted);
      attribution.values = attribution.values.mul(input.detach());
      return attribution;
    });
  }

  /// What the call above would explain, by the forward pass alone.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return gradient_.predict(input, target);
  }

 private:
  GradientAttributor<M> gradient_;
};

}  // namespace salience
