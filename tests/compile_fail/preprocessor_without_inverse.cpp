// expect: Salience: no step of this Preprocessor has an inverse from Tensor to Image
#include <salience/input/preprocessor.hpp>

int main() {
  const salience::Preprocessor preprocess{[](const salience::Image&) { return at::Tensor{}; }};
  preprocess.picture(at::Tensor{});
}
