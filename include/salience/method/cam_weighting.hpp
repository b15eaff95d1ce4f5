// The formulas of class activation maps: each takes a layer's activations and gradients to a map.
#pragma once

#include <concepts>
#include <exception>

#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_eigh_ops.h>
#include <ATen/ops/linalg_svd_ops.h>

#include <salience/error.hpp>
#include <salience/tensor/tensor.hpp>

namespace salience {

namespace detail {

/// A principal component has no sign: (N, 1, h, w) such that the map's largest absolute value is positive.
inline at::Tensor largest_upwards(const at::Tensor& map, const at::Tensor& like) {
  const at::Tensor turned = map.amax({1}, true).add(map.amin({1}, true)).lt(0.0);
  return map.mul(turned.to(map.scalar_type()).mul(-2.0).add(1.0))
      .view({like.size(0), 1, like.size(2), like.size(3)});
}

/// `decompose()`, whose failure is told of what was decomposed.
template <class Decompose>
auto principal(const at::Tensor& a, const Decompose& decompose) {
  try {
    return decompose();
  } catch (const c10::Error& error) {
    std::throw_with_nested(ModelError(concat("the layer's activations of shape ", shape(a),
                                             " have no principal direction: ", first_cause(error))));
  }
}

}  // namespace detail

/// How a layer's activations and gradients become a class activation map: a call with the activations A and
/// the gradients G = ds/dA, both (N, C, h, w), detached and in float32 at least, gives the signed map
/// (N, 1, h, w). There are always four dimensions, so that one formula serves every input: of a picture's
/// layer its own, of a signal's (N, C, 1, L), of a volume's (N, C, d, h * w), of a vector (N, C, 1, 1); the
/// map goes back to the layer's places afterwards. So only of a picture are the neighbours in the last two
/// dimensions those of the grid. Sample n's map must depend on sample n alone. Where `needs_gradient`, a
/// static constant, is false, no backward pass is done and G is undefined. Several threads may call it at
/// once. A weighting of one's own goes into a ClassActivationMap, or into Explanation::cam.
///
/// In the formulas below, k is a channel and (i, j) a place.
template <class W>
concept CamWeighting = requires(const W& weighting, const at::Tensor& tensor) {
  { W::needs_gradient } -> std::convertible_to<bool>;
  { weighting(tensor, tensor) } -> std::convertible_to<at::Tensor>;
};

namespace detail {

/// Fails to compile with one sentence unless W is a weighting.
template <class W>
constexpr void require_cam_weighting() {
  static_assert(
      CamWeighting<W>,
      "Salience: a weighting of class activation maps must have a static constant needs_gradient, "
      "and be callable with activations and gradients, two const at::Tensor&, to give an at::Tensor");
}

}  // namespace detail

/// Grad-CAM: \f$ \sum_k w_k A^k \f$, \f$ w_k = \frac1{hw} \sum_{ij} G^k_{ij} \f$ (Selvaraju et al. 2017).
struct MeanGradient {
  static constexpr bool needs_gradient = true;  ///< a backward pass is done for it
  /// The signed map (N,1,h,w), of activations and gradients (N,C,h,w).
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    return g.mean({2, 3}, /*keepdim=*/true).mul(a).sum({1}, true);
  }
};

/// Grad-CAM++: \f$ w_k = \sum_{ij} \alpha^k_{ij} \max(G^k_{ij}, 0) \f$, \f$ \alpha^k_{ij} = G^2 / (2 G^2 +
/// \sum_{ab} A^k_{ab} G^3) \f$, and 0 where G is (Chattopadhyay et al. 2018, equation 19); a denominator that
/// is exactly 0 counts as 1, as in the authors' code. The paper's score
/// is \f$ e^s \f$, which multiplies a sample's map by one number; it is left out, as in pytorch-grad-cam. The
/// formula is meant for activations that are not negative: name the layer after a rectifier.
struct PlusPlus {
  static constexpr bool needs_gradient = true;  ///< a backward pass is done for it
  /// Added to the denominator. The paper has none. pytorch-grad-cam has 1e-6, which is not small against the
  /// squares of gradients: it makes the map depend on their scale (on ResNet-18's layer1 by 8%, and where
  /// gradients are below 1e-3 the weights become their cubes).
  double epsilon = 0.0;

  /// The signed map (N,1,h,w), of activations and gradients (N,C,h,w).
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    // Both sides of the fraction are divided by G^2, which may be too small for a float.
    at::Tensor denominator = a.sum({2, 3}, true).mul(g).add(2.0);
    if (epsilon > 0.0) denominator = denominator.add(g.mul(g).reciprocal().mul(epsilon));
    const at::Tensor alpha =
        denominator.reciprocal().where(denominator.ne(0.0), g.mul(g)).masked_fill(g.eq(0.0), 0.0);
    return alpha.mul(g.clamp_min(0.0)).sum({2, 3}, true).mul(a).sum({1}, true);
  }
};

/// HiResCAM: \f$ \sum_k G^k \odot A^k \f$ (Draelos and Carin 2020).
struct Elementwise {
  static constexpr bool needs_gradient = true;  ///< a backward pass is done for it
  /// The signed map (N,1,h,w), of activations and gradients (N,C,h,w).
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const { return g.mul(a).sum({1}, true); }
};

/// XGrad-CAM: \f$ w_k = \sum_{ij} G^k_{ij} A^k_{ij} / (\sum_{ab} A^k_{ab} + \epsilon) \f$ (Fu et al. 2020),
/// with pytorch-grad-cam's guard against a channel that is zero everywhere, \f$ \epsilon = 10^{-7} \f$.
struct NormalisedActivation {
  static constexpr bool needs_gradient = true;  ///< a backward pass is done for it
  /// The signed map (N,1,h,w), of activations and gradients (N,C,h,w).
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    const at::Tensor sums = a.sum({2, 3}, true).add(1e-7);
    return g.mul(a).div(sums).sum({2, 3}, true).mul(a).sum({1}, true);
  }
};

/// LayerCAM: \f$ \sum_k \max(G^k, 0) \odot A^k \f$ (Jiang et al. 2021).
struct PositiveGradient {
  static constexpr bool needs_gradient = true;  ///< a backward pass is done for it
  /// The signed map (N,1,h,w), of activations and gradients (N,C,h,w).
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    return g.clamp_min(0.0).mul(a).sum({1}, true);
  }
};

/// Eigen-CAM: the projection of the places' activation vectors on their first principal direction (Muhammad
/// and Yeasin 2020). It knows no class. A principal direction has no sign: ours is such that the map's
/// largest absolute value is positive.
struct FirstComponent {
  static constexpr bool needs_gradient = false;  ///< the forward pass is enough
  /// Whether each channel's mean is taken off first, as pytorch-grad-cam does. The paper does not say so;
  /// without it the map of a layer of no negative values has none either.
  bool centred = true;

  /// The signed map (N,1,h,w), of activations (N,C,h,w). Throws ModelError if they hold NaN or infinity.
  at::Tensor operator()(const at::Tensor& a, const at::Tensor&) const {
    at::Tensor places = a.flatten(2).transpose(1, 2);  // (N, hw, C)
    if (centred) places = places.sub(places.mean({1}, true));
    const auto [u, s, v] =
        detail::principal(a, [&] { return at::_ops::linalg_svd::call(places, /*full_matrices=*/false, {}); });
    return detail::largest_upwards(u.select(2, 0).mul(s.select(1, 0).unsqueeze(1)), a);
  }
};

/// Eigen-CAM of activations times gradients, so that it knows the class: \f$ A \odot G \f$ projected on its
/// first principal direction (pytorch-grad-cam's EigenGradCAM; there is no paper). Centred and signed as
/// FirstComponent.
struct FirstGradientComponent {
  static constexpr bool needs_gradient = true;  ///< a backward pass is done for it
  /// The signed map (N,1,h,w), of activations and gradients (N,C,h,w). Throws ModelError if they hold NaN or
  /// infinity.
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& g) const {
    return FirstComponent{}(a.mul(g), {});
  }
};

/// KPCA-CAM: the first component of kernel PCA of the places' activation vectors, centred before (Karmani,
/// Sivakaran, Prasad, Ali, Yang, Tang: "KPCA-CAM: Visual Explainability of Deep Computer Vision Models using
/// Kernel PCA", 2024), with the sigmoid kernel, \f$ \tanh(\gamma \, x^T y + 1) \f$. It knows no class; its
/// sign is as FirstComponent's. Takes memory as the number of places squared and time as its cube: name a
/// layer of at most some 30 x 30.
struct FirstKernelComponent {
  static constexpr bool needs_gradient = false;  ///< the forward pass is enough
  double gamma = 0.0;                            ///< above 0; 0: 1 / C, as scikit-learn's

  /// The signed map (N,1,h,w), of activations (N,C,h,w). Throws ModelError if they hold NaN or infinity.
  at::Tensor operator()(const at::Tensor& a, const at::Tensor&) const {
    if (!(gamma >= 0.0)) throw ArgumentError::out_of_range("gamma", gamma, "at least 0");
    const at::Tensor rows = a.flatten(2).transpose(1, 2), places = rows.sub(rows.mean({1}, true));
    const double scale = gamma > 0.0 ? gamma : 1.0 / static_cast<double>(a.size(1));
    const at::Tensor kernel = places.matmul(places.transpose(1, 2)).mul_(scale).add_(1.0).tanh_();
    const at::Tensor means = kernel.mean({1}, true);
    const at::Tensor centred = kernel.sub(means).sub_(means.transpose(1, 2)).add_(kernel.mean({1, 2}, true));
    const auto [values, vectors] =
        detail::principal(a, [&] { return at::_ops::linalg_eigh::call(centred, "L"); });
    const at::Tensor largest = values.select(1, -1).clamp_min(0.0).sqrt();
    return detail::largest_upwards(vectors.select(2, -1).mul(largest.unsqueeze(1)), a);
  }
};

}  // namespace salience
