// expect: Salience: MaxSensitivity looks at an attributor
#include <salience/metric/sensitivity.hpp>

int main() {
  salience::MaxSensitivity sensitivity{[](const at::Tensor& x) { return x; }, {}};
}
