// Every exception that Salience throws itself. One class per kind of error, so that a caller can catch one
// kind alone. Messages that are used in several places are made by named factories here.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <locale>
#include <numeric>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// clang has no macro for -funsafe-math-optimizations alone, and picture/detail/vectorized.hpp stays correct
// with it.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0) || \
    defined(__ASSOCIATIVE_MATH__)
#error "Salience: -ffast-math and its parts make maps wrong and hide NaN; add -fno-fast-math behind them"
#endif

namespace salience {

/// Base of all errors of this library. `what()` is one sentence that says what was given and what was
/// expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

/// Streams all arguments into one string, numbers as in C++ source: names are made of them, and a locale that
/// groups digits would call layer 1234 "1.234".
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << parts);
  return std::move(out).str();
}

/// The edit distance of Levenshtein, upper and lower case taken as equal.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const bool equal =
          std::tolower(static_cast<unsigned char>(a[i])) == std::tolower(static_cast<unsigned char>(b[j]));
      const std::size_t substituted = diagonal + (equal ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substituted});
    }
  }
  return row.back();
}

/// A name as far as a message shows it: one that came from outside may have any length.
inline std::string shortened(std::string_view name) {
  constexpr std::size_t most = 100;
  return name.size() <= most ? std::string(name) : concat(name.substr(0, most), "...");
}

/// `'a', 'b', 'c'`
inline std::string quoted(std::span<const std::string> names) {
  std::string text;
  for (const std::string& name : names) text += concat(text.empty() ? "'" : ", '", name, "'");
  return text;
}

/// The `count` names nearest to `name`, as `'a', 'b', 'c'`. A name that contains `name` counts as near.
inline std::string nearest(std::string_view name, std::span<const std::string> names, std::size_t count = 3) {
  std::vector<std::pair<std::size_t, std::size_t>> ranked;  // distance, position
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool contains = !name.empty() && names[i].find(name) != std::string::npos;
    ranked.emplace_back(contains ? 0 : edit_distance(name, names[i]), i);
  }
  const std::size_t shown = std::min(count, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(shown), ranked.end());
  std::vector<std::string> near;
  near.reserve(shown);
  for (std::size_t i = 0; i < shown; ++i) near.push_back(names[ranked[i].second]);
  return quoted(near);
}

}  // namespace detail

/// An option or argument outside what it may be.
class ArgumentError : public Error {
 public:
  using Error::Error;

  /// "skew must be a number above 0, got -1"
  template <class Value>
  static ArgumentError out_of_range(std::string_view option, const Value& got, std::string_view expected) {
    return ArgumentError(detail::concat(option, " must be ", expected, ", got ", got));
  }
  /// "there is no colour map 'virids'; the nearest are 'viridis', ..."
  static ArgumentError unknown_name(std::string_view kind, std::string_view name,
                                    std::span<const std::string> names) {
    const std::string shown = detail::shortened(name);
    return ArgumentError(detail::concat("there is no ", kind, " '", shown, "'; the nearest are ",
                                        detail::nearest(shown, names)));
  }
};

/// A file that cannot be read, written or understood; the message begins with its path.
class FileError : public Error {
 public:
  using Error::Error;

  /// "photo.png: there is no such file"
  static FileError at(std::string_view path, std::string_view what) {
    return FileError(detail::concat(path, ": ", what));
  }
};

/// A model that cannot be loaded or run, or whose output cannot be explained.
class ModelError : public Error {
 public:
  using Error::Error;
};

/// A target that the model's output does not have.
class TargetError : public Error {
 public:
  using Error::Error;
};

}  // namespace salience
