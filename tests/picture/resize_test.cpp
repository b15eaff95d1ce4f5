#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/picture/resize.hpp>

using salience::ArgumentError;
using salience::Image;

namespace {

Image golden(const std::string& name) {
  return salience::load_image(SALIENCE_TEST_DATA_DIR "/pictures/" + name + ".png");
}

/// The picture of one channel.
Image channel(const Image& image, int c) {
  Image result(image.height(), image.width(), 1);
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) result(y, x, 0) = image(y, x, c);
  }
  return result;
}

/// 0, 1, 2, ... from left to right and top to bottom.
Image counted(int height, int width) {
  Image image(height, width, 1);
  std::uint8_t next = 0;
  for (std::uint8_t& pixel : image.pixels()) pixel = next++;
  return image;
}

}  // namespace

TEST_CASE("resize gives Pillow's pixels") {
  const Image scene = golden("scene");
  CHECK(resize(scene, 17, 23) == golden("scene_17x23"));  // both axes shrink, rows first
  CHECK(resize(scene, 70, 91) == golden("scene_70x91"));  // both grow
  CHECK(resize(scene, 10, 60) == golden("scene_10x60"));  // one axis only
  CHECK(resize(scene, 45, 31) == golden("scene_45x31"));
  CHECK(resize(scene, 4, 50) == golden("scene_4x50"));  // columns first
  CHECK(resize(scene, 4, 50, salience::ResizeOrder::width_first) != golden("scene_4x50"));
  CHECK(resize(scene, 4, 50, salience::ResizeOrder::width_first) == resize(resize(scene, 45, 50), 4, 50));
}

TEST_CASE("resize interpolates linearly between the pixels' centres") {
  // Two pixels to four: the centres lie at 1/4, 3/4, 5/4 and 7/4 of an input pixel, whose own lie at 1/2 and
  // 3/2.
  CHECK(resize(Image(1, 2, 1, {0, 200}), 1, 4) == Image(1, 4, 1, {0, 50, 150, 200}));
  CHECK(resize(Image(2, 1, 1, {0, 200}), 4, 1) == Image(4, 1, 1, {0, 50, 150, 200}));
  // Two pixels to one: the mean.
  CHECK(resize(Image(1, 2, 1, {10, 20}), 1, 1) == Image(1, 1, 1, {15}));
  // Four to two: a triangle four wide has the weights 1 3 3 1, of which the edge cuts one off: (3 a + 3 b +
  // c) / 7.
  CHECK(resize(Image(1, 4, 1, {70, 0, 0, 7}), 1, 2) == Image(1, 2, 1, {30, 3}));
}

TEST_CASE("resize keeps a flat picture flat and an equal size as it is") {
  for (const int value : {0, 1, 127, 254, 255}) {
    const Image flat(13, 29, 3, std::vector<std::uint8_t>(13 * 29 * 3, static_cast<std::uint8_t>(value)));
    for (const auto& [height, width] : {std::pair{1, 1}, {5, 7}, {40, 90}, {13, 64}, {300, 29}}) {
      const Image other = resize(flat, height, width);
      CHECK(other ==
            Image(height, width, 3, std::vector<std::uint8_t>(other.pixels().size(), flat(0, 0, 0))));
    }
  }
  CHECK(resize(counted(6, 9), 6, 9) == counted(6, 9));
  const Image thread(1, 20000, 1, std::vector<std::uint8_t>(20000, 200));
  CHECK(resize(thread, 1, 1) == Image(1, 1, 1, {200}));
  CHECK(resize(thread, 3, 2) == Image(3, 2, 1, std::vector<std::uint8_t>(6, 200)));
}

TEST_CASE("resize treats every channel alone") {
  const Image scene = golden("scene");
  for (int c = 0; c < 3; ++c) CHECK(channel(resize(scene, 20, 75), c) == resize(channel(scene, c), 20, 75));
  for (const int channels : {2, 4, 5}) {
    Image many(11, 17, channels);
    std::uint32_t state = 1;
    for (std::uint8_t& pixel : many.pixels()) {
      pixel = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
    }
    for (int c = 0; c < channels; ++c)
      CHECK(channel(resize(many, 7, 30), c) == resize(channel(many, c), 7, 30));
  }
}

TEST_CASE("resize names what it cannot do") {
  CHECK_THROWS_WITH_AS(resize(counted(2, 2), 0, 5), "resize needs a positive height and width, got 0x5",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(resize(counted(2, 2), 5, -1), "resize needs a positive height and width, got 5x-1",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(resize(Image(), 5, 5), "resize needs a picture, got an empty one", ArgumentError);
}

TEST_CASE("center_crop takes the middle, its offset rounded half to even") {
  // One row less: the offset 0.5 is rounded to 0; three less: 1.5 to 2; five less: 2.5 to 2.
  CHECK(center_crop(counted(4, 1), 3, 1) == Image(3, 1, 1, {0, 1, 2}));
  CHECK(center_crop(counted(4, 1), 1, 1) == Image(1, 1, 1, {2}));
  CHECK(center_crop(counted(6, 1), 1, 1) == Image(1, 1, 1, {2}));
  CHECK(center_crop(counted(1, 4), 1, 1) == Image(1, 1, 1, {2}));
  CHECK(center_crop(counted(4, 4), 2, 2) == Image(2, 2, 1, {5, 6, 9, 10}));
  CHECK(center_crop(counted(3, 3), 3, 3) == counted(3, 3));
}

TEST_CASE("center_crop pads with zeros where the picture is smaller") {
  CHECK(center_crop(Image(1, 1, 1, {9}), 2, 2) == Image(2, 2, 1, {9, 0, 0, 0}));
  CHECK(center_crop(Image(1, 1, 1, {9}), 3, 3) == Image(3, 3, 1, {0, 0, 0, 0, 9, 0, 0, 0, 0}));
  CHECK(center_crop(Image(1, 3, 1, {1, 2, 3}), 2, 1) == Image(2, 1, 1, {2, 0}));
  CHECK(center_crop(Image(1, 1, 2, {8, 9}), 1, 2) == Image(1, 2, 2, {8, 9, 0, 0}));
}

TEST_CASE("center_crop names what it cannot do") {
  CHECK_THROWS_WITH_AS(center_crop(counted(2, 2), 2, 0),
                       "center_crop needs a positive height and width, got 2x0", ArgumentError);
  CHECK_THROWS_WITH_AS(center_crop(Image(), 1, 1), "center_crop needs a picture, got an empty one",
                       ArgumentError);
}
