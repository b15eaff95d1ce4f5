// Sums that lose no digit of their terms, so that the order of these does not matter.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

/// to[i] += from[i], for integers of `width` words in two's complement, the lowest word first.
inline void add_integers(const std::uint64_t* from, std::uint64_t* to, std::size_t count, std::size_t width) {
  for (std::size_t i = 0; i < count; ++i, from += width, to += width) {
    std::uint64_t carry = 0;
    for (std::size_t k = 0; k < width; ++k) {
      const std::uint64_t sum = to[k] + from[k];
      const std::uint64_t whole = sum + carry;
      carry = (sum < from[k] ? 1U : 0U) + (whole < sum ? 1U : 0U);
      to[k] = whole;
    }
  }
}

/// Several sums side by side of float64 numbers, their squares, or both. Each is an integer in units of
/// 2^-2176, in which the smallest square and the largest are whole, so nothing is rounded before the end.
/// Of its 67 words of 64 bits only those are kept that some term has needed: three for numbers from 1e-19 to
/// 1e5 as a map has them.
///
/// A sum takes 2^47 terms, which is more than there are pictures; then it may overflow. An infinity counts as
/// the largest float64 number, NaN as nothing.
class ExactSums {
 public:
  explicit ExactSums(std::size_t size) : size_(size) {}

  std::size_t size() const { return size_; }

  /// Adds to sum `i`.
  void add(std::size_t i, double term) {
    const Parts parts = parts_of(term);
    put<2>(i, parts.mantissa, 0, parts.exponent + unit, parts.negative);
  }
  /// Adds `root` squared, which need not be a float64 number.
  void add_square(std::size_t i, double root) {
    const Parts parts = parts_of(root);
    const Wide square = Wide{parts.mantissa} * parts.mantissa;
    put<3>(i, static_cast<std::uint64_t>(square), static_cast<std::uint64_t>(square >> 64),
           2 * parts.exponent + unit, false);
  }
  /// Adds each of as many other sums.
  void add(ExactSums other) {
    widen(other.begin_, other.end_);
    other.widen(begin_, end_);
    add_integers(other.words_.data(), words_.data(), size_, width());
  }

  /// Sum `i` over `count`: rounded to 53 bits before and after the division.
  double mean(std::size_t i, std::int64_t count) const {
    bool negative = false;
    const Rounded sum = rounded(magnitude(i, negative), 64 * begin_ - unit);
    const double mean = std::ldexp(sum.mantissa / static_cast<double>(count), sum.exponent);
    return negative ? -mean : mean;
  }

  /// The standard deviation of `count` numbers (over count, not count - 1), of which sum `i` is the sum and
  /// sum `squares` that of the squares. Their difference is taken before anything is rounded.
  double deviation(std::size_t i, std::size_t squares, std::int64_t count) const {
    if (width() == 0) return 0.0;
    bool negative = false;
    const Words sum = magnitude(i, negative);
    Words of_sum = product(sum, sum);
    Words of_squares = product(magnitude(squares, negative), {static_cast<std::uint64_t>(count)});
    // The square of the sum has the square of the unit.
    const int lowest = 64 * begin_ - unit;
    Words& coarser = lowest < 0 ? of_squares : of_sum;
    coarser.insert(coarser.begin(), static_cast<std::size_t>(std::abs(lowest) / 64), 0);
    of_squares.resize(std::max(of_squares.size(), of_sum.size()));
    of_sum.resize(of_squares.size());
    negate(of_sum);
    add_integers(of_sum.data(), of_squares.data(), 1, of_squares.size());
    Rounded difference = rounded(of_squares, lowest < 0 ? 2 * lowest : lowest);
    if (difference.exponent % 2 != 0) difference = {2 * difference.mantissa, difference.exponent - 1};
    return std::ldexp(std::sqrt(difference.mantissa) / static_cast<double>(count), difference.exponent / 2);
  }

  /// Which words are kept: from begin() on, before end(). None at first, and then begin() is above end().
  int begin() const { return begin_; }
  int end() const { return end_; }
  std::size_t width() const { return begin_ < end_ ? static_cast<std::size_t>(end_ - begin_) : 0; }

  /// Keeps these words too.
  void widen(int begin, int end) {
    begin = std::min(begin, begin_), end = std::max(end, end_);
    if (begin >= end || (begin == begin_ && end == end_)) return;
    const auto wider = static_cast<std::size_t>(end - begin);
    Words words(size_ * wider);
    if (const std::size_t old = width(); old > 0) {
      for (std::size_t i = 0; i < size_; ++i) {
        const auto from = words_.begin() + static_cast<std::ptrdiff_t>(i * old);
        const auto to = words.begin() + static_cast<std::ptrdiff_t>(i * wider);
        const auto high = std::copy_n(from, old, to + (begin_ - begin));
        std::fill(high, to + static_cast<std::ptrdiff_t>(wider),
                  from[static_cast<std::ptrdiff_t>(old) - 1] >> 63 ? ~0ULL : 0ULL);
      }
    }
    words_ = std::move(words);
    begin_ = begin, end_ = end;
  }

  /// The kept words, sum by sum, each with its lowest word first.
  std::span<std::uint64_t> words() { return words_; }

 private:
  __extension__ using Wide = unsigned __int128;
  using Words = std::vector<std::uint64_t>;

  static constexpr int unit = 2176;     // minus the exponent of an integer's lowest bit, at word 0
  static constexpr int spare = 48;      // bits above a term: 47 for the number of terms, one for the sign
  static constexpr int none = 1 << 20;  // begin of no words

  /// term = +-mantissa * 2^exponent
  struct Parts {
    std::uint64_t mantissa;
    int exponent;
    bool negative;
  };

  static Parts parts_of(double term) {
    constexpr std::uint64_t hidden = 1ULL << 52;
    if (!std::isfinite(term)) {
      term = std::isnan(term) ? 0.0 : std::copysign(std::numeric_limits<double>::max(), term);
    }
    const auto bits = std::bit_cast<std::uint64_t>(term);
    const auto biased = static_cast<int>((bits >> 52) & 0x7FF);
    const std::uint64_t fraction = bits & (hidden - 1);
    return {.mantissa = biased == 0 ? fraction : fraction | hidden,
            .exponent = std::max(biased, 1) - 1075,
            .negative = bits >> 63 != 0};
  }

  /// Adds or subtracts the number (high, low) * 2^place, which takes `count` words wherever it begins.
  template <int count>
  void put(std::size_t i, std::uint64_t low, std::uint64_t high, int place, bool negative) {
    if (low == 0 && high == 0) return;
    constexpr int bits = count == 2 ? 53 : 106;
    const int first = place / 64, shift = place % 64, end = (place + bits + spare + 63) / 64;
    if (first < begin_ || end > end_) widen(first, end);
    const auto wide = width();
    std::uint64_t* word = words_.data() + i * wide + static_cast<std::size_t>(first - begin_);
    const std::uint64_t* last = words_.data() + (i + 1) * wide;
    const auto above = [shift](std::uint64_t value) { return shift == 0 ? 0 : value >> (64 - shift); };
    const std::uint64_t term[3] = {low << shift, above(low) | high << shift, above(high)};
    std::uint64_t carry = 0;
    if (negative) {
      for (int k = 0; k < count; ++k, ++word) {
        const std::uint64_t old = *word, less = old - term[k];
        *word = less - carry;
        carry = (old < term[k] ? 1U : 0U) | (less < carry ? 1U : 0U);
      }
      for (; carry != 0 && word != last; ++word) carry = (*word)-- == 0 ? 1U : 0U;
    } else {
      for (int k = 0; k < count; ++k, ++word) {
        const std::uint64_t more = *word + term[k];
        *word = more + carry;
        carry = (more < term[k] ? 1U : 0U) | (*word < more ? 1U : 0U);
      }
      for (; carry != 0 && word != last; ++word) carry = ++*word == 0 ? 1U : 0U;
    }
  }

  static void negate(Words& words) {
    std::uint64_t carry = 1;
    for (std::uint64_t& word : words) {
      word = ~word + carry;
      carry = carry != 0 && word == 0 ? 1U : 0U;
    }
  }

  /// The size of sum `i`, from word `begin_` on, and its sign.
  Words magnitude(std::size_t i, bool& negative) const {
    const auto first = words_.begin() + static_cast<std::ptrdiff_t>(i * width());
    Words words(first, first + static_cast<std::ptrdiff_t>(width()));
    negative = !words.empty() && words.back() >> 63 != 0;
    if (negative) negate(words);
    return words;
  }

  static Words product(const Words& a, const Words& b) {
    Words result(a.size() + b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      std::uint64_t carry = 0;
      for (std::size_t k = 0; k < b.size(); ++k) {
        const Wide sum = Wide{a[i]} * b[k] + result[i + k] + carry;
        result[i + k] = static_cast<std::uint64_t>(sum);
        carry = static_cast<std::uint64_t>(sum >> 64);
      }
      result[i + b.size()] = carry;
    }
    return result;
  }

  /// mantissa * 2^exponent
  struct Rounded {
    double mantissa;
    int exponent;
  };

  /// The number in units of 2^lowest, rounded once to 53 bits, halves to even.
  static Rounded rounded(const Words& words, int lowest) {
    std::size_t top = words.size();
    while (top > 0 && words[top - 1] == 0) --top;
    if (top == 0) return {0.0, 0};
    const int zeros = std::countl_zero(words[top - 1]);
    std::uint64_t leading = words[top - 1] << zeros;
    bool rest = false;
    if (top > 1) {
      if (zeros > 0) leading |= words[top - 2] >> (64 - zeros);
      rest = words[top - 2] << zeros != 0 ||
             std::any_of(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(top) - 2,
                         [](std::uint64_t word) { return word != 0; });
    }
    // What lies below these 64 bits decides only between a half and more: one bit stands for it.
    return {static_cast<double>(leading | (rest ? 1U : 0U)),
            lowest + 64 * (static_cast<int>(top) - 1) - zeros};
  }

  std::size_t size_;
  int begin_ = none, end_ = 0;
  Words words_;
};
