// expect: Salience: a weighting of class activation maps must have a static constant needs_gradient
#include <salience/method/class_activation_map.hpp>
#include <salience/model/last_convolution.hpp>

struct Weighting {
  static constexpr bool needs_gradient = true;
  at::Tensor operator()(const at::Tensor& activations) const { return activations; }
};

int main() {
  const salience::LastConvolution model{[](const at::Tensor& x) { return x; }};
  salience::ClassActivationMap cam{model, {}, Weighting{}};
}
