#include "segments.hpp"

#include <salience/input/superpixels.hpp>
#include <salience/picture/felzenszwalb.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/picture/quickshift.hpp>
#include <salience/picture/slic.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace sal = salience;

namespace {

/// The mask picture in the network's size, the nearest of its pixels.
sal::Image resized(const sal::Image& mask, int height, int width) {
  sal::Image result(height, width, mask.channels());
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const auto v = static_cast<int>((2LL * y + 1) * mask.height() / (2LL * height));
      const auto u = static_cast<int>((2LL * x + 1) * mask.width() / (2LL * width));
      for (int c = 0; c < mask.channels(); ++c) result(y, x, c) = mask(v, u, c);
    }
  }
  return result;
}

}  // namespace

std::optional<sal::FeatureMask> segments(const Settings& settings, const Preprocess& preprocess) {
  const SegmentsChoice& choice = settings.segments_choice;
  using Kind = SegmentsChoice::Kind;
  const auto by = [&preprocess](const auto& segment) {
    return sal::FeatureMask(sal::FeatureMask::Function(sal::superpixels(preprocess, segment)));
  };
  switch (choice.kind) {
    case Kind::usual:
      return std::nullopt;
    case Kind::grid:
      return sal::FeatureMask::grid(choice.cells);
    case Kind::slic:
      return by([n = choice.number](const sal::Image& picture) {
        return sal::slic(picture, {.segments = static_cast<int>(n)});
      });
    case Kind::felzenszwalb:
      return by([n = choice.number](const sal::Image& picture) {
        return sal::felzenszwalb(picture, {.scale = n});
      });
    case Kind::quickshift:
      return by(
          [n = choice.number](const sal::Image& picture) { return sal::quickshift(picture, {.kernel = n}); });
    case Kind::file:
      break;
  }
  const sal::Image mask = resized(sal::load_image(settings.segments), settings.height, settings.width);
  return sal::FeatureMask(sal::segment_numbers(sal::segments_of(mask)));
}
