// Catches LibTorch's warnings while it lives.
#pragma once

#include <string>
#include <vector>

#include "../programs/common/on_warning.hpp"

namespace support {

class CatchWarnings {
 public:
  const std::vector<std::string>& messages() const { return messages_; }

 private:
  std::vector<std::string> messages_;
  OnWarning handler_{[this](const std::string& message) { messages_.push_back(message); }};
};

}  // namespace support
