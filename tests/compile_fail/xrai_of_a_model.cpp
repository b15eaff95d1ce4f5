// expect: Salience: Xrai wraps an attributor
#include <salience/method/xrai.hpp>

salience::Xrai xrai{[](const at::Tensor& x) { return x; }};
