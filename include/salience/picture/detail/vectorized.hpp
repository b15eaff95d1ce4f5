// Loops over rows of numbers, in the widest registers that the processor has: views and pictures are made of
// them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace salience::detail {

/// How many float64 numbers a register holds.
template <std::size_t lanes>
using Lanes = std::integral_constant<std::size_t, lanes>;

// Each loop is compiled three times, and the processor says at run time which of them runs: a program built
// for any x86-64 is as fast as one built for its own machine. g++ vectorises every loop from -O3 on, and
// selections only where nothing can trap.
#if defined(__x86_64__) && defined(__GNUC__)
#if defined(__clang__)
#define SALIENCE_DETAIL_TARGET(instructions) __attribute__((target(instructions)))
#else
#define SALIENCE_DETAIL_TARGET(instructions) \
  __attribute__((target(instructions), optimize("O3", "no-trapping-math")))
#endif

template <class Loop>
SALIENCE_DETAIL_TARGET("avx512f,avx512bw,avx512dq,avx512vl")
void run_on_avx512(const Loop& loop) {
  loop(Lanes<8>{});
}

template <class Loop>
SALIENCE_DETAIL_TARGET("avx2,fma")
void run_on_avx2(const Loop& loop) {
  loop(Lanes<4>{});
}
#undef SALIENCE_DETAIL_TARGET

/// Runs `loop(Lanes<N>{})`, compiled for this processor. The call operator of `loop` has the attribute
/// always_inline; without it, the loop would be compiled for any processor. A loop is a class and no lambda,
/// since C++20 has no place for an attribute of a lambda's call operator.
template <class Loop>
void vectorized(const Loop& loop) {
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    run_on_avx512(loop);
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    run_on_avx2(loop);
  } else {
    loop(Lanes<2>{});
  }
}
#else
template <class Loop>
void vectorized(const Loop& loop) {
  loop(Lanes<2>{});
}
#endif

template <class In, class Out, class F>
struct TransformLoop {
  const In* in;
  std::size_t count;
  Out* out;
  F f;

  [[gnu::always_inline]] void operator()(auto) const {
    for (std::size_t i = 0; i < count; ++i) out[i] = f(in[i]);
  }
};

/// out[i] = f(in[i]); `out` may be `in`.
template <class In, class Out, class F>
void transform(const In* in, std::size_t count, Out* out, const F& f) {
  vectorized(TransformLoop<In, Out, F>{in, count, out, f});
}

template <class Scalar, class F>
struct CombineLoop {
  const Scalar* in;
  std::size_t count;
  Scalar* out;
  F f;

  [[gnu::always_inline]] void operator()(auto) const {
    for (std::size_t i = 0; i < count; ++i) out[i] = f(out[i], in[i]);
  }
};

/// out[i] = f(out[i], in[i])
template <class Scalar, class F>
void combine(const Scalar* in, std::size_t count, Scalar* out, const F& f) {
  vectorized(CombineLoop<Scalar, F>{in, count, out, f});
}

template <class Scalar, class Wanted>
struct CountLoop {
  const Scalar* values;
  std::size_t count;
  Wanted wanted;
  std::size_t* found;

  [[gnu::always_inline]] void operator()(auto) const {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += wanted(values[i]) ? 1U : 0U;
    *found = sum;
  }
};

/// How many of the values `wanted` says yes to.
template <class Scalar, class Wanted>
std::size_t count_where(const Scalar* values, std::size_t count, const Wanted& wanted) {
  std::size_t found = 0;
  vectorized(CountLoop<Scalar, Wanted>{values, count, wanted, &found});
  return found;
}

template <class Scalar>
std::size_t count_nan(const Scalar* values, std::size_t count) {
  return count_where(values, count, [](Scalar x) { return x != x; });
}

/// The smallest and the largest of many values, none of them NaN.
template <class Scalar>
struct Extent {
  Scalar low = std::numeric_limits<Scalar>::infinity();
  Scalar high = -std::numeric_limits<Scalar>::infinity();

  void add(const Scalar* values, std::size_t count);
};

template <class Scalar>
struct ExtentLoop {
  const Scalar* values;
  std::size_t count;
  Extent<Scalar>* extent;

  [[gnu::always_inline]] void operator()(auto) const {
    constexpr std::size_t width = 64;  // side by side, since one minimum would wait for itself
    Scalar lows[width], highs[width];
    for (std::size_t k = 0; k < width; ++k) {
      lows[k] = extent->low;
      highs[k] = extent->high;
    }
    std::size_t i = 0;
    for (; i + width <= count; i += width) {
      for (std::size_t k = 0; k < width; ++k) {
        const Scalar x = values[i + k];
        lows[k] = x < lows[k] ? x : lows[k];
        highs[k] = x > highs[k] ? x : highs[k];
      }
    }
    for (; i < count; ++i) {
      lows[0] = std::min(lows[0], values[i]);
      highs[0] = std::max(highs[0], values[i]);
    }
    extent->low = *std::min_element(lows, lows + width);
    extent->high = *std::max_element(highs, highs + width);
  }
};

template <class Scalar>
void Extent<Scalar>::add(const Scalar* values, std::size_t count) {
  vectorized(ExtentLoop<Scalar>{values, count, this});
}

/// values[i] = sqrt(values[i]), correctly rounded. Loops of std::sqrt are not vectorised, since it sets
/// errno; Eigen's float32 square root is off by an ulp, which shows as another colour now and then.
template <class Scalar>
void square_root(Scalar* values, std::size_t count) {
  std::size_t i = 0;
#if defined(__x86_64__)
  if constexpr (std::is_same_v<Scalar, float>) {
    for (; i + 4 <= count; i += 4) _mm_storeu_ps(values + i, _mm_sqrt_ps(_mm_loadu_ps(values + i)));
  }
#endif
  for (; i < count; ++i) values[i] = std::sqrt(values[i]);
}

/// values[i] = values[i]^exponent, for values not below 0 and an exponent above 0.
inline void power(double* values, std::size_t count, double exponent) {
  for (std::size_t i = 0; i < count; ++i) values[i] = std::pow(values[i], exponent);
}

#if defined(__GNUC__)
template <class Scalar, std::size_t width>
struct RegisterOf {
  typedef Scalar type __attribute__((vector_size(width * sizeof(Scalar))));
};
template <class Scalar, std::size_t width>
using Register = typename RegisterOf<Scalar, width>::type;

/// The loop of `power` in float32. It rounds from float64, where it leaves out less than 2^-33: within 0.504
/// ulp, a little nearer than the C library's powf.
struct PowerLoop {
  float* values;
  std::size_t count;
  float exponent;

  [[gnu::always_inline]] void operator()(auto lanes) const {
    constexpr std::size_t width = decltype(lanes)::value;
    std::size_t i = 0;
    for (; i + width <= count; i += width) raise<width>(values + i);
    float rest[width] = {};
    std::copy(values + i, values + count, rest);
    raise<width>(rest);
    std::copy_n(rest, count - i, values + i);
  }

 private:
  template <std::size_t width>
  [[gnu::always_inline]] void raise(float* numbers) const {
#if defined(__clang__)
#pragma clang fp reassociate(off)  // -funsafe-math-optimizations would cancel `rounder`; g++ is refused then
#endif
    using Floats = Register<float, width>;
    using Doubles = Register<double, width>;
    using Bits = Register<std::uint64_t, width>;
    constexpr std::uint64_t one = 1023ULL << 52;                // the bits of 1.0
    constexpr std::uint64_t half_root = 0x3FE6A09E667F3BCDULL;  // of sqrt(1/2)
    constexpr double two52 = 4503599627370496.0;                // 2^52: a number above it has no fraction
    constexpr double rounder = 1.5 * two52;
    Floats row;
    std::memcpy(&row, numbers, sizeof row);
    // x = m 2^e, with m from sqrt(1/2) to sqrt(2): log2(x) = e + 2/ln(2) artanh((m - 1) / (m + 1))
    const Doubles x = __builtin_convertvector(row, Doubles);
    const Bits bits = reinterpret_cast<Bits>(x);
    const Bits biased = (bits + (one - half_root)) >> 52;
    const Doubles e =
        reinterpret_cast<Doubles>(biased | std::bit_cast<std::uint64_t>(two52)) - (two52 + 1023.0);
    const Doubles m = reinterpret_cast<Doubles>(bits - (biased << 52) + one);
    const Doubles s = (m - 1.0) / (m + 1.0), q = s * s;
    Doubles series = q * (1.0 / 13) + 1.0 / 11;
    series = (((series * q + 1.0 / 9) * q + 1.0 / 7) * q + 1.0 / 5) * q + 1.0 / 3;
    const Doubles y = static_cast<double>(exponent) * (e + 2.8853900817779268 * s * (series * q + 1.0));
    // 2^y = 2^k exp(f), with k whole and f within ln(2) / 2; at 2^-200 it has long been 0 in float32
    const Doubles bounded = y > -200.0 ? y : Doubles{} - 200.0;
    const Doubles k = bounded + rounder;
    const Doubles f = (bounded - (k - rounder)) * 0.69314718055994531;
    series = f * (1.0 / 40320) + 1.0 / 5040;
    series = (((series * f + 1.0 / 720) * f + 1.0 / 120) * f + 1.0 / 24) * f + 1.0 / 6;
    series = ((series * f + 0.5) * f + 1.0) * f + 1.0;
    const Bits scale = (reinterpret_cast<Bits>(k) - std::bit_cast<std::uint64_t>(rounder) + 1023) << 52;
    const Bits result = reinterpret_cast<Bits>(series * reinterpret_cast<Doubles>(scale));
    const Bits positive = reinterpret_cast<Bits>(x > 0.0);
    row = __builtin_convertvector(reinterpret_cast<Doubles>(result & positive), Floats);
    std::memcpy(numbers, &row, sizeof row);
  }
};

inline void power(float* values, std::size_t count, float exponent) {
  vectorized(PowerLoop{values, count, exponent});
}
#else
inline void power(float* values, std::size_t count, float exponent) {
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(std::pow(static_cast<double>(values[i]), static_cast<double>(exponent)));
  }
}
#endif

}  // namespace salience::detail
