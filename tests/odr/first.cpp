#include <cstdio>
#include <filesystem>
#include <salience/salience.hpp>

#include "whole.hpp"

Whole first() {
  const auto path = std::filesystem::temp_directory_path() / "salience_odr_first.png";
  salience::save_image(path.string(), salience::Image(2, 4, 3));
  const int width = salience::load_image(path.string()).width();
  std::filesystem::remove(path);
  return {reinterpret_cast<const void*>(&salience::detail::edit_distance), width};
}

int main() {
  const Whole a = first();
  const Whole b = second();
  std::printf("functions shared: %d, widths: %d %d %d\n", a.function == b.function, a.width, b.width,
              own_stb());
  return a.function == b.function && a.width == 4 && b.width == 5 && own_stb() == 3 ? 0 : 1;
}
