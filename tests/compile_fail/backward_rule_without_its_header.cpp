// expect: Salience: a backward rule needs #include <salience/method/backward_rule.hpp>
#include <salience/method/gradient_attributor.hpp>

int main() {
  salience::GradientAttributor guided{
      [](const at::Tensor& x) { return x; },
      [](const at::Tensor& plain, const at::Tensor&) { return plain.relu(); }};
}
