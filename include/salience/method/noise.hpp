// SharedNoise: random numbers that depend on the seed, the draw and the element alone.
#pragma once

#include <cstdint>
#include <numbers>
#include <vector>

#include <ATen/core/Tensor.h>

#include <salience/tensor/tensor.hpp>

namespace salience {

namespace detail {

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

}  // namespace detail

/// The noise of a method that looks at perturbed copies of its input: draw k is the same for all samples of a
/// batch, whatever the batch, the chunk, the number of threads and the order of the draws.
///
///     SharedNoise noise(x[0], seed);
///     const auto point = [&](const Variant& row, const at::Tensor& out) {  // for a Stream
///       out.copy_(x[row.sample]).add_(noise.normal(row.step), deviation);
///     };
///
/// An element's bits are a hash of (seed, draw, the element's number in the sample), made on the CPU in
/// float32 for a sample of that many elements, and then converted. The last draw is kept: asking for it
/// again, as for the next sample of the batch, costs nothing. One thread may use it at a time.
class SharedNoise {
 public:
  /// Noise in the shape, dtype and device of `sample`, which has no batch dimension.
  SharedNoise(const at::Tensor& sample, std::uint64_t seed)
      : like_(sample.new_empty({0})), sizes_(sample.sizes().vec()), seed_(seed), source_(sample.numel()) {}

  /// Standard normal values of draw number `draw`, at least 0. The tensor is ours: the next draw overwrites
  /// it.
  const at::Tensor& normal(std::int64_t draw) {
    return kept(draw, Kind::normal, [](const at::Tensor& values) { return values; });
  }

  /// Values that are uniform in (-1, 1), otherwise as `normal`: of a normal z it is \f$ \mathrm{erf}(z /
  /// \sqrt 2) \f$.
  const at::Tensor& uniform(std::int64_t draw) {
    return kept(draw, Kind::uniform,
                [](const at::Tensor& values) { return values.mul(std::numbers::sqrt2 / 2.0).erf_(); });
  }

 private:
  enum class Kind { none, normal, uniform };

  template <class Change>
  const at::Tensor& kept(std::int64_t draw, Kind kind, const Change& change) {
    if (draw != draw_ || kind != kind_) {
      values_ = change(source_(seed_, static_cast<std::uint64_t>(draw)))
                    .view(sizes_)
                    .to(like_.device(), like_.scalar_type());
      draw_ = draw;
      kind_ = kind;
    }
    return values_;
  }

  at::Tensor like_;  // of no element
  std::vector<std::int64_t> sizes_;
  std::uint64_t seed_;
  detail::NormalNoise source_;
  at::Tensor values_;
  std::int64_t draw_ = -1;
  Kind kind_ = Kind::none;
};

}  // namespace salience
