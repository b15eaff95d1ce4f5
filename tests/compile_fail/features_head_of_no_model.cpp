// expect: Salience: a model must take a const at::Tensor& and return an at::Tensor
#include <salience/model/features_head.hpp>

int main() {
  salience::FeaturesHead model{[](const at::Tensor& x) { return x; }, [](int x) { return x; }};
}
