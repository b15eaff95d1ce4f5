// LibTorch's warnings as one line each on stderr. (Its interface changed in version 2.)
#pragma once

#include <c10/util/Exception.h>
#include <torch/version.h>

#include <iostream>
#include <string>

class WarningLine : public c10::WarningHandler {
 public:
#if TORCH_VERSION_MAJOR >= 2
  WarningLine() : previous_(c10::WarningUtils::get_warning_handler()) {
    c10::WarningUtils::set_warning_handler(this);
  }
  ~WarningLine() override { c10::WarningUtils::set_warning_handler(previous_); }
  void process(const c10::Warning& warning) override { print(warning.msg()); }
#else
  WarningLine() : previous_(c10::Warning::get_warning_handler()) { c10::Warning::set_warning_handler(this); }
  ~WarningLine() override { c10::Warning::set_warning_handler(previous_); }
  void process(const c10::SourceLocation&, const std::string& message, bool) override { print(message); }
#endif
  WarningLine(const WarningLine&) = delete;
  WarningLine& operator=(const WarningLine&) = delete;

 private:
  static void print(const std::string& message) {
    std::cerr << "warning: " << message.substr(0, message.find('\n')) << '\n';
  }

  c10::WarningHandler* previous_;
};
