// expect: Salience: a target must be a choice, ClassIndex
#include <salience/method/explanation.hpp>

int main() {
  salience::Explanation explanation{[](const at::Tensor& x) { return x; }, at::Tensor{}, 5};
}
