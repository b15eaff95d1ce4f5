#include "../../programs/attribute_dataset/exact.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

constexpr double most = std::numeric_limits<double>::max();
constexpr double least = std::numeric_limits<double>::denorm_min();
constexpr double epsilon = std::numeric_limits<double>::epsilon();

double sum(const std::vector<double>& terms) {
  ExactSums sums(1);
  for (const double term : terms) sums.add(0, term);
  return sums.mean(0, 1);
}

double deviation(const std::vector<double>& numbers) {
  ExactSums sums(2);
  for (const double number : numbers) {
    sums.add(0, number);
    sums.add_square(1, number);
  }
  return sums.deviation(0, 1, std::ssize(numbers));
}

/// Of all sizes that float64 has, with both signs.
std::vector<double> numbers(std::size_t count, int lowest, int highest) {
  std::mt19937_64 generator(3);
  std::uniform_real_distribution<double> mantissa(-1.0, 1.0);
  std::uniform_int_distribution<int> exponent(lowest, highest);
  std::vector<double> values(count);
  for (double& value : values) value = std::ldexp(mantissa(generator), exponent(generator));
  return values;
}

TEST_CASE("no digit is lost, however far apart the terms are") {
  CHECK(sum({}) == 0.0);
  CHECK(sum({0.0, -0.0}) == 0.0);
  CHECK(sum({1e-17, 1e-25}) == 1e-17 + 1e-25);
  CHECK(sum({1e15, 1e-25, -1e15}) == 1e-25);
  CHECK(sum({1e300, 3.0, -1e300, 1e-300}) == 3.0);
  CHECK(sum({most, least, -most}) == least);
  CHECK(sum({-most, -least, most}) == -least);
  CHECK(sum({most, most, most, -most, -most}) == most);  // between, no float64 number holds it
  CHECK(sum({least, least, -least}) == least);
  CHECK(sum({-1.0, -2.0, 0.5}) == -2.5);
  CHECK(sum({-1.0, 1.0}) == 0.0);
}

TEST_CASE("a sum is rounded once, halves to even") {
  CHECK(sum({1.0, epsilon / 2}) == 1.0);
  CHECK(sum({1.0, epsilon / 2, least}) == 1.0 + epsilon);
  CHECK(sum({1.0 + epsilon, epsilon / 2}) == 1.0 + 2 * epsilon);
  CHECK(sum({1.0 + epsilon, epsilon / 2, -least}) == 1.0 + epsilon);
  CHECK(sum({-1.0, -epsilon / 2, -least}) == -1.0 - epsilon);
}

TEST_CASE("sums are those of 128-bit integers, where these have room") {
  __extension__ using Wide = __int128;
  std::vector<double> terms = numbers(20000, -10, 30);
  Wide whole = 0;
  ExactSums sums(1);
  for (double& term : terms) {
    term = std::ldexp(std::round(std::ldexp(term, 60)), -60);
    whole += static_cast<Wide>(std::ldexp(term, 60));
    sums.add(0, term);
    REQUIRE(sums.mean(0, 1) == std::ldexp(static_cast<double>(whole), -60));
  }
}

TEST_CASE("neither the order of the terms nor who added them changes a bit") {
  std::vector<double> terms = numbers(3000, -1060, 1020);
  const auto words = [](ExactSums sums) {
    sums.widen(0, 67);
    return std::vector<std::uint64_t>(sums.words().begin(), sums.words().end());
  };
  const auto all = [](const auto& begin, const auto& end) {
    ExactSums sums(3);
    for (auto term = begin; term != end; ++term) {
      sums.add(0, *term);
      sums.add_square(1, *term);
      sums.add(2, std::abs(*term));
    }
    return sums;
  };
  const auto first = words(all(terms.begin(), terms.end()));
  std::mt19937 generator(5);
  for (const std::ptrdiff_t cut : {0, 1, 1500, 2999, 3000}) {
    std::ranges::shuffle(terms, generator);
    ExactSums some = all(terms.begin(), terms.begin() + cut);
    some.add(all(terms.begin() + cut, terms.end()));
    CHECK(words(some) == first);
  }
}

TEST_CASE("squares are exact, from the smallest to the largest") {
  const auto mean = [](std::vector<double> roots) {
    ExactSums sums(1);
    for (const double root : roots) sums.add_square(0, root);
    return sums.mean(0, std::ssize(roots));
  };
  CHECK(mean({3.0, -4.0, 0.0}) == 25.0 / 3.0);
  CHECK(mean({0x1p21, 0x1p-30}) == (0x1p42 + 0x1p-60) / 2);  // above 2^40
  CHECK(mean({1e100, 1e-100}) == 1e100 * 1e100 / 2);
  CHECK(mean({1.0 + epsilon}) == 1.0 + 2 * epsilon);
  CHECK(mean({1.0 + epsilon, epsilon * 0x1p-26}) * 2 == 1.0 + 2 * epsilon);
}

TEST_CASE("the standard deviation keeps its digits beside a large mean, and at any size") {
  const auto thirds = std::sqrt(2.0 / 3.0);
  CHECK(deviation({}) == 0.0);
  CHECK(deviation({0.0, 0.0}) == 0.0);
  CHECK(deviation({7.25}) == 0.0);
  CHECK(deviation({0.1, 0.1, 0.1}) == 0.0);
  CHECK(deviation({1.0, 2.0, 3.0}) == doctest::Approx(thirds).epsilon(1e-15));
  CHECK(deviation({-1.0, 1.0}) == 1.0);
  for (const double shift : {1e6, -1e12, 0x1p51, -0x1p52}) {
    CHECK(deviation({shift, shift + 1.0, shift + 2.0}) == doctest::Approx(thirds).epsilon(1e-15));
  }
  for (const int exponent : {-1074, -1073, -600, -35, 0, 1, 64, 1020}) {
    CAPTURE(exponent);
    const double scale = std::ldexp(1.0, exponent);
    CHECK(deviation({scale, 3 * scale}) == scale);
    CHECK(deviation({-3 * scale, -scale, scale, 3 * scale}) ==
          doctest::Approx(std::sqrt(5.0) * scale).epsilon(exponent > -1000 ? 1e-15 : 0.2));
  }
  CHECK(deviation({most, -most}) == most);
}

TEST_CASE("only the words that a term needs are kept") {
  ExactSums sums(4096);
  CHECK(sums.words().empty());
  for (std::size_t i = 0; i < sums.size(); ++i) sums.add(i, 1e-15 * static_cast<double>(1 + i));
  CHECK(sums.width() <= 3);
  sums.add(7, -2.5e4);
  CHECK(sums.width() == 3);
  CHECK(sums.mean(7, 1) == -2.5e4 + 1e-15 * 8);
  CHECK(sums.mean(8, 1) == 1e-15 * 9);
  sums.add(9, -1e-300);
  sums.add(10, 1e300);
  CHECK(sums.mean(9, 1) == 1e-15 * 10);
  sums.add(9, -1e-15 * 10);
  CHECK(sums.mean(9, 1) == -1e-300);
  CHECK(sums.mean(7, 1) == -2.5e4 + 1e-15 * 8);
}

TEST_CASE("many terms of the largest size leave room for their sum") {
  ExactSums sums(2);
  for (int i = 0; i < 100000; ++i) {
    sums.add(0, -0x1.fffffffffffffp15);
    sums.add_square(1, most);
  }
  CHECK(sums.mean(0, 100000) == -0x1.fffffffffffffp15);
  CHECK(sum(std::vector<double>(1000, 0x1p63)) == 1000 * 0x1p63);
  CHECK(sums.end() <= 67);
  CHECK(sums.mean(1, 100000) == std::numeric_limits<double>::infinity());
}

TEST_CASE("an infinity counts as the largest number, NaN as nothing") {
  CHECK(sum({std::numeric_limits<double>::infinity()}) == most);
  CHECK(sum({-std::numeric_limits<double>::infinity(), most, 2.0}) == 2.0);
  CHECK(sum({std::numeric_limits<double>::quiet_NaN(), 2.0}) == 2.0);
}

}  // namespace
