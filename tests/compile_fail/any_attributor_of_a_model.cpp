// expect: Salience: AnyAttributor holds an attributor, callable with an input and any target
#include <salience/method/any_attributor.hpp>

int main() {
  const salience::AnyAttributor method{[](const at::Tensor& x) { return x; }};
}
