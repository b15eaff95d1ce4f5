// expect: Salience: RandomizationCheck takes an attributor and a callable from a level to an attributor
#include <salience/method/gradient_attributor.hpp>
#include <salience/metric/randomization.hpp>

int main() {
  const auto model = [](const at::Tensor& x) { return x; };
  salience::RandomizationCheck check{salience::GradientAttributor{model},
                                     [&](std::int64_t) { return model; }};
}
