// expect: Salience: a backward rule must take what a rectifier passes back and what comes in from above
#include <salience/method/backward_rule.hpp>

int main() {
  salience::GradientAttributor guided{[](const at::Tensor& x) { return x; },
                                      [](const at::Tensor& plain) { return plain.relu(); }};
}
