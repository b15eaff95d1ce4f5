// Normal random numbers, the same on every machine: those of numpy.random.default_rng(seed).normal().
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace salience::detail {

/// PCG64, that is PCG XSL RR 128/64 (M. E. O'Neill, "PCG: A Family of Simple Fast Space-Efficient
/// Statistically Good Algorithms for Random Number Generation", 2014), seeded as NumPy seeds it.
class Pcg64 {
 public:
  explicit Pcg64(std::uint64_t seed) {
    const std::array<std::uint64_t, 4> words = spread(seed);
    increment_ = {words[2] << 1 | words[3] >> 63, words[3] << 1 | 1};
    step();
    add({words[0], words[1]});
    step();
  }

  std::uint64_t operator()() {
    step();
    return std::rotr(state_.high ^ state_.low, static_cast<int>(state_.high >> 58));
  }

 private:
  struct Number {
    std::uint64_t high = 0, low = 0;
  };

  void add(Number x) {
    state_.low += x.low;
    state_.high += x.high + (state_.low < x.low ? 1 : 0);
  }

  /// state * 0x2360ED051FC65DA44385DF649FCCF645 + increment, modulo 2^128
  void step() {
    constexpr Number factor{0x2360ED051FC65DA4, 0x4385DF649FCCF645};
    constexpr std::uint64_t half = 0xFFFFFFFF;
    const std::uint64_t a = state_.low >> 32, b = state_.low & half;
    constexpr std::uint64_t c = factor.low >> 32, d = factor.low & half;
    const std::uint64_t middle = a * d + (b * d >> 32);
    const std::uint64_t other = b * c + (middle & half);
    const std::uint64_t carried = a * c + (middle >> 32) + (other >> 32);
    state_ = {carried + state_.high * factor.low + state_.low * factor.high, state_.low * factor.low};
    add(increment_);
  }

  /// NumPy's SeedSequence: four words in which each bit of the seed changes every bit.
  static std::array<std::uint64_t, 4> spread(std::uint64_t seed) {
    const auto hash = [](std::uint32_t value, std::uint32_t& constant, std::uint32_t factor) {
      value ^= constant;
      constant *= factor;
      value *= constant;
      return value ^ value >> 16;
    };
    std::array<std::uint32_t, 4> pool{static_cast<std::uint32_t>(seed),
                                      static_cast<std::uint32_t>(seed >> 32), 0, 0};
    std::uint32_t constant = 0x43B0D7E5;
    for (std::uint32_t& word : pool) word = hash(word, constant, 0x931E8875);
    for (std::size_t from = 0; from < pool.size(); ++from) {
      for (std::size_t to = 0; to < pool.size(); ++to) {
        if (from == to) continue;
        const std::uint32_t mixed =
            pool[to] * 0xCA01F9DD - hash(pool[from], constant, 0x931E8875) * 0x4973F715;
        pool[to] = mixed ^ mixed >> 16;
      }
    }
    constant = 0x8B51F9DD;
    std::array<std::uint64_t, 4> words{};
    for (std::size_t i = 0; i < 8; ++i) {
      const std::uint64_t word = hash(pool[i % 4], constant, 0x58F38DED);
      words[i / 2] |= word << (i % 2 * 32);
    }
    return words;
  }

  Number state_, increment_;
};

/// Standard normal numbers by the ziggurat (G. Marsaglia and W. W. Tsang, "The Ziggurat Method for Generating
/// Random Variables", 2000) of 256 layers of equal area.
class NormalDraws {
 public:
  explicit NormalDraws(std::uint64_t seed) : bits_(seed) {}

  double operator()() {
    static const Ziggurat ziggurat;
    for (;;) {
      const std::uint64_t bits = bits_();
      const auto layer = static_cast<std::size_t>(bits & 0xFF);
      const bool negative = (bits >> 8 & 1) != 0;
      const double position = static_cast<double>(bits >> 9 & 0xFFFFFFFFFFFFF);  // of 2^52
      const double x = position * ziggurat.widths[layer];
      if (position < ziggurat.inside[layer]) return negative ? -x : x;
      if (layer == 0) return (bits >> 17 & 1) != 0 ? -tail() : tail();
      const double low = ziggurat.heights[layer], high = ziggurat.heights[layer - 1];
      if ((high - low) * uniform() + low < std::exp(-0.5 * x * x)) return negative ? -x : x;
    }
  }

 private:
  static constexpr double end = 3.6541528853610088;  // where the tail begins

  struct Ziggurat {
    std::array<double, 256> heights{}, widths{}, inside{};  // widths in units of 2^-52

    Ziggurat() {
      constexpr double unit = 4503599627370496.0;  // 2^52
      const auto density = [](double x) { return std::exp(-0.5 * x * x); };
      const double half_pi = std::acos(0.0);
      const double area = end * density(end) + std::sqrt(half_pi) * std::erfc(end / std::sqrt(2.0));
      const double base = area / density(end);
      heights[0] = 1;
      widths[0] = base / unit;
      inside[0] = std::floor(end / base * unit);
      double x = end;
      for (std::size_t layer = 255; layer > 0; --layer) {
        heights[layer] = density(x);
        widths[layer] = x / unit;
        const double next = layer > 1 ? std::sqrt(-2 * std::log(area / x + density(x))) : 0;
        inside[layer] = std::floor(next / x * unit);
        x = next;
      }
    }
  };

  double uniform() { return static_cast<double>(bits_() >> 11) * (1.0 / 9007199254740992.0); }

  double tail() {
    for (;;) {
      const double x = -std::log1p(-uniform()) / end;
      const double y = -std::log1p(-uniform());
      if (y + y > x * x) return end + x;
    }
  }

  Pcg64 bits_;
};

}  // namespace salience::detail
