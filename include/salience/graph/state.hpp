// What a model writes to itself while it runs.
#pragma once

#include <set>
#include <string>
#include <utility>

#include <torch/script.h>

#include <salience/graph/object_copy.hpp>

namespace salience::detail {

/// The module that a run starts with. A model that changes itself (a counter, a moving average) gets, for
/// each run, copies of what it may change, so that every run begins alike and threads do not meet.
class State {
 public:
  /// `written` are the names of the attributes that the program writes to.
  explicit State(std::set<std::string> written) : written_(std::move(written)) {}

  /// What `module` is for one run.
  torch::jit::Module begin(const torch::jit::Module& module) const {
    if (written_.empty()) return module;
    return ObjectCopy([this](const std::string& name) { return written_.contains(name); })(module);
  }

 private:
  std::set<std::string> written_;
};

}  // namespace salience::detail
