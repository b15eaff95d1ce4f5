// What do reading a photo and making the four views of its gradient cost?
//
//   pictures PHOTO.jpg PHOTO.png [--benchmark options]

#include <salience/input/preprocessor.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/view/attribution_processor.hpp>

#include <vector>

#include "common.hpp"

namespace sal = salience;

namespace {

/// The four views (docs/methods/vanilla_gradient.md), as `attribute` makes them.
std::vector<sal::AttributionProcessor<>> views() {
  using sal::Activation;
  return {
      sal::AttributionProcessor<>{{}},
      sal::AttributionProcessor<>{{.activation = Activation::relu, .colormap = "hot"}},
      sal::AttributionProcessor<>{{.activation = Activation::abs, .skew = 0.5, .colormap = "coolwarm"}},
      sal::AttributionProcessor<>{{.activation = Activation::abs, .skew = 0.8, .grayscale = true}},
  };
}

}  // namespace

int main(int argc, char** argv) {
  return bench::answer(argc, argv, "pictures PHOTO.jpg PHOTO.png", 2, [](int, char** arguments) {
    const auto preprocess = sal::imagenet_preprocessor();
    const auto file = [&](const std::string& kind, const std::string& path) {
      bench::row("decode " + kind, [path] { return sal::load_image(path); });
      bench::row(kind + " to tensor", [path, preprocess] { return preprocess(sal::load_image(path)); });
    };
    file("JPEG", arguments[0]);
    file("PNG", arguments[1]);
    bench::row("resize", [photo = sal::load_image(arguments[0])] { return sal::resize(photo, 224, 224); });
    for (const auto& [height, width] : {std::pair{224, 224}, std::pair{2160, 3840}}) {
      torch::manual_seed(0);
      bench::row("four views " + std::to_string(width) + "x" + std::to_string(height),
                 [raw = torch::randn({1, 3, height, width}), all = views()] {
                   std::size_t bytes = 0;
                   for (const auto& view : all) bytes += view(raw).pixels().size();
                   return bytes;
                 });
    }
  });
}
