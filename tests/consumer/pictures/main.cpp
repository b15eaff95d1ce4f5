#include <cstdio>
#include <salience/picture/resize.hpp>

int main() {
  const salience::Image small = salience::resize(salience::Image(4, 6, 3), 2, 3);
  std::printf("%d x %d\n", small.height(), small.width());
  return small.height() == 2 && small.width() == 3 ? 0 : 1;
}
