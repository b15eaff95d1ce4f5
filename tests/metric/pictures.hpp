// What the metrics' tests share: pictures, and models of them whose truth is known.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>

#include "../support.hpp"

namespace pictures {

/// Scores of the first class alone, as they are: no softmax.
inline const auto plain = [](const at::Tensor& output) { return output.select(1, 0); };

/// A linear model: classes (K, C, H, W), one logit each.
struct Linear {
  at::Tensor weight;
  at::Tensor operator()(const at::Tensor& x) const {
    return x.flatten(1).matmul(weight.to(x.scalar_type()).flatten(1).t());
  }
};

/// A picture (1, 1, 16, 16) of a flat bright square in the middle, in front of strong stripes on the left.
inline at::Tensor square_and_stripes() {
  at::Tensor picture = support::normal({1, 1, 16, 16}).mul(0.01);
  picture.slice(2, 6, 10).slice(3, 8, 12).add_(1.0);
  for (std::int64_t column = 0; column < 6; column += 2) picture.select(3, column).add_(2.0);
  return picture;
}

/// A model (two classes) that counts the square's brightness alone: the truth is the square.
inline Linear counts_the_square() {
  at::Tensor weight = support::normal({2, 1, 16, 16}).mul(0.0);
  weight[0].slice(1, 6, 10).slice(2, 8, 12).fill_(0.25);
  return {weight};
}

/// The edges of a picture: what an explanation looks like that knows the picture and not the model.
inline at::Tensor edges(const at::Tensor& picture) {
  at::Tensor map = picture.mul(0.0);
  const std::int64_t width = picture.size(3), height = picture.size(2);
  map.slice(3, 1).add_(picture.slice(3, 1).sub(picture.slice(3, 0, width - 1)).abs());
  map.slice(2, 1).add_(picture.slice(2, 1).sub(picture.slice(2, 0, height - 1)).abs());
  return map;
}

/// A progress callback that lets so many evaluations be done.
inline salience::ProgressCallback stop_after(std::int64_t count) {
  return [count](const salience::Progress& told) { return told.done < count; };
}

inline salience::Attribution map(const at::Tensor& values) { return {{}, values}; }

}  // namespace pictures
