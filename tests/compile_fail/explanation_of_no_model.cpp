// expect: Salience: a model must take a const at::Tensor& and return an at::Tensor
#include <salience/method/explanation.hpp>

int main() {
  salience::Explanation explanation{[](int x) { return x; }, at::Tensor{}};
}
