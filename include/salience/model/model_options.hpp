// What can be chosen when a model file is loaded.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <salience/graph/arguments.hpp>

namespace salience {

/// What may be done to a model before it is run.
enum class Prepare {
  /// The same operations as the module's own forward: the same bits as Python on the same LibTorch, where
  /// those are right (docs/reliability.md).
  none,
  /// BatchNorm folded into convolutions, constants folded, channels-last layout: the same up to rounding.
  fast,
};

/// What can be chosen of a GraphModel, so of a ScriptModel and of an ExportedModel.
struct ModelOptions {
  std::optional<c10::Device> device{};     ///< where to run; default: where the model is
  std::optional<c10::ScalarType> dtype{};  ///< floating type to run in; default: the parameters' own
  Prepare prepare = Prepare::none;         ///< see Prepare
  /// The entry to explain of a dict (its key) or a tuple (its position); of a container in a container their
  /// path, "aux.1".
  std::string output{};
  std::string model{};  ///< which model of a torch.export archive that holds several
  /// Values for arguments of forward, which are held fixed: all that have no default but the one that is
  /// explained.
  std::vector<Binding> bind{};
  /// Which arguments are explained together, as the parts of one packed row for each sample: see Parts.
  /// Default: one, that which is neither bound nor has a default.
  std::vector<ExplainedInput> explain{};
};

}  // namespace salience
