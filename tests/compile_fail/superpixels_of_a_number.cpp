// expect: Salience: superpixels needs a function from a const Image& to Segments, as slic
#include <salience/input/preprocessor.hpp>
#include <salience/input/superpixels.hpp>

int main() { salience::superpixels(salience::imagenet_preprocessor(8, 8), 50); }
