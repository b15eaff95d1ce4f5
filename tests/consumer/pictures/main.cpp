#include <cstdio>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/resize.hpp>

int main() {
  const salience::Heatmap heatmap = salience::Heatmap::Constant(4, 6, 0.5F);
  const salience::Image small = salience::resize(salience::grayscale(heatmap), 2, 3);
  std::printf("%d x %d\n", small.height(), small.width());
  return small.height() == 2 && small.width() == 3 ? 0 : 1;
}
