// AnyTarget: one type for targets of every type.
#pragma once

#include <memory>
#include <utility>

#include <ATen/core/Tensor.h>

#include <salience/target/class_output.hpp>
#include <salience/target/target_selector.hpp>

namespace salience {

/// Any Target, behind one type: for what is compiled once for all targets, or is chosen while the program
/// runs.
///
///     const AnyTarget target = index < 0 ? AnyTarget{} : AnyTarget{ClassIndex{index}};
///     Attribution a = vanilla(x, target);
///
/// It gives the very tensors of the target in it. A bare choice becomes a TargetSelector of its logit, a
/// callable one of its score, as in a method; to a metric, which would give a bare choice a score of its own
/// (Confidence: the probability), say TargetSelector{choice, score}.
///
/// Copies are cheap and share one target, which is never changed. Several threads may use it and its copies
/// at once if they may use that target at once.
class AnyTarget {
 public:
  /// The predicted class's logit.
  AnyTarget() : AnyTarget(TargetSelector<>{}) {}

  /// Of any Target, choice, or callable from the output to one score per sample.
  template <class T>
  explicit AnyTarget(T target) {
    if constexpr (Target<T>) {
      held_ = std::make_shared<const Held<T>>(std::move(target));
    } else {
      held_ = std::make_shared<const Held<TargetSelector<T, Logit>>>(as_target(target));
    }
  }

  /// What the target chooses: one class index per sample, (N) int64, or an undefined tensor.
  at::Tensor choose(const at::Tensor& output) const { return held_->choose(output); }
  /// The target's scores, (N), for that choice.
  at::Tensor score(const at::Tensor& output, const at::Tensor& chosen) const {
    return held_->score(output, chosen);
  }

  /// How it reads the output, as a TargetSelector says; of another target, OutputType::automatic.
  OutputType output_type() const { return held_->output_type(); }
  /// How it reads this output.
  OutputType output_type(const at::Tensor& output) const { return held_->output_type(output); }
  /// The same target, which reads the output so, unless it says how or cannot be told.
  AnyTarget read_as(OutputType type) const { return held_->read_as(type); }
  /// See TargetSelector::takes_any_class.
  bool takes_any_class() const { return held_->takes_any_class(); }
  /// FixedTarget::samples of the target in it; undefined for another.
  at::Tensor samples() const { return held_->samples(); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual at::Tensor choose(const at::Tensor& output) const = 0;
    virtual at::Tensor score(const at::Tensor& output, const at::Tensor& chosen) const = 0;
    virtual OutputType output_type() const = 0;
    virtual OutputType output_type(const at::Tensor& output) const = 0;
    virtual AnyTarget read_as(OutputType type) const = 0;
    virtual bool takes_any_class() const = 0;
    virtual at::Tensor samples() const = 0;
  };

  template <class T>
  struct Held final : Interface {
    explicit Held(T held) : target(std::move(held)) {}
    at::Tensor choose(const at::Tensor& output) const override { return target.choose(output); }
    at::Tensor score(const at::Tensor& output, const at::Tensor& chosen) const override {
      return target.score(output, chosen);
    }
    OutputType output_type() const override {
      if constexpr (requires { target.output_type(); }) return target.output_type();
      return OutputType::automatic;
    }
    OutputType output_type(const at::Tensor& output) const override {
      return detail::output_type_of(target, output);
    }
    AnyTarget read_as(OutputType type) const override { return AnyTarget(detail::read_as(target, type)); }
    bool takes_any_class() const override { return detail::takes_any_class(target); }
    at::Tensor samples() const override { return detail::samples_of(target); }
    T target;
  };

  std::shared_ptr<const Interface> held_;
};

}  // namespace salience
