// expect: Salience: a step of this Preprocessor cannot take what the step before it gives
#include <salience/input/preprocessor.hpp>

int main() { salience::Preprocessor{salience::ToTensor{}, salience::Resize{4, 4}}(salience::Image(8, 8, 3)); }
