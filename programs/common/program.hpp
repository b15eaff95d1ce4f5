// What a program's main does around its work.
#pragma once

#include <malloc.h>

#include <exception>
#include <functional>
#include <iostream>
#include <mutex>
#include <new>
#include <set>
#include <string>

#include "on_warning.hpp"
#include "settings.hpp"

/// While the result lives, each LibTorch warning of this thread takes one line of stderr; the same one is
/// said once, whatever threads it comes from.
inline OnWarning say_warnings_once() {
  return OnWarning([](const std::string& message) {
    static std::mutex mutex;
    static std::set<std::string> said;
    const std::string line = "warning: " + message.substr(0, message.find('\n')) + '\n';
    const std::lock_guard lock(mutex);
    if (said.insert(line).second) std::cerr << line;
  });
}

/// Parses (a status of at least 0 ends the program) and runs. Warnings and errors take one line of stderr
/// each; the same warning is said once. Gives the exit status: 1 after an error.
inline int run_program(const std::string& name, const Settings& settings, const std::function<int()>& parse,
                       const std::function<void()>& run) {
  // Keep the large blocks that each pass asks for again: docs/how-to/speed.md.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  const OnWarning warnings = say_warnings_once();
  if (const int status = parse(); status >= 0) return status;
  try {
    run();
  } catch (const std::bad_alloc&) {
    std::cerr << name << ": not enough memory for an input of " << settings.height << 'x' << settings.width
              << '\n';
    return 1;
  } catch (const std::exception& error) {
    std::string text = error.what();
    text = text.substr(0, text.find('\n'));
    if (settings.mean.size() == 1 && text.find("to have 3 channels, but got 1") != std::string::npos) {
      text += "; a colour model takes three numbers, as --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25";
    }
    std::cerr << name << ": " << text << '\n';
    return 1;
  }
  return 0;
}
