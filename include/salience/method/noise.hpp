// Counter-based normal noise: the value of an element depends on the seed, the draw and the element alone.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include <salience/tensor/tensor.hpp>

namespace salience::detail {

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// Standard normal values in float32, `count` of them, on the CPU.
///
/// Each pair of elements hashes its number under a key made of (seed, draw); the two halves of the hash are
/// two uniforms, which Box and Muller's transform turns into two independent normals. LibTorch's vectorised
/// log, sqrt, cos and sin compute each element the same way wherever it lies, so the bits do not depend on
/// how the work is divided.
class NormalNoise {
 public:
  explicit NormalNoise(std::int64_t count)
      : count_(count),
        pairs_((count + 1) / 2),
        values_(empty({2, pairs_}, at::kFloat)),
        sine_(empty({pairs_}, at::kFloat)) {}

  /// The values lie where those of the last call did.
  at::Tensor operator()(std::uint64_t seed, std::uint64_t draw) {
    float* radius = values_.data_ptr<float>();
    float* angle = radius + pairs_;
    const std::uint64_t key = mix(mix(seed + 0x9e3779b97f4a7c15ULL) ^ (draw + 1) * 0xd1342543de82ef95ULL);
    for (std::int64_t i = 0; i < pairs_; ++i) {
      const std::uint64_t bits = mix(key + static_cast<std::uint64_t>(i + 1) * 0x9e3779b97f4a7c15ULL);
      // 24 bits each, as many as a float holds; the radius's never 0, whose logarithm is infinite.
      radius[i] = static_cast<float>(static_cast<std::int32_t>(bits >> 40) + 1) * 0x1p-24F;
      angle[i] = static_cast<float>(static_cast<std::int32_t>((bits >> 8) & 0xffffff)) *
                 (0x1p-24F * 6.28318530717958648F);
    }
    at::Tensor r = values_[0].log_().mul_(-2.0).sqrt_();
    sine_.copy_(values_[1]).sin_().mul_(r);
    values_[1].cos_().mul_(r);
    r.copy_(sine_);
    return values_.view({-1}).slice(0, 0, count_);
  }

 private:
  std::int64_t count_, pairs_;
  at::Tensor values_, sine_;
};

}  // namespace salience::detail
