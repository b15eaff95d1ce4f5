// LibTorch's warnings (TORCH_WARN), handed to a function while this lives. (Its interface changed in
// version 2.)
#pragma once

#include <c10/util/Exception.h>
#include <torch/version.h>

#include <functional>
#include <string>
#include <utility>

class OnWarning : public c10::WarningHandler {
 public:
  using Take = std::function<void(const std::string& message)>;

#if TORCH_VERSION_MAJOR >= 2
  explicit OnWarning(Take take)
      : take_(std::move(take)), previous_(c10::WarningUtils::get_warning_handler()) {
    c10::WarningUtils::set_warning_handler(this);
  }
  ~OnWarning() override { c10::WarningUtils::set_warning_handler(previous_); }
  void process(const c10::Warning& warning) override { take_(warning.msg()); }
#else
  explicit OnWarning(Take take) : take_(std::move(take)), previous_(c10::Warning::get_warning_handler()) {
    c10::Warning::set_warning_handler(this);
  }
  ~OnWarning() override { c10::Warning::set_warning_handler(previous_); }
  void process(const c10::SourceLocation&, const std::string& message, bool) override { take_(message); }
#endif
  OnWarning(const OnWarning&) = delete;
  OnWarning& operator=(const OnWarning&) = delete;

 private:
  Take take_;
  c10::WarningHandler* previous_;
};
