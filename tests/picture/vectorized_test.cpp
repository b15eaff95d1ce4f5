#include <salience/picture/detail/vectorized.hpp>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace salience::detail;

namespace {

/// Lengths around those of registers, so that each loop's rest is met.
const std::vector<std::size_t> lengths{0, 1, 3, 7, 8, 9, 63, 64, 65, 1000};

std::vector<float> numbers(std::size_t count, float low, float high) {
  std::mt19937 generator(7);
  std::uniform_real_distribution<float> draw(low, high);
  std::vector<float> values(count);
  for (float& x : values) x = draw(generator);
  return values;
}

/// The distance from what would be right, in units of the last place.
double ulps(float got, double right) {
  const int exponent = std::max(std::ilogb(right), -126);
  return std::abs(static_cast<double>(got) - right) / std::ldexp(1.0, exponent - 23);
}

}  // namespace

TEST_CASE("a power is rounded from float64, whichever instructions the processor has") {
  std::vector<float> values = numbers(100003, 0.0F, 1.0F);
  values.insert(values.begin(), {0.0F, 1.0F, 0.5F, std::numeric_limits<float>::denorm_min(), 1e-40F,
                                 std::numeric_limits<float>::min(), std::nextafter(1.0F, 0.0F), 3.0F, 1e6F});
  for (const float exponent : {0.01F, 0.3F, 0.8F, 1.7F, 5.0F}) {
    CAPTURE(exponent);
    const auto check = [&](const std::string& instructions, auto run) {
      CAPTURE(instructions);
      std::vector<float> powers = values;
      run(PowerLoop{powers.data(), powers.size(), exponent});
      double worst = 0.0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double right = std::pow(static_cast<double>(values[i]), static_cast<double>(exponent));
        if (right > 0.0) worst = std::max(worst, ulps(powers[i], right));
      }
      CHECK(worst < 0.504);
      CHECK(powers[0] == 0.0F);
      CHECK(powers[1] == 1.0F);
    };
    check("any", [](const auto& loop) { loop(Lanes<2>{}); });
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      check("avx2", [](const auto& loop) { run_on_avx2(loop); });
    }
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      check("avx512", [](const auto& loop) { run_on_avx512(loop); });
    }
#endif
  }
}

TEST_CASE("the rest of a row that fills no register is worked on, and nothing behind it") {
  for (const std::size_t count : lengths) {
    CAPTURE(count);
    std::vector<float> values = numbers(count + 1, 0.0F, 2.0F);
    const std::vector<float> before = values;
    std::vector<float> roots = values, powers = values, sums = values, doubled(count + 1, -1.0F);
    square_root(roots.data(), count);
    power(powers.data(), count, 2.5F);
    combine(values.data(), count, sums.data(), [](float a, float b) { return a + b; });
    transform(values.data(), count, doubled.data(), [](float x) { return 2.0F * x; });
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(roots[i] == std::sqrt(before[i]));
      CHECK(powers[i] == doctest::Approx(std::pow(before[i], 2.5F)).epsilon(1e-6));
      CHECK(sums[i] == before[i] + before[i]);
      CHECK(doubled[i] == 2.0F * before[i]);
    }
    CHECK(roots[count] == before[count]);
    CHECK(powers[count] == before[count]);
    CHECK(sums[count] == before[count]);
    CHECK(doubled[count] == -1.0F);
  }
}

TEST_CASE("the extent and the NaN of a row are found wherever they stand") {
  for (const std::size_t count : lengths) {
    for (std::size_t position = 0; position < count; ++position) {
      std::vector<double> values(count, 0.5);
      values[position] = -3.0;
      values[count - 1 - position] += 7.0;
      Extent<double> all;
      all.add(values.data(), count);
      CHECK(all.low == *std::min_element(values.begin(), values.end()));
      CHECK(all.high == *std::max_element(values.begin(), values.end()));
      CHECK(count_nan(values.data(), count) == 0);
      values[position] = std::nan("");
      CHECK(count_nan(values.data(), count) == 1);
    }
  }
}
