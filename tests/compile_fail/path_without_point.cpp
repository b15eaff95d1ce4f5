// expect: Salience: a path must have point\(input, baseline, t\), or next\(
#include <salience/method/integrated_gradients.hpp>

struct Path {
  double point(double t) const { return t; }
};

int main() {
  salience::IntegratedGradients method{[](const at::Tensor& x) { return x; }, {}, Path{}};
}
