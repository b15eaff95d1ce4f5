// Norms as their operators have them, for every rule that takes one apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <torch/script.h>

#include <salience/graph/nodes.hpp>
#include <salience/graph/rule_node.hpp>
#include <salience/graph/tensor_values.hpp>

namespace salience::detail {

/// Where the operator of a norm has what, and over what it goes.
struct NormPlaces {
  enum class Over {
    last,      ///< the last dimensions, as many as the list in `sizes` has
    groups,    ///< groups of channels, as many as `sizes` says
    channels,  ///< each channel of each sample
    batch,     ///< each channel of all samples
  };
  Over over = Over::last;
  std::size_t weight = 0, eps = 0;
  std::size_t sizes = 0;
  bool centred = true;
};

/// Of a node that is a norm; nothing of others. Whether an instance_norm takes statistics of its input is for
/// the caller to ask: its sixth input says so.
inline std::optional<NormPlaces> norm_places(const torch::jit::Node* node) {
  using Over = NormPlaces::Over;
  const std::string_view kind = kind_of(node);
  if (kind == "aten::layer_norm" || kind == "aten::native_layer_norm")
    return NormPlaces{.over = Over::last, .weight = 2, .eps = 4, .sizes = 1};
  if (kind == "aten::rms_norm")
    return NormPlaces{.over = Over::last, .weight = 2, .eps = 3, .sizes = 1, .centred = false};
  if (kind == "aten::group_norm") return NormPlaces{.over = Over::groups, .weight = 2, .eps = 4, .sizes = 1};
  if (kind == "aten::native_group_norm")
    return NormPlaces{.over = Over::groups, .weight = 1, .eps = 7, .sizes = 6};
  if (kind == "aten::instance_norm") return NormPlaces{.over = Over::channels, .weight = 1, .eps = 7};
  // What a decomposed InstanceNorm has.
  if (kind == "aten::_native_batch_norm_legit" && node->inputs().size() == 6 &&
      is_known(node->input(3), true))
    return NormPlaces{.over = Over::batch, .weight = 1, .eps = 5};
  return std::nullopt;
}

/// One call of a norm.
class NormCall {
 public:
  NormCall(const RuleCall& call, const NormPlaces& places)
      : places_(places), sizes_(call.tensor(0).sizes().vec()), weight_(call.argument(places.weight)) {
    using Over = NormPlaces::Over;
    const c10::IValue& eps = call.argument(places.eps);
    eps_ = eps.isDouble() ? eps.toDouble() : epsilon_of(call.tensor(0));
    if (places.over == Over::last) {
      for (std::size_t i = 0; i < call.argument(places.sizes).toIntVector().size(); ++i)
        dimensions_.push_back(-1 - static_cast<std::int64_t>(i));
    } else if (places.over == Over::batch) {
      dimensions_ = {0};
      for (std::size_t d = 2; d < sizes_.size(); ++d) dimensions_.push_back(static_cast<std::int64_t>(d));
    } else {
      groups_ = places.over == Over::groups ? call.argument(places.sizes).toInt() : sizes_[1];
      dimensions_ = {2};
    }
  }

  bool centred() const noexcept { return places_.centred; }
  double eps() const noexcept { return eps_; }
  /// Over which it goes, of a tensor that is laid out.
  const std::vector<std::int64_t>& dimensions() const noexcept { return dimensions_; }

  /// A tensor of the input's shape as the norm looks at it, and back.
  at::Tensor laid_out(const at::Tensor& tensor) const {
    return groups_ > 0 ? tensor.reshape({sizes_[0], groups_, -1}) : tensor;
  }
  at::Tensor back(const at::Tensor& tensor) const { return tensor.view(sizes_); }

  /// Times the norm's weight, if it has one.
  at::Tensor weighted(const at::Tensor& tensor) const {
    if (!weight_.isTensor()) return tensor;
    if (places_.over == NormPlaces::Over::last) return tensor.mul(weight_.toTensor());
    std::vector<std::int64_t> channels(sizes_.size(), 1);
    channels[1] = sizes_[1];
    return tensor.mul(weight_.toTensor().view(channels));
  }

 private:
  const NormPlaces& places_;
  const std::vector<std::int64_t> sizes_;
  const c10::IValue& weight_;
  double eps_ = 0.0;
  std::int64_t groups_ = 0;  ///< 0: it takes the input as it is
  std::vector<std::int64_t> dimensions_;
};

}  // namespace salience::detail
