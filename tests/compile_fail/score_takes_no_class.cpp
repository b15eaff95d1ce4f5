// expect: Salience: the score of a TargetSelector must be Logit
#include <salience/target/target_selector.hpp>

int main() {
  salience::TargetSelector target{salience::ArgMax{}, [](const at::Tensor& x) { return x; }};
}
