// Runs picture functions for test_pictures.py, test_images.py and test_superpixels.py: reads commands from
// standard input, one a line with fields separated by tabs, and answers each with "ok" or "error: ..." on
// standard output.
//
// A raw file is "height width channels\n" and the values: bytes of a picture, float or double of a heatmap,
// 32-bit integers of labels.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <salience/picture/colormap.hpp>
#include <salience/picture/felzenszwalb.hpp>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/picture/quickshift.hpp>
#include <salience/picture/resize.hpp>
#include <salience/picture/segments.hpp>
#include <salience/picture/slic.hpp>

namespace {

template <class Value>
std::vector<Value> read_raw(const std::string& path, int& height, int& width, int& channels) {
  std::ifstream file(path, std::ios::binary);
  file >> height >> width >> channels;
  file.get();
  std::vector<Value> values(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) *
                            static_cast<std::size_t>(channels));
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(Value)));
  if (!file) throw std::runtime_error("cannot read " + path);
  return values;
}

salience::Image read_image(const std::string& path) {
  int height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> values = read_raw<std::uint8_t>(path, height, width, channels);
  return salience::Image(height, width, channels, std::move(values));
}

template <class Scalar>
salience::BasicHeatmap<Scalar> read_heatmap(const std::string& path) {
  int height = 0, width = 0, channels = 0;
  const std::vector<Scalar> values = read_raw<Scalar>(path, height, width, channels);
  salience::BasicHeatmap<Scalar> heatmap(height, width);
  std::copy(values.begin(), values.end(), heatmap.data());
  return heatmap;
}

void write_image(const std::string& path, const salience::Image& image) {
  std::ofstream file(path, std::ios::binary);
  file << image.height() << ' ' << image.width() << ' ' << image.channels() << '\n';
  file.write(reinterpret_cast<const char*>(image.pixels().data()),
             static_cast<std::streamsize>(image.pixels().size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

void write_segments(const std::string& path, const salience::Segments& segments) {
  segments.check();
  std::ofstream file(path, std::ios::binary);
  file << segments.height << ' ' << segments.width << ' ' << segments.count << '\n';
  file.write(reinterpret_cast<const char*>(segments.labels.data()),
             static_cast<std::streamsize>(segments.labels.size() * sizeof(std::int32_t)));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

using Fields =
    std::vector<std::string>;  // the command's name, then its arguments; the last is the result's file

void run(const Fields& f) {
  const std::string& command = f.at(0);
  const std::string& out = f.back();
  if (command == "load") {
    write_image(out, salience::load_image(f.at(1)));
  } else if (command == "decode") {
    write_image(out, salience::decode_image(salience::read_file(f.at(1))));
  } else if (command == "save") {
    salience::save_image(out, read_image(f.at(1)));
  } else if (command == "rgb") {
    write_image(out, salience::to_rgb(read_image(f.at(1))));
  } else if (command == "gray") {
    write_image(out, salience::to_gray(read_image(f.at(1))));
  } else if (command == "resize") {
    write_image(out, salience::resize(read_image(f.at(1)), std::stoi(f.at(2)), std::stoi(f.at(3))));
  } else if (command == "resize_width_first") {
    const salience::Image image = read_image(f.at(1));
    write_image(out, salience::resize(image, std::stoi(f.at(2)), std::stoi(f.at(3)),
                                      salience::ResizeOrder::width_first));
  } else if (command == "crop") {
    write_image(out, salience::center_crop(read_image(f.at(1)), std::stoi(f.at(2)), std::stoi(f.at(3))));
  } else if (command == "colormap32") {
    write_image(out, salience::colormap(f.at(2))(read_heatmap<float>(f.at(1))));
  } else if (command == "colormap64") {
    write_image(out, salience::colormap(f.at(2))(read_heatmap<double>(f.at(1))));
  } else if (command == "grayscale32") {
    write_image(out, salience::grayscale(read_heatmap<float>(f.at(1))));
  } else if (command == "grayscale64") {
    write_image(out, salience::grayscale(read_heatmap<double>(f.at(1))));
  } else if (command == "slic") {
    write_segments(out, salience::slic(read_image(f.at(1)), {.segments = std::stoi(f.at(2)),
                                                             .compactness = std::stod(f.at(3)),
                                                             .iterations = std::stoi(f.at(4)),
                                                             .sigma = std::stod(f.at(5)),
                                                             .connected = f.at(6) == "1",
                                                             .minimum_size = std::stod(f.at(7)),
                                                             .maximum_size = std::stod(f.at(8)),
                                                             .zero = f.at(9) == "1"}));
  } else if (command == "felzenszwalb" || command == "felzenszwalb64") {
    const salience::FelzenszwalbOptions options{
        .scale = std::stod(f.at(2)), .sigma = std::stod(f.at(3)), .minimum = std::stoi(f.at(4))};
    if (command == "felzenszwalb") {
      write_segments(out, salience::felzenszwalb(read_image(f.at(1)), options));
    } else {
      int height = 0, width = 0, channels = 0;
      const std::vector<double> values = read_raw<double>(f.at(1), height, width, channels);
      write_segments(out, salience::felzenszwalb(values, height, width, channels, options));
    }
  } else if (command == "quickshift") {
    write_segments(out, salience::quickshift(read_image(f.at(1)), {.ratio = std::stod(f.at(2)),
                                                                   .kernel = std::stod(f.at(3)),
                                                                   .distance = std::stod(f.at(4)),
                                                                   .sigma = std::stod(f.at(5)),
                                                                   .seed = std::stoull(f.at(6))}));
  } else {
    throw std::runtime_error("unknown command " + command);
  }
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) {
    for (const std::string& name : salience::colormap_names()) std::cout << name << '\n';
    return 0;
  }
  for (std::string line; std::getline(std::cin, line);) {
    Fields fields;
    std::istringstream stream(line);
    for (std::string field; std::getline(stream, field, '\t');) fields.push_back(field);
    try {
      run(fields);
      std::cout << "ok\n";
    } catch (const std::exception& error) {
      std::cout << "error: " << error.what() << '\n';
    }
  }
  return 0;
}
