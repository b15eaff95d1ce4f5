// AnyAttributor: one type for methods of every type.
#pragma once

#include <memory>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/method/attribution.hpp>
#include <salience/target/any_target.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

/// Any Attributor, behind one type: for methods that are chosen while the program runs.
///
///     const AnyAttributor method =
///         sharp ? AnyAttributor{GuidedGradCam{model}} : AnyAttributor{GradCam{model}};
///     Attribution a = method(x, ClassIndex{5});
///     Attribution smooth = SmoothGrad{method}(x);
///
/// The method in it is called with an AnyTarget, and gives the same bits. method/registry.hpp makes one by a
/// method's name.
///
/// Copies are cheap and share one method, which is never changed. Several threads may use it and its copies
/// at once if they may use that method at once.
class AnyAttributor {
 public:
  /// Of any Attributor, which is moved in.
  template <class A>
  explicit AnyAttributor(A attributor) {
    static_assert(Attributor<A>,
                  "Salience: AnyAttributor holds an attributor, callable with an input and any target "
                  "(const auto&) to give an Attribution");
    if constexpr (Attributor<A>) held_ = std::make_shared<const Held<A>>(std::move(attributor));
  }

  /// What the method gives for `input`, (N, ...), and what it throws.
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return held_->attribute(input, AnyTarget(target));
  }

  /// What the call above would explain: the method's own `predict`, or the whole method where it has none.
  template <class T = TargetSelector<>>
  Explained predict(const at::Tensor& input, const T& target = T{}) const {
    return held_->predict(input, AnyTarget(target));
  }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual Attribution attribute(const at::Tensor& input, const AnyTarget& target) const = 0;
    virtual Explained predict(const at::Tensor& input, const AnyTarget& target) const = 0;
  };

  template <class A>
  struct Held final : Interface {
    explicit Held(A held) : attributor(std::move(held)) {}
    Attribution attribute(const at::Tensor& input, const AnyTarget& target) const override {
      return attributor(input, target);
    }
    Explained predict(const at::Tensor& input, const AnyTarget& target) const override {
      return detail::predict_by(attributor, input, target);
    }
    A attributor;
  };

  std::shared_ptr<const Interface> held_;
};

}  // namespace salience
