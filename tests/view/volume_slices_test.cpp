#include <salience/picture/contact_sheet.hpp>
#include <salience/view/volume_sheet.hpp>
#include <salience/view/volume_slices.hpp>

#include <doctest/doctest.h>

#include <vector>

#include "../support.hpp"

using namespace salience;
using support::contains;
using support::message;
using support::normal;

namespace {

const at::Tensor volume = normal({1, 1, 5, 6, 7}, at::kFloat, 1),
                 values = normal({1, 1, 5, 6, 7}, at::kFloat, 2);
const AttributionProcessor view{{.colormap = "jet", .opacity = 0.4}};

}  // namespace

TEST_CASE("each slice is a picture in gray with its map over it, on one scale for the whole volume") {
  const std::vector<Image> slices = volume_slices(volume, values, view);
  REQUIRE(slices.size() == 5);
  const AttributionProcessor whole;
  const ValueRange black_and_white = whole.range(volume[0].flatten(1, 2)),
                   scale = whole.range(values[0].flatten(1, 2));
  const AttributionProcessor gray{{.range = black_and_white, .grayscale = true}};
  const AttributionProcessor map{{.range = scale, .colormap = "jet", .opacity = 0.4}};
  for (std::int64_t d = 0; d < 5; ++d) {
    CHECK(slices[static_cast<std::size_t>(d)] == map(values[0][0][d], gray(volume[0][0][d])));
  }
  CHECK((volume_slices(volume[0], values[0], view) == slices));
  // A range of one's own, as a window of a CT.
  const AttributionProcessor window{{.range = ValueRange{-0.5, 0.5}, .grayscale = true}};
  const std::vector<Image> windowed = volume_slices(volume, values, view, {.range = ValueRange{-0.5, 0.5}});
  CHECK(windowed[3] == map(values[0][0][3], window(volume[0][0][3])));
}

TEST_CASE("three channels are colours, others their mean; channels of the map go together as the view says") {
  const at::Tensor three = normal({1, 3, 5, 6, 7}, at::kFloat, 3), two = three.slice(1, 0, 2);
  const AttributionProcessor transparent{{.colormap = "jet", .opacity = 0.0}};
  const AttributionProcessor colours;
  const Image all = colours(three[0].flatten(1, 2).unsqueeze(0));
  const Image slice = volume_slices(three, values, transparent)[1];
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 7; ++x) {
      for (int c = 0; c < 3; ++c) CHECK(slice(y, x, c) == all(6 + y, x, c));
    }
  }
  const Image gray = volume_slices(two, values, transparent)[1];
  CHECK(gray(2, 3, 0) == gray(2, 3, 2));
  const AttributionProcessor sum{{.normalize = false, .channels = ChannelReduction::sum, .colormap = "jet"}};
  CHECK((volume_slices(volume, two, sum) == volume_slices(volume, two.sum({1}, true), sum)));
}

TEST_CASE("so many slices as asked for, from the middles of equal parts") {
  const std::vector<Image> all = volume_slices(volume, values, view);
  CHECK((volume_slices(volume, values, view, {.count = 1}) == std::vector<Image>{all[2]}));
  CHECK((volume_slices(volume, values, view, {.count = 2}) == std::vector<Image>{all[1], all[3]}));
  CHECK((volume_slices(volume, values, view, {.count = 5}) == all));
}

TEST_CASE("the sheet has the slices with their numbers") {
  const std::vector<Image> all = volume_slices(volume, values, view);
  const std::vector<ContactSheetCell> cells{{all[1], "slice 1"}, {all[3], "slice 3"}};
  const ContactSheetOptions large{.columns = 2, .cell_height = 100, .cell_width = 120};
  CHECK(volume_sheet(volume, values, view, {.count = 2}, large) == contact_sheet(cells, large));
  CHECK(volume_sheet(volume[0], values[0], view, {.count = 2}, large) == contact_sheet(cells, large));
}

TEST_CASE("what is no volume, or not covered, is an error with a sentence") {
  const auto said = [&](const at::Tensor& x, const at::Tensor& map, const VolumeSlicesOptions& options = {}) {
    return message<ArgumentError>([&] { (void)volume_slices(x, map, view, options); });
  };
  CHECK(contains(
      said(normal({2, 1, 5, 6, 7}), values),
      "the volume to show must be one volume, (1, C, D, H, W) or (C, D, H, W), got (2, 1, 5, 6, 7)"));
  CHECK(contains(said(volume, values[0][0]), "the map of a volume must be"));
  CHECK(contains(said(volume, values.slice(3, 1)),
                 "a map of shape (1, 1, 5, 5, 7) does not cover a volume of shape (1, 1, 5, 6, 7)"));
  CHECK(
      contains(said(volume, values, {.count = 6}), "count must be from 1 to 5, or 0 for all slices, got 6"));
  CHECK(contains(said(volume, values, {.count = -1}), "got -1"));
  CHECK(contains(said(volume.div(0.0), values), "infinite"));
}
