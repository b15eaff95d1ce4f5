// Catches LibTorch's warnings (TORCH_WARN) while it lives; the interface changed in version 2.
#pragma once

#include <c10/util/Exception.h>

#include <string>
#include <vector>

#include <torch/version.h>

namespace support {

class CatchWarnings : public c10::WarningHandler {
 public:
#if TORCH_VERSION_MAJOR >= 2
  CatchWarnings() : previous_(c10::WarningUtils::get_warning_handler()) {
    c10::WarningUtils::set_warning_handler(this);
  }
  ~CatchWarnings() override { c10::WarningUtils::set_warning_handler(previous_); }
  void process(const c10::Warning& warning) override { messages_.push_back(warning.msg()); }
#else
  CatchWarnings() : previous_(c10::Warning::get_warning_handler()) {
    c10::Warning::set_warning_handler(this);
  }
  ~CatchWarnings() override { c10::Warning::set_warning_handler(previous_); }
  void process(const c10::SourceLocation&, const std::string& message, bool) override {
    messages_.push_back(message);
  }
#endif
  CatchWarnings(const CatchWarnings&) = delete;
  CatchWarnings& operator=(const CatchWarnings&) = delete;

  const std::vector<std::string>& messages() const { return messages_; }

 private:
  std::vector<std::string> messages_;
  c10::WarningHandler* previous_;
};

}  // namespace support
