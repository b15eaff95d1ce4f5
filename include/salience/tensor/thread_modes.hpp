// What a pass sets for its thread, whatever the caller had set.
#pragma once

#include <c10/core/DispatchKeySet.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace salience::detail {

/// No caller's autocast: a model computes in the types of its weights and input. A model's own autocast,
/// which its forward switches on, works as ever.
class NoAutocast {
  c10::impl::ExcludeDispatchKeyGuard excluded_{c10::autocast_dispatch_keyset};
};

/// As long as it lives gradients are recorded, though the caller be under no_grad, in inference mode (whose
/// tensors can never take part in a gradient) or in autocast.
class Recording {
  c10::InferenceMode no_inference_{false};  // which also switches gradients on
  NoAutocast no_autocast_;
};

/// The same without gradients.
class Observing {
  Recording recording_;
  c10::NoGradGuard no_grad_;
};

}  // namespace salience::detail
