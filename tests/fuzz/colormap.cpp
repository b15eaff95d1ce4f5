// Any name is a colour map or an ArgumentError; any values get the colours of their places, or an
// ArgumentError.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>

#include <salience/picture/colormap.hpp>

namespace {

std::optional<salience::Colormap> named(const std::string& name) {
  try {
    return salience::colormap(name);
  } catch (const salience::ArgumentError&) {
    return std::nullopt;
  }
}

std::optional<salience::Colormap> own(const std::vector<std::uint8_t>& bytes) {
  std::vector<salience::Colormap::Color> colors;
  for (std::size_t i = 0; i + 3 <= bytes.size(); i += 3) {
    colors.push_back({bytes[i], bytes[i + 1], bytes[i + 2]});
  }
  try {
    return salience::Colormap(colors);
  } catch (const salience::ArgumentError&) {
    if (!colors.empty()) std::abort();
    return std::nullopt;
  }
}

/// Where x lies, in the words of the documentation.
template <class Scalar>
std::size_t place(Scalar x, std::size_t size) {
  const auto last = static_cast<Scalar>(size - 1);
  return static_cast<std::size_t>(std::clamp(std::floor(x * static_cast<Scalar>(size)), Scalar{0}, last));
}

template <class Scalar>
void draw(const salience::Colormap& colormap, FuzzedDataProvider& provider) {
  const std::vector<std::uint8_t> bytes = provider.ConsumeRemainingBytes<std::uint8_t>();
  const auto count = static_cast<Eigen::Index>(bytes.size() / sizeof(Scalar));
  salience::BasicHeatmap<Scalar> heatmap(1, count);
  std::copy_n(bytes.data(), sizeof(Scalar) * static_cast<std::size_t>(count),
              reinterpret_cast<std::uint8_t*>(heatmap.data()));
  try {
    const salience::Image picture = colormap(heatmap);
    for (int x = 0; x < picture.width(); ++x) {
      const salience::Colormap::Color color = colormap[place(heatmap(0, x), colormap.size())];
      for (int c = 0; c < 3; ++c) {
        if (picture(0, x, c) != color[static_cast<std::size_t>(c)]) std::abort();
      }
    }
  } catch (const salience::ArgumentError&) {
    if (count > 0 && !heatmap.isNaN().any()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider provider(data, size);
  const bool wide = provider.ConsumeBool();
  const std::string text = provider.ConsumeRandomLengthString();
  const std::optional<salience::Colormap> colormap =
      provider.ConsumeBool() ? named(text) : own(std::vector<std::uint8_t>(text.begin(), text.end()));
  if (!colormap) return 0;
  if (wide) {
    draw<double>(*colormap, provider);
  } else {
    draw<float>(*colormap, provider);
  }
  return 0;
}
