// What the tests of the promises share: a network that the library must leave as it is, and what sees it
// change.
#pragma once

#include <salience/model/any_model.hpp>
#include <salience/model/features_head.hpp>

#include <ATen/ops/conv2d_ops.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../support.hpp"

namespace contract {

using support::normal;

/// The weights of a small network, as a caller may have left them.
struct Weights {
  std::vector<at::Tensor> all;  // two convolutions, a linear layer

  explicit Weights(at::ScalarType dtype)
      : all{normal({4, 3, 3, 3}, dtype, 1), normal({6, 4, 3, 3}, dtype, 2), normal({6, 5}, dtype, 3)} {
    for (at::Tensor& weight : all) weight.requires_grad_(true);
    all[0].mutable_grad() = all[0].detach().mul(3.0);
  }
};

/// Two convolutions with rectifiers, one in place, and a linear head. It writes into its input. `calls`
/// counts, and the call of that number throws in the middle.
struct Network {
  std::shared_ptr<Weights> weights;
  std::shared_ptr<std::atomic<int>> calls = std::make_shared<std::atomic<int>>(0);
  int throws_at = -1;

  explicit Network(at::ScalarType dtype = at::kDouble) : weights(std::make_shared<Weights>(dtype)) {}

  salience::AnyModel model() const {
    const auto convolved = [](const at::Tensor& x, const at::Tensor& weight) {
      return at::_ops::conv2d::call(x, weight, {}, {1, 1}, {1, 1}, {1, 1}, 1);
    };
    const auto features = [weights = weights, convolved](const at::Tensor& x) {
      at::Tensor own = x;
      own.add_(0.125);
      return convolved(convolved(own, weights->all[0]).relu_(), weights->all[1]).relu();
    };
    const auto head = [weights = weights, calls = calls, throws_at = throws_at](const at::Tensor& a) {
      if (++*calls == throws_at) throw std::domain_error("from inside the model");
      const at::Tensor mean = a.mean({2, 3});
      return mean.add(mean.square()).matmul(weights->all[2]);
    };
    return salience::AnyModel(salience::FeaturesHead(features, head));
  }
};

/// Three pictures of other colours, which the network takes for three classes.
inline at::Tensor batch(at::ScalarType dtype = at::kDouble) {
  return normal({3, 3, 9, 8}, at::kDouble, 4).add(normal({3, 3, 1, 1}, at::kDouble, 7), 2.0).to(dtype);
}

/// The caller's tensor as it is now, and whether it still is so.
class Snapshot {
 public:
  explicit Snapshot(at::Tensor tensor)
      : tensor_(std::move(tensor)),
        values_(tensor_.detach().clone()),
        gradient_(tensor_.grad().defined() ? tensor_.grad().clone() : at::Tensor()),
        data_(tensor_.data_ptr()),
        version_(tensor_._version()),
        requires_grad_(tensor_.requires_grad()) {}

  bool untouched() const {
    return tensor_.detach().equal(values_) && tensor_.data_ptr() == data_ && tensor_._version() == version_ &&
           tensor_.requires_grad() == requires_grad_ && tensor_.grad().defined() == gradient_.defined() &&
           (!gradient_.defined() || tensor_.grad().equal(gradient_));
  }

 private:
  at::Tensor tensor_, values_, gradient_;
  void* data_;
  std::int64_t version_;
  bool requires_grad_;
};

inline bool autocast_is_excluded() {
  return c10::impl::tls_is_dispatch_key_excluded(c10::DispatchKey::AutocastCPU);
}

/// As at::autocast does it, in every version.
struct Autocast {
  Autocast() { c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, false); }
  ~Autocast() { c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, true); }
};

}  // namespace contract
