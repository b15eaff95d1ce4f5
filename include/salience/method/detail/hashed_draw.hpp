// HashedDraw: random numbers of one draw, by a hash of the seed and the draw.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include <salience/method/noise.hpp>

namespace salience::detail {

/// The random numbers of draw number `draw`: number i is a hash of the seed, the draw and i alone.
class HashedDraw {
 public:
  HashedDraw(std::uint64_t seed, std::int64_t draw)
      : key_(mix(mix(seed + 0xa0761d6478bd642fULL) ^
                 (static_cast<std::uint64_t>(draw) + 1) * 0xe7037ed1a0b428dbULL)) {}

  /// 64 uniform bits; no two numbers of a draw have the same.
  std::uint64_t bits(std::size_t i) const { return mix(key_ + (i + 1) * 0x9e3779b97f4a7c15ULL); }
  /// Uniform in [0, 1).
  double uniform(std::size_t i) const { return static_cast<double>(bits(i) >> 11) * 0x1p-53; }

  /// 0 to count - 1 in an order that is uniform among all: by their bits.
  std::vector<std::int64_t> permutation(std::int64_t count) const {
    std::vector<std::uint64_t> keys(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = bits(i);
    std::vector<std::int64_t> order(keys.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::sort(order.begin(), order.end(), [&keys](std::int64_t a, std::int64_t b) {
      return keys[static_cast<std::size_t>(a)] < keys[static_cast<std::size_t>(b)];
    });
    return order;
  }

 private:
  std::uint64_t key_;
};

}  // namespace salience::detail
