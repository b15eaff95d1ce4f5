// expect: Salience: -ffast-math and its parts make maps wrong .* add -fno-fast-math
// options: -ffast-math
#include <salience/picture/image.hpp>

int main() { return salience::Image(1, 1, 1).height() - 1; }
