#if __has_include(<stb/stb_image.h>) || __has_include(<stb_image.h>)
#error "this program should not see stb"
#endif

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <cstdio>
#include <salience/input/preprocessor.hpp>
#include <salience/method/gradient_attributor.hpp>
#include <salience/view/attribution_processor.hpp>
#include <vector>

int main() {
  const std::vector<std::uint8_t> pixels(8 * 6 * 3, 128);  // as another library has read them
  const at::Tensor x = salience::imagenet_preprocessor(4, 4)(salience::Image(8, 6, 3, pixels));
  const auto model = [](const at::Tensor& input) { return input.mul(input).flatten(1); };
  const salience::Attribution a = salience::GradientAttributor{model}(x);
  const salience::Image view = salience::AttributionProcessor{{.colormap = "hot"}}(a.values);
  std::printf("%d x %d x %d\n", view.height(), view.width(), view.channels());
  return view.height() == 4 && view.width() == 4 && view.channels() == 3 ? 0 : 1;
}
