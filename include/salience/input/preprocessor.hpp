// Preprocessor<Steps...>: an Image to the tensor a network expects, and back.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/error.hpp>
#include <salience/picture/image.hpp>
#include <salience/picture/resize.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

/// Bilinear resampling with antialias, byte for byte what Pillow and so torchvision do with a picture (see
/// resize).
///
/// `Resize{h, w}` gives exactly h x w and does not keep the aspect; `Resize{s}` makes the short side s and
/// the long side int(s * long / short), as torchvision's Resize(s). Throws ArgumentError if a size is
/// below 1.
struct Resize {
  int height;     ///< in pixels
  int width = 0;  ///< 0: `height` is the length of the short side

  /// The picture at the new size.
  Image operator()(const Image& image) const {
    if (height < 1 || width < 0) {
      throw ArgumentError::out_of_range("Resize", detail::concat(height, "x", width),
                                        "of sizes of at least 1");
    }
    if (width > 0) return resize(image, height, width);
    const auto scaled = [this](int length, int shorter) {
      return static_cast<int>(static_cast<std::int64_t>(height) * length / shorter);
    };
    return image.width() <= image.height() ? resize(image, scaled(image.height(), image.width()), height)
                                           : resize(image, height, scaled(image.width(), image.height()));
  }
};

/// The middle of a picture, as torchvision's CenterCrop (see center_crop). `CenterCrop{s}` is a square.
struct CenterCrop {
  int height;     ///< in pixels
  int width = 0;  ///< 0: as the height

  /// The middle of the picture. Throws ArgumentError as center_crop.
  Image operator()(const Image& image) const {
    return center_crop(image, height, width > 0 ? width : height);
  }
};

/// 8-bit (H,W,C) to float32 (C,H,W) in [0, 1]: value / 255, as torchvision's ToTensor.
///
/// `channels` is what the network wants: 3 (the default) expands gray and drops alpha as Pillow's
/// convert("RGB"), 1 is its convert("L"), 0 keeps the picture's own. Throws ArgumentError for an empty
/// picture or other channels.
struct ToTensor {
  int channels = 3;  ///< 3, 1, or 0 for the picture's own

  /// (C,H,W) float32, on the CPU.
  at::Tensor operator()(const Image& image) const {
    if (image.empty()) throw ArgumentError("the picture is empty");
    if (channels != 0 && channels != 1 && channels != 3) {
      throw ArgumentError::out_of_range("ToTensor.channels", channels, "0, 1 or 3");
    }
    if (channels == 3 && image.channels() != 3) return planes(to_rgb(image));
    if (channels == 1 && image.channels() != 1) return planes(to_gray(image));
    return planes(image);
  }

  /// The nearest 8-bit picture of a (C,H,W) tensor; values outside [0, 1] are clipped. Throws ArgumentError
  /// for NaN.
  Image inverse(const at::Tensor& tensor) const {
    const at::Tensor values = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
    const auto height = static_cast<std::size_t>(values.size(1)),
               width = static_cast<std::size_t>(values.size(2));
    const auto depth = static_cast<std::size_t>(values.size(0));
    Image image(static_cast<int>(height), static_cast<int>(width), static_cast<int>(depth));
    const float* source = values.data_ptr<float>();
    const std::span<std::uint8_t> pixels = image.pixels();
    for (std::size_t channel = 0; channel < depth; ++channel) {
      for (std::size_t i = 0; i < height * width; ++i) {
        const float value = *source++;
        if (std::isnan(value)) throw ArgumentError("a picture cannot show NaN");
        pixels[i * depth + channel] =
            static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 1.0F) * 255.0F));
      }
    }
    return image;
  }

 private:
  static at::Tensor planes(const Image& image) {
    at::Tensor tensor = detail::empty({image.channels(), image.height(), image.width()}, at::kFloat);
    float* target = tensor.data_ptr<float>();
    const auto depth = static_cast<std::size_t>(image.channels());
    const std::size_t area = image.pixels().size() / depth;
    const std::uint8_t* pixels = image.pixels().data();
    for (std::size_t channel = 0; channel < depth; ++channel) {
      for (std::size_t i = 0; i < area; ++i) {
        target[channel * area + i] = static_cast<float>(pixels[i * depth + channel]) / 255.0F;
      }
    }
    return tensor;
  }
};

/// (x - mean) / std, channel by channel, in float32 as torchvision's Normalize. Needs one mean and one std
/// per channel (or one for all), std not 0: else ArgumentError.
struct Normalize {
  std::vector<float> mean;  ///< one for each channel, or one for all
  std::vector<float> std;   ///< as many, none of them 0

  /// (x - mean) / std of a tensor (C,H,W).
  at::Tensor operator()(const at::Tensor& tensor) const {
    return tensor.sub(column(mean, tensor)).div_(column(std, tensor));
  }
  /// x std + mean of a tensor (C,H,W).
  at::Tensor inverse(const at::Tensor& tensor) const {
    return tensor.mul(column(std, tensor)).add_(column(mean, tensor));
  }

 private:
  at::Tensor column(const std::vector<float>& values, const at::Tensor& tensor) const {
    const auto channels = static_cast<std::size_t>(tensor.size(0));
    if (mean.size() != std.size() || (values.size() != channels && values.size() != 1)) {
      throw ArgumentError(detail::concat("Normalize has ", mean.size(), " means and ", std.size(),
                                         " standard deviations for ", channels, " channels"));
    }
    if (std::find(std.begin(), std.end(), 0.0F) != std.end()) {
      throw ArgumentError::out_of_range("Normalize.std", 0, "other than 0");
    }
    return detail::vector_tensor<float>(values).to(tensor.device()).view({-1, 1, 1});
  }
};

/// A chain of steps from an Image to a float tensor. A step is any callable: first Image to Image, then Image
/// to Tensor (C,H,W), then Tensor to Tensor; a step with `.inverse(tensor)` is undone by `picture`.
///
///     Preprocessor preprocess{Resize{256}, CenterCrop{224}, ToTensor{}, Normalize{{.5F}, {.5F}}};
///     at::Tensor x = preprocess(load_image("sushi.png"));  // (1,3,224,224)
template <class... Steps>
class Preprocessor {
 public:
  /// The steps in the order in which they are taken.
  explicit Preprocessor(Steps... steps) : steps_(std::move(steps)...) {}

  /// One picture: (1,C,H,W), on the CPU.
  at::Tensor operator()(const Image& image) const { return apply<0>(image).unsqueeze(0); }

  /// Several pictures: (N,C,H,W). Throws ArgumentError if there are none, or if they do not come out equally
  /// large.
  at::Tensor operator()(std::span<const Image> images) const {
    if (images.empty()) throw ArgumentError("there are no pictures to preprocess");
    at::Tensor batch;
    for (std::size_t i = 0; i < images.size(); ++i) {
      const at::Tensor sample = apply<0>(images[i]);
      if (!batch.defined()) batch = detail::batch_like(sample, images.size());
      if (sample.sizes() != batch[0].sizes()) {
        throw ArgumentError(detail::concat("picture ", i, " becomes ", detail::shape(sample),
                                           ", the first one ", detail::shape(batch[0]),
                                           "; resize them to one size"));
      }
      batch[static_cast<std::int64_t>(i)].copy_(sample);
    }
    return batch;
  }

  /// The inverse, for display: what the network saw. Takes (C,H,W) or (1,C,H,W).
  Image picture(const at::Tensor& input) const {
    const bool one_sample = input.defined() && (input.dim() == 3 || (input.dim() == 4 && input.size(0) == 1));
    if (!one_sample) {
      throw ArgumentError::out_of_range("input", detail::shape(input), "of shape (C, H, W) or (1, C, H, W)");
    }
    return undo<sizeof...(Steps)>(input.dim() == 4 ? input[0] : input);
  }

 private:
  template <std::size_t I, class Value>
  auto apply(const Value& value) const {
    if constexpr (I == sizeof...(Steps)) {
      static_assert(std::same_as<Value, at::Tensor>,
                    "Salience: a Preprocessor needs a step from Image to Tensor: ToTensor");
      return value;
    } else {
      constexpr bool fits = requires { std::get<I>(steps_)(value); };
      static_assert(
          fits,
          "Salience: a step of this Preprocessor cannot take what the step before it gives; Image steps "
          "such as Resize stand before ToTensor, tensor steps such as Normalize after it");
      if constexpr (fits) return apply<I + 1>(std::get<I>(steps_)(value));
    }
  }

  template <std::size_t I, class Value>
  Image undo(const Value& value) const {
    if constexpr (std::same_as<Value, Image>) {
      return value;
    } else {
      static_assert(I > 0, "Salience: no step of this Preprocessor has an inverse from Tensor to Image");
      if constexpr (requires { std::get<I - 1>(steps_).inverse(value); }) {
        return undo<I - 1>(std::get<I - 1>(steps_).inverse(value));
      } else {
        return undo<I - 1>(value);
      }
    }
  }

  std::tuple<Steps...> steps_;
};

/// The normalisation of torchvision's ImageNet models.
inline Normalize imagenet_normalization() {
  return {.mean = {0.485F, 0.456F, 0.406F}, .std = {0.229F, 0.224F, 0.225F}};
}

/// For torchvision's ImageNet classifiers: RGB, resized to height x width without keeping the aspect,
/// ImageNet normalisation.
inline auto imagenet_preprocessor(int height = 224, int width = 224) {
  return Preprocessor(Resize{height, width}, ToTensor{}, imagenet_normalization());
}

/// torchvision's evaluation preset: the short side resized, the middle cropped, ImageNet normalisation.
inline auto imagenet_crop_preprocessor(int short_side = 256, int crop = 224) {
  return Preprocessor(Resize{short_side}, CenterCrop{crop}, ToTensor{}, imagenet_normalization());
}

}  // namespace salience
