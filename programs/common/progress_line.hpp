// A progress bar for long work, on a terminal only.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <string>

/// Draws "[#####.....] 3/7 what" on one line of stderr and removes it at the end. Silent when stderr is not a
/// terminal.
class ProgressLine {
 public:
  ProgressLine() : shown_(isatty(STDERR_FILENO) == 1) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  /// `done` of the total; `what` is under way.
  void at(long done, long total, const std::string& what) const {
    if (!shown_) return;
    constexpr long width = 30;
    const auto filled = static_cast<std::size_t>(std::clamp(width * done / std::max(total, 1L), 0L, width));
    const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
    std::cerr << "\r\033[K[" << bar << "] " << done << '/' << total << ' ' << what << std::flush;
  }

  /// Is there a terminal to draw on?
  bool shown() const { return shown_; }

  /// Makes room for other output.
  void clear() const {
    if (shown_) std::cerr << "\r\033[K" << std::flush;
  }

 private:
  bool shown_;
};
