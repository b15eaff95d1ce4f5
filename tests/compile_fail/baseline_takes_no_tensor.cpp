// expect: Salience: a baseline of one's own must take a const at::Tensor&
#include <salience/method/baseline.hpp>

int main() {
  salience::Baseline baseline{[](int x) { return x; }};
}
