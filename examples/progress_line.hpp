// A progress bar for long work, on a terminal only.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

/// Draws "[#####.....] 3/7 what" on one line of stderr, from the second second on, and removes it at the end.
/// Silent when stderr is not a terminal.
class ProgressLine {
 public:
  explicit ProgressLine(long total) : total_(std::max(total, 1L)), shown_(isatty(STDERR_FILENO) == 1) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() {
    if (drawn_) std::fputs("\r\033[K", stderr);
  }

  /// `done` of the total; `what` is under way.
  void at(long done, const std::string& what) {
    if (!shown_ || std::chrono::steady_clock::now() - start_ < std::chrono::seconds(1)) return;
    constexpr long width = 30;
    const auto filled = static_cast<std::size_t>(std::clamp(width * done / total_, 0L, width));
    const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
    std::fprintf(stderr, "\r\033[K[%s] %ld/%ld %s", bar.c_str(), done, total_, what.c_str());
    drawn_ = true;
  }

 private:
  long total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};
