// volume_sheet: the slices of a volume with their map, on one sheet. Opt-in, as contact_sheet is: it needs
// stb_easy_font.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/picture/contact_sheet.hpp>
#include <salience/picture/image.hpp>
#include <salience/view/attribution_processor.hpp>
#include <salience/view/volume_slices.hpp>

namespace salience {

/// What volume_slices gives, on one contact_sheet, each with its number from 0 below it.
///
///     save_image("sheet.png", volume_sheet(x, cam(x).values, view, {.count = 12}, {.columns = 4}));
///
/// Throws what these two throw.
template <class First>
Image volume_sheet(const at::Tensor& volume, const at::Tensor& values,
                   const AttributionProcessor<First>& view, const VolumeSlicesOptions& options = {},
                   const ContactSheetOptions& sheet = {}) {
  std::vector<Image> pictures = volume_slices(volume, values, view, options);
  const std::vector<std::int64_t> slices = detail::chosen_slices(volume.size(-3), options.count);
  std::vector<ContactSheetCell> cells;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    cells.push_back({std::move(pictures[i]), detail::concat("slice ", slices[i])});
  }
  return contact_sheet(cells, sheet);
}

}  // namespace salience
