// Two ways to compute one thing, timed in turns, so that their ratio can be trusted.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Medians over the rounds.
struct Turns {
  double first, second;  ///< seconds
  double ratio;          ///< of the second to the first in the same round
};

/// Three rounds warm up.
template <class First, class Second>
Turns take_turns(const First& first, const Second& second, int rounds) {
  const auto timed = [](const auto& run) {
    const auto start = Clock::now();
    run();
    return seconds_since(start);
  };
  std::array<std::vector<double>, 3> all;
  for (int round = 0; round < rounds + 3; ++round) {
    double one = 0.0, other = 0.0;
    if (round % 2 == 0) one = timed(first);
    other = timed(second);
    if (round % 2 != 0) one = timed(first);
    if (round < 3) continue;
    all[0].push_back(one);
    all[1].push_back(other);
    all[2].push_back(other / one);
  }
  return {median(all[0]), median(all[1]), median(all[2])};
}

}  // namespace bench
