// expect: Salience: a Preprocessor needs a step from Image to Tensor: ToTensor
#include <salience/input/preprocessor.hpp>

int main() { salience::Preprocessor{salience::Resize{4, 4}}(salience::Image(8, 8, 3)); }
