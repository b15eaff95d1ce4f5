#include "whole.hpp"

#include <filesystem>
#include <salience/salience.hpp>

Whole second() {
  const auto path = std::filesystem::temp_directory_path() / "salience_odr_second.png";
  salience::save_image(path.string(), salience::Image(2, 5, 3));
  const int width = salience::load_image(path.string()).width();
  std::filesystem::remove(path);
  return {reinterpret_cast<const void*>(&salience::detail::edit_distance), width};
}
