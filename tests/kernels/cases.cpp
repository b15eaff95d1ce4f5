#include "cases.hpp"

#include <ATen/ATen.h>
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <random>
#include <tuple>
#include <utility>

namespace kernels {

std::vector<double> exact_values(std::int64_t count, int salt) {
  static std::map<int, std::vector<double>> drawn_for;
  std::vector<double>& drawn = drawn_for[salt];
  if (drawn.empty()) {
    for (int exponent = -3; exponent < 2; ++exponent) {
      for (int i = 0; i < 128; ++i) {
        drawn.push_back(std::ldexp(1.0 + i / 128.0, exponent));
        drawn.push_back(-drawn.back());
      }
    }
    std::mt19937 random(static_cast<unsigned>(salt));
    for (std::size_t i = drawn.size(); i-- > 1;) std::swap(drawn[i], drawn[random() % (i + 1)]);
  }
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = drawn[i % drawn.size()];
  return values;
}

namespace {

using T = at::Tensor;
using Sizes = std::vector<std::int64_t>;

constexpr auto channels_last = at::MemoryFormat::ChannelsLast;

/// A constant of an operator: the same values for every type, contiguous. They are small enough for sums.
T weight(const T& x, const Sizes& sizes, int salt = 3) {
  static std::map<std::tuple<at::ScalarType, Sizes, int>, T> made;
  T& found = made[{x.scalar_type(), sizes, salt}];
  if (!found.defined()) {
    std::int64_t count = 1;
    for (const std::int64_t size : sizes) count *= size;
    std::vector<double> drawn = exact_values(count, salt);
    found = at::tensor(drawn, at::kDouble).mul(0.25).reshape(sizes).to(x.scalar_type());
  }
  return found;
}

T positive(const T& x, const Sizes& sizes, int salt = 4) { return weight(x, sizes, salt).abs().add(0.5); }

T indices(const Sizes& sizes, std::int64_t end) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return at::arange(count, at::kLong).mul(7).add(3).remainder(end).reshape(sizes);
}

std::int64_t channels(const T& x) { return x.size(1); }

/// Four groups, where the channels allow it.
std::int64_t groups_of(const T& x) { return channels(x) % 4 == 0 ? 4 : 1; }

/// (1, C, 1, ...), to broadcast over x.
Sizes per_channel(const T& x) {
  Sizes sizes(static_cast<std::size_t>(x.dim()), 1);
  sizes[1] = channels(x);
  return sizes;
}

/// The dimensions of the positions.
Sizes spatial(const T& x) {
  Sizes dimensions;
  for (std::int64_t d = 2; d < x.dim(); ++d) dimensions.push_back(d);
  return dimensions;
}

// ---- convolutions ----------------------------------------------------------------------------------------

struct Convolution {
  Sizes kernel;
  Sizes stride = {1};
  Sizes padding = {0};
  Sizes dilation = {1};
  std::int64_t groups = 1;    ///< 0: as many as channels
  std::int64_t multiple = 1;  ///< of the groups, for depthwise ones
  bool transposed = false;
  Sizes output_padding = {0};
  bool bias = true;
  bool channels_last = false;  ///< the weight
};

T convolve(const T& x, const Convolution& options) {
  const auto rank = static_cast<std::size_t>(x.dim() - 2);
  const auto each = [rank](const Sizes& given) {
    return given.size() == rank ? given : Sizes(rank, given[0]);
  };
  const std::int64_t groups = options.groups == 0 ? channels(x) : options.groups > 1 ? groups_of(x) : 1;
  const std::int64_t outputs = options.groups == 0 ? groups * options.multiple : 8;
  Sizes sizes =
      options.transposed ? Sizes{channels(x), outputs / groups} : Sizes{outputs, channels(x) / groups};
  for (const std::int64_t extent : each(options.kernel)) sizes.push_back(extent);
  T kernel = weight(x, sizes);
  if (options.channels_last) {
    kernel = kernel.contiguous(rank == 2 ? channels_last : at::MemoryFormat::ChannelsLast3d);
  }
  return at::convolution(x, kernel, options.bias ? weight(x, {outputs}, 5) : T(), each(options.stride),
                         each(options.padding), each(options.dilation), options.transposed,
                         each(options.output_padding), groups);
}

#define CASE(name, rank, expression) list.push_back({name, rank, [](const T& x) -> T { return expression; }})

/// That writes into its input.
#define WRITES(name, expression) list.push_back({name, 4, [](const T& x) -> T { return expression; }, true})

/// For several ranks.
#define CASES(name, ranks, expression)                              \
  for (const std::int64_t rank : std::vector<std::int64_t> ranks) { \
    CASE(name, rank, expression);                                   \
  }

void add_convolutions(std::vector<Case>& list) {
  CASES("conv 1", ({3, 4, 5}), convolve(x, {.kernel = {1}}));
  CASES("conv 1 without bias", ({3, 4}), convolve(x, {.kernel = {1}, .bias = false}));
  CASES("conv 1, stride 2", ({3, 4, 5}), convolve(x, {.kernel = {1}, .stride = {2}}));
  CASES("conv 3", ({3, 4, 5}), convolve(x, {.kernel = {3}, .padding = {1}}));
  CASES("conv 3 without bias", ({4}), convolve(x, {.kernel = {3}, .padding = {1}, .bias = false}));
  CASES("conv 3, stride 2", ({3, 4, 5}), convolve(x, {.kernel = {3}, .stride = {2}, .padding = {1}}));
  CASES("conv 3, unpadded", ({3, 4}), convolve(x, {.kernel = {3}}));
  CASES("conv 3, dilated", ({3, 4, 5}), convolve(x, {.kernel = {3}, .padding = {2}, .dilation = {2}}));
  CASES("conv 3, grouped", ({3, 4, 5}), convolve(x, {.kernel = {3}, .padding = {1}, .groups = 4}));
  CASES("conv 1, grouped", ({3, 4}), convolve(x, {.kernel = {1}, .groups = 4}));
  CASES("conv 3, depthwise", ({3, 4, 5}), convolve(x, {.kernel = {3}, .padding = {1}, .groups = 0}));
  CASES("conv 3, depthwise, stride 2", ({3, 4, 5}),
        convolve(x, {.kernel = {3}, .stride = {2}, .padding = {1}, .groups = 0}));
  CASES("conv 3, depthwise, dilated", ({4}),
        convolve(x, {.kernel = {3}, .padding = {2}, .dilation = {2}, .groups = 0}));
  CASES("conv 7, depthwise", ({4}), convolve(x, {.kernel = {7}, .padding = {3}, .groups = 0}));
  CASES("conv 3, depthwise, two each", ({4}),
        convolve(x, {.kernel = {3}, .padding = {1}, .groups = 0, .multiple = 2}));
  CASES("conv 5", ({4}), convolve(x, {.kernel = {5}, .padding = {2}}));
  CASES("conv 7, stride 2", ({4}), convolve(x, {.kernel = {7}, .stride = {2}, .padding = {3}}));
  CASES("conv 1x7", ({4}), convolve(x, {.kernel = {1, 7}, .padding = {0, 3}}));
  CASES("conv 7x1", ({4}), convolve(x, {.kernel = {7, 1}, .padding = {3, 0}}));
  CASES("conv 3, stride 2x1", ({4}), convolve(x, {.kernel = {3}, .stride = {2, 1}, .padding = {1}}));
  CASES("conv 2, stride 2", ({4}), convolve(x, {.kernel = {2}, .stride = {2}}));
  CASES("conv 3x1x1", ({5}), convolve(x, {.kernel = {3, 1, 1}, .padding = {1, 0, 0}}));
  CASES("conv 1x3x3", ({5}), convolve(x, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}));
  CASES("conv 1, channels-last weight", ({4, 5}), convolve(x, {.kernel = {1}, .channels_last = true}));
  CASES("conv 3, channels-last weight", ({4, 5}),
        convolve(x, {.kernel = {3}, .padding = {1}, .channels_last = true}));
  CASES("conv 3, depthwise, channels-last weight", ({4}),
        convolve(x, {.kernel = {3}, .padding = {1}, .groups = 0, .channels_last = true}));
  CASES("conv transposed 2, stride 2", ({3, 4, 5}),
        convolve(x, {.kernel = {2}, .stride = {2}, .transposed = true}));
  CASES(
      "conv transposed 3, stride 2", ({3, 4, 5}),
      convolve(x, {.kernel = {3}, .stride = {2}, .padding = {1}, .transposed = true, .output_padding = {1}}));
  CASES("conv transposed 4, stride 2", ({4}),
        convolve(x, {.kernel = {4}, .stride = {2}, .padding = {1}, .transposed = true}));
  CASES("conv transposed 3, dilated", ({4}),
        convolve(x, {.kernel = {3}, .padding = {1}, .dilation = {2}, .transposed = true}));
  CASES("conv transposed 3, grouped", ({4}),
        convolve(x, {.kernel = {3}, .padding = {1}, .groups = 4, .transposed = true}));
  CASES("conv transposed 3, depthwise", ({4}),
        convolve(x, {.kernel = {3}, .padding = {1}, .groups = 0, .transposed = true}));
  CASES("conv transposed 3, channels-last weight", ({4}),
        convolve(x, {.kernel = {3}, .padding = {1}, .transposed = true, .channels_last = true}));
}

// ---- norms -----------------------------------------------------------------------------------------------

struct Norm {
  bool training = false, affine = true, statistics = true;
};

T batch_norm(const T& x, Norm options) {
  const std::int64_t c = channels(x);
  // A copy: training writes into them.
  const T mean = options.statistics ? weight(x, {c}, 6).clone() : T();
  const T variance = options.statistics ? positive(x, {c}).clone() : T();
  return at::batch_norm(x, options.affine ? weight(x, {c}, 7) : T(), options.affine ? weight(x, {c}, 8) : T(),
                        mean, variance, options.training, 0.1, 1e-2, true);
}

T instance_norm(const T& x, Norm options) {
  const std::int64_t c = channels(x);
  const T mean = options.statistics ? weight(x, {c}, 6).clone() : T();
  const T variance = options.statistics ? positive(x, {c}).clone() : T();
  return at::instance_norm(x, options.affine ? weight(x, {c}, 7) : T(),
                           options.affine ? weight(x, {c}, 8) : T(), mean, variance, options.training, 0.1,
                           1e-2, true);
}

T group_norm(const T& x, std::int64_t groups, bool affine) {
  const std::int64_t c = channels(x);
  return at::group_norm(x, groups, affine ? weight(x, {c}, 7) : T(), affine ? weight(x, {c}, 8) : T(), 1e-2);
}

/// Over the dimensions from `first`.
T layer_norm(const T& x, std::int64_t first, bool affine = true) {
  const Sizes sizes = x.sizes().slice(static_cast<std::size_t>(first)).vec();
  return at::layer_norm(x, sizes, affine ? weight(x, sizes, 7) : T(), affine ? weight(x, sizes, 8) : T(),
                        1e-2);
}

void add_norms(std::vector<Case>& list) {
  CASES("batch_norm eval", ({2, 3, 4, 5}), batch_norm(x, {}));
  CASES("batch_norm eval, not affine", ({2, 3, 4, 5}), batch_norm(x, {.affine = false}));
  CASES("batch_norm training", ({2, 3, 4, 5}), batch_norm(x, {.training = true}));
  CASES("batch_norm training, not affine", ({2, 3, 4, 5}),
        batch_norm(x, {.training = true, .affine = false}));
  CASES("batch_norm training, no statistics", ({2, 3, 4, 5}),
        batch_norm(x, {.training = true, .statistics = false}));
  CASES("instance_norm", ({3, 4, 5}), instance_norm(x, {.training = true, .statistics = false}));
  CASES("instance_norm, not affine", ({3, 4, 5}),
        instance_norm(x, {.training = true, .affine = false, .statistics = false}));
  CASES("instance_norm training, statistics", ({3, 4, 5}), instance_norm(x, {.training = true}));
  CASES("instance_norm eval, statistics", ({3, 4, 5}), instance_norm(x, {}));
  CASES("group_norm 1", ({3, 4, 5}), group_norm(x, 1, true));
  CASES("group_norm 1, not affine", ({4}), group_norm(x, 1, false));
  CASES("group_norm 4", ({2, 3, 4, 5}), group_norm(x, groups_of(x), true));
  CASES("group_norm of each channel", ({3, 4, 5}), group_norm(x, channels(x), true));
  CASES("layer_norm of the last", ({2, 3, 4}), layer_norm(x, x.dim() - 1));
  CASES("layer_norm of the last, not affine", ({2, 3, 4}), layer_norm(x, x.dim() - 1, false));
  CASES("layer_norm of a sample", ({3, 4}), layer_norm(x, 1));
  CASE("layer_norm of channels, by permute", 4, layer_norm(x.permute({0, 2, 3, 1}), 3).permute({0, 3, 1, 2}));
  CASE("layer_norm of tokens", 4, layer_norm(x.flatten(2).transpose(1, 2), 2));
  CASE("layer_norm of channels, by hand", 4,
       (x - x.mean({1}, true)) / (x - x.mean({1}, true)).square().mean({1}, true).add(1e-2).sqrt());
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 5
  CASES("rms_norm", ({2, 3, 4}),
        at::rms_norm(x, x.sizes().slice(static_cast<std::size_t>(x.dim() - 1)).vec(), {}, 1e-2));
#endif
  CASE("rms_norm by hand", 3, x * at::rsqrt(x.square().mean({-1}, true) + 1e-2));
  CASE("local response norm", 4,
       x / at::avg_pool3d(at::pad(x.square().unsqueeze(1), {0, 0, 0, 0, 1, 1}), {3, 1, 1}, {1})
               .squeeze(1)
               .add(1.0)
               .pow(0.75));
  CASE("global response norm", 4,
       x * (x.norm(2, Sizes{2, 3}, true) / x.norm(2, Sizes{2, 3}, true).mean({1}, true).add(1e-2)) + x);
  CASES("normalize", ({2, 3, 4}), x / x.norm(2, Sizes{1}, true).clamp_min(1e-6).expand_as(x));
}

// ---- activations -----------------------------------------------------------------------------------------

void add_activations(std::vector<Case>& list) {
  CASES("relu", ({2, 3, 4, 5}), at::relu(x));
  CASES("relu6", ({4, 5}), at::relu6(x));
  CASES("leaky_relu", ({2, 3, 4, 5}), at::leaky_relu(x, 0.1));
  CASES("elu", ({4}), at::elu(x));
  CASES("selu", ({4}), at::selu(x));
  CASES("celu", ({4}), at::celu(x, 0.7));
  CASES("gelu", ({2, 3, 4, 5}), at::gelu(x));
  CASES("gelu tanh", ({3, 4}), at::gelu(x, "tanh"));
  CASES("silu", ({2, 3, 4, 5}), at::silu(x));
  CASES("mish", ({4}), at::mish(x));
  CASES("hardswish", ({3, 4, 5}), at::hardswish(x));
  CASES("hardsigmoid", ({4}), at::hardsigmoid(x));
  CASES("hardtanh", ({4}), at::hardtanh(x, -1.01, 1.02));
  CASES("sigmoid", ({2, 4, 5}), at::sigmoid(x));
  CASES("tanh", ({4}), at::tanh(x));
  CASES("softplus", ({4}), at::softplus(x));
  CASES("softsign", ({4}), x / (x.abs() + 1));
  CASES("log_sigmoid", ({4}), at::log_sigmoid(x));
  CASES("tanhshrink", ({4}), x - x.tanh());
  CASES("hardshrink", ({4}), at::hardshrink(x, 0.501));
  CASES("softshrink", ({4}), at::softshrink(x, 0.501));
  CASES("threshold", ({4}), at::threshold(x, 0.3, -1.0));
  CASES("prelu of one", ({3, 4}), at::prelu(x, weight(x, {1})));
  CASES("prelu of channels", ({2, 3, 4, 5}), at::prelu(x, weight(x, {channels(x)})));
  CASES("rrelu eval", ({4}), at::rrelu(x, 0.1, 0.3, false));
  CASES("glu", ({3, 4}), at::glu(x, 1));
  CASES("glu of the last", ({2, 3, 4}), at::glu(x, -1));
  CASES("swiglu", ({2, 3}), at::silu(x.chunk(2, -1).front()) * x.chunk(2, -1).back());
  CASES("clamp", ({4}), at::clamp(x, -0.7, 1.3));
  CASES("clamp_min", ({4}), at::clamp_min(x, 0.3));
  CASES("clamp_max", ({4}), at::clamp_max(x, 0.3));
  CASES("abs", ({4}), x.abs());
  CASES("exp", ({4}), x.exp());
  CASES("log", ({4}), x.abs().log());
  CASES("log1p", ({4}), x.abs().log1p());
  CASES("sqrt", ({4}), x.abs().sqrt());
  CASES("rsqrt", ({4}), x.abs().rsqrt());
  CASES("pow 2", ({4}), x.pow(2));
  CASES("pow 3", ({4}), x.pow(3));
  CASES("pow 0.5", ({4}), x.abs().pow(0.5));
  CASES("square", ({4}), x.square());
  CASES("reciprocal", ({4}), x.reciprocal());
  CASES("neg", ({4}), x.neg());
  CASES("sin", ({4}), x.sin());
  CASES("cos", ({4}), x.cos());
  CASES("erf", ({4}), x.erf());
  CASES("atan", ({4}), x.atan());
  CASES("expm1", ({4}), x.expm1());
  CASES("logit", ({4}), at::logit(x.sigmoid(), 1e-6));
  CASES("x sigmoid(1.7 x)", ({4}), x * at::sigmoid(x * 1.702));

  WRITES("relu_", T(x).relu_());
  WRITES("relu6_", T(x).clamp_(0, 1.03));
  WRITES("leaky_relu_", at::leaky_relu_(const_cast<T&>(x), 0.1));
  WRITES("elu_", at::elu_(const_cast<T&>(x)));
  WRITES("selu_", at::selu_(const_cast<T&>(x)));
  WRITES("celu_", at::celu_(const_cast<T&>(x), 0.7));
  WRITES("silu_", at::silu_(const_cast<T&>(x)));
  WRITES("gelu_", at::gelu_(const_cast<T&>(x)));
  WRITES("mish_", at::mish_(const_cast<T&>(x)));
  WRITES("hardswish_", at::hardswish_(const_cast<T&>(x)));
  WRITES("hardsigmoid_", at::hardsigmoid_(const_cast<T&>(x)));
  WRITES("hardtanh_", at::hardtanh_(const_cast<T&>(x), -1.01, 1.02));
  WRITES("sigmoid_", T(x).sigmoid_());
  WRITES("tanh_", T(x).tanh_());
  WRITES("threshold_", at::threshold_(const_cast<T&>(x), 0.3, -1.0));
  WRITES("rrelu_ eval", at::rrelu_(const_cast<T&>(x), 0.1, 0.3, false));
  WRITES("exp_", T(x).exp_());
  WRITES("add_ of a scalar", T(x).add_(0.5));
  WRITES("mul_ of a scalar", T(x).mul_(0.5));
  WRITES("add_ of channels", T(x).add_(weight(x, per_channel(x))));
  WRITES("mul_ of channels", T(x).mul_(weight(x, per_channel(x))));
  WRITES("div_ of channels", T(x).div_(positive(x, per_channel(x))));
  WRITES("masked_fill_", T(x).masked_fill_(weight(x, per_channel(x)).gt(0), 0.5));
  WRITES("zero_ of the first channel", (x.select(1, 0).zero_(), x * 1));
  WRITES("copy_ into a part", (x.narrow(1, 0, 1).copy_(weight(x, {1})), x * 1));
}

// ---- pooling, resizing, padding ---------------------------------------------------------------------------

/// Half of the positions, at least one; or twice as many and one.
Sizes resized(const T& x, bool up) {
  Sizes sizes;
  for (const std::int64_t d : spatial(x)) sizes.push_back(up ? 2 * x.size(d) + 1 : (x.size(d) + 1) / 2);
  return sizes;
}

T max_pool(const T& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
           std::int64_t dilation = 1, bool ceil = false) {
  switch (x.dim()) {
    case 3:
      return at::max_pool1d(x, kernel, stride, padding, dilation, ceil);
    case 4:
      return at::max_pool2d(x, kernel, stride, padding, dilation, ceil);
    default:
      return at::max_pool3d(x, kernel, stride, padding, dilation, ceil);
  }
}

T max_pool_with_indices(const T& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  switch (x.dim()) {
    case 3:
      return std::get<0>(at::max_pool1d_with_indices(x, kernel, stride, padding));
    case 4:
      return std::get<0>(at::max_pool2d_with_indices(x, kernel, stride, padding));
    default:
      return std::get<0>(at::max_pool3d_with_indices(x, kernel, stride, padding));
  }
}

T avg_pool(const T& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding, bool ceil = false,
           bool with_padding = true) {
  switch (x.dim()) {
    case 3:
      return at::avg_pool1d(x, kernel, stride, padding, ceil, with_padding);
    case 4:
      return at::avg_pool2d(x, kernel, stride, padding, ceil, with_padding);
    default:
      return at::avg_pool3d(x, kernel, stride, padding, ceil, with_padding);
  }
}

T adaptive_avg(const T& x, const Sizes& sizes) {
  switch (x.dim()) {
    case 3:
      return at::adaptive_avg_pool1d(x, sizes);
    case 4:
      return at::adaptive_avg_pool2d(x, sizes);
    default:
      return at::adaptive_avg_pool3d(x, sizes);
  }
}

T adaptive_max(const T& x, const Sizes& sizes) {
  switch (x.dim()) {
    case 3:
      return std::get<0>(at::adaptive_max_pool1d(x, sizes));
    case 4:
      return std::get<0>(at::adaptive_max_pool2d(x, sizes));
    default:
      return std::get<0>(at::adaptive_max_pool3d(x, sizes));
  }
}

Sizes ones(const T& x) { return Sizes(spatial(x).size(), 1); }

T fractional_max_pool(const T& x) {
  const auto rank = static_cast<std::int64_t>(spatial(x).size());
  const T samples = weight(x, {x.size(0), channels(x), rank}, 9).abs();
  return rank == 2 ? std::get<0>(at::fractional_max_pool2d(x, {1, 1}, resized(x, false), samples))
                   : std::get<0>(at::fractional_max_pool3d(x, {1, 1, 1}, resized(x, false), samples));
}

T max_unpool(const T& x) {
  const auto [largest, where] = at::max_pool2d_with_indices(x, {2, 2}, {2, 2});
  return at::max_unpool2d(largest, where, {x.size(2), x.size(3)});
}

T nearest(const T& x, const Sizes& sizes) {
  switch (x.dim()) {
    case 3:
      return at::upsample_nearest1d(x, sizes);
    case 4:
      return at::upsample_nearest2d(x, sizes);
    default:
      return at::upsample_nearest3d(x, sizes);
  }
}

T nearest_exact(const T& x, const Sizes& sizes) {
  switch (x.dim()) {
    case 3:
      return at::_upsample_nearest_exact1d(x, sizes);
    case 4:
      return at::_upsample_nearest_exact2d(x, sizes);
    default:
      return at::_upsample_nearest_exact3d(x, sizes);
  }
}

T linear_resize(const T& x, const Sizes& sizes, bool align) {
  switch (x.dim()) {
    case 3:
      return at::upsample_linear1d(x, sizes, align);
    case 4:
      return at::upsample_bilinear2d(x, sizes, align);
    default:
      return at::upsample_trilinear3d(x, sizes, align);
  }
}

/// Every side of every position by 1 and 2, or by as much.
T padded(const T& x, const char* mode, std::int64_t before, std::int64_t after) {
  Sizes sides;
  for (std::size_t d = 0; d < spatial(x).size(); ++d) sides.insert(sides.end(), {before, after});
  return at::pad(x, sides, mode);
}

void add_windows(std::vector<Case>& list) {
  CASES("max_pool 3, stride 1", ({3, 4, 5}), max_pool(x, 3, 1, 1));
  CASES("max_pool 2, stride 2", ({3, 4, 5}), max_pool(x, 2, 2, 0));
  CASES("max_pool 3, stride 2", ({3, 4, 5}), max_pool(x, 3, 2, 1));
  CASES("max_pool 3, stride 2, ceil", ({4}), max_pool(x, 3, 2, 0, 1, true));
  CASES("max_pool 2, dilated", ({3, 4, 5}), max_pool(x, 3, 1, 1, 2));
  CASES("max_pool with indices 3, stride 2", ({3, 4, 5}), max_pool_with_indices(x, 3, 2, 1));
  CASES("max_pool with indices 3, stride 1", ({3, 4, 5}), max_pool_with_indices(x, 3, 1, 1));
  CASE("max_unpool", 4, max_unpool(x));
  CASES("avg_pool 2, stride 2", ({3, 4, 5}), avg_pool(x, 2, 2, 0));
  CASES("avg_pool 3, stride 1", ({3, 4, 5}), avg_pool(x, 3, 1, 1));
  CASES("avg_pool 3, stride 2, without padding", ({3, 4, 5}), avg_pool(x, 3, 2, 1, false, false));
  CASES("avg_pool 3, stride 2, ceil", ({4}), avg_pool(x, 3, 2, 1, true));
  CASE("avg_pool 2, divisor 3", 4, at::avg_pool2d(x, {2, 2}, {1, 1}, {1, 1}, false, true, 3));
  CASES("adaptive_avg_pool 1", ({3, 4, 5}), adaptive_avg(x, ones(x)));
  CASES("adaptive_avg_pool down", ({3, 4, 5}), adaptive_avg(x, resized(x, false)));
  CASES("adaptive_avg_pool up", ({3, 4, 5}), adaptive_avg(x, resized(x, true)));
  CASE("adaptive_avg_pool 7x7", 4, at::adaptive_avg_pool2d(x, Sizes{7, 7}));
  CASES("adaptive_max_pool 1", ({3, 4, 5}), adaptive_max(x, ones(x)));
  CASES("adaptive_max_pool down", ({3, 4, 5}), adaptive_max(x, resized(x, false)));
  CASES("adaptive_max_pool up", ({4}), adaptive_max(x, resized(x, true)));
  CASES("fractional_max_pool", ({4, 5}), fractional_max_pool(x));
  CASE("lp_pool 2", 4, at::avg_pool2d(x.pow(2), {2, 2}, {1, 1}, {1, 1}).mul(4).sqrt());
  CASE("lp_pool 3", 4, at::avg_pool2d(x.abs().pow(3), {2, 2}, {1, 1}, {1, 1}).mul(4).pow(1.0 / 3));
  CASE("generalised mean pooling", 4,
       at::adaptive_avg_pool2d(x.clamp_min(1e-2).pow(3), Sizes{1, 1}).pow(1.0 / 3));
  CASE("pyramid pooling", 4,
       at::cat({x, at::upsample_bilinear2d(at::adaptive_avg_pool2d(x, Sizes{2, 2}), {x.size(2), x.size(3)},
                                           false)},
               1));

  for (const bool up : {false, true}) {
    const auto add = [&](const char* name, const std::vector<std::int64_t>& ranks, T (*down)(const T&),
                         T (*grow)(const T&)) {
      for (const std::int64_t rank : ranks)
        list.push_back({std::string(name) + (up ? " up" : " down"), rank, up ? grow : down});
    };
#define RESIZE(name, ranks, expression)        \
  add(                                         \
      name, std::vector<std::int64_t> ranks,   \
      [](const T& x) -> T {                    \
        const Sizes sizes = resized(x, false); \
        return expression;                     \
      },                                       \
      [](const T& x) -> T {                    \
        const Sizes sizes = resized(x, true);  \
        return expression;                     \
      })
    RESIZE("nearest", ({3, 4, 5}), nearest(x, sizes));
    RESIZE("nearest exact", ({3, 4, 5}), nearest_exact(x, sizes));
    RESIZE("linear", ({3, 4, 5}), linear_resize(x, sizes, false));
    RESIZE("linear, corners aligned", ({3, 4, 5}), linear_resize(x, sizes, true));
    RESIZE("bicubic", ({4}), at::upsample_bicubic2d(x, sizes, false));
    RESIZE("bicubic, corners aligned", ({4}), at::upsample_bicubic2d(x, sizes, true));
    RESIZE("_upsample_bilinear2d_aa", ({4}), at::_upsample_bilinear2d_aa(x, sizes, false));
    RESIZE("_upsample_bilinear2d_aa, corners aligned", ({4}), at::_upsample_bilinear2d_aa(x, sizes, true));
    RESIZE("_upsample_bicubic2d_aa", ({4}), at::_upsample_bicubic2d_aa(x, sizes, false));
    RESIZE("_upsample_bicubic2d_aa, corners aligned", ({4}), at::_upsample_bicubic2d_aa(x, sizes, true));
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 13
    RESIZE("_upsample_lanczos2d_aa", ({4}), at::_upsample_lanczos2d_aa(x, sizes, false));
#endif
#undef RESIZE
  }
  CASES("nearest, same size", ({4}), nearest(x, {x.size(2), x.size(3)}));
  CASES("linear, same size", ({4}), linear_resize(x, {x.size(2), x.size(3)}, false));
  CASES("nearest, height alone", ({4}), nearest(x, {2 * x.size(2), x.size(3)}));
  CASES("linear, height alone", ({4}), linear_resize(x, {2 * x.size(2), x.size(3)}, false));
  CASES("nearest, width alone", ({4}), nearest(x, {x.size(2), 2 * x.size(3)}));
  CASES("linear, width alone", ({4}), linear_resize(x, {x.size(2), 2 * x.size(3)}, false));
  CASES("nearest to 1", ({4}), nearest(x, {1, 1}));
  CASES("linear to 1", ({4}), linear_resize(x, {1, 1}, false));
  CASE("nearest by a scale", 4,
       at::upsample_nearest2d(x, at::OptionalIntArrayRef(), std::vector<double>{2.0, 2.0}));
  CASE("linear by a scale", 4,
       at::upsample_bilinear2d(x, at::OptionalIntArrayRef(), false, std::vector<double>{1.5, 2.5}));

  CASES("pad constant", ({3, 4, 5}), padded(x, "constant", 1, 2));
  CASES("pad constant, cropping", ({3, 4, 5}), padded(x, "constant", -1, 1));
  CASES("pad reflect", ({3, 4, 5}), padded(x, "reflect", 1, 2));
  CASES("pad reflect by 1", ({4}), padded(x, "reflect", 1, 1));
  CASES("pad replicate", ({3, 4, 5}), padded(x, "replicate", 1, 2));
  CASES("pad circular", ({3, 4, 5}), padded(x, "circular", 1, 1));
  CASE("pad constant by 2.5", 4, at::constant_pad_nd(x, {1, 0, 2, 1}, 2.5));
  CASE("pad of channels", 4, at::constant_pad_nd(x, {0, 0, 0, 0, 1, 2}));
  CASE("pad replicate of width", 4, at::pad(x, {1, 1, 0, 0}, "replicate"));

  CASE("pixel_shuffle", 4, at::pixel_shuffle(x, 2));
  CASE("pixel_unshuffle", 4,
       at::pixel_unshuffle(at::constant_pad_nd(x, {0, x.size(3) % 2, 0, x.size(2) % 2}), 2));
  CASES("channel_shuffle", ({4}), at::channel_shuffle(x, groups_of(x)));
  CASE("channel shuffle by reshape", 4,
       x.reshape({x.size(0), groups_of(x), -1, x.size(2), x.size(3)}).transpose(1, 2).reshape(x.sizes()));
  CASE("im2col", 4, at::im2col(x, {3, 3}, {1, 1}, {1, 1}, {1, 1}));
  CASE("im2col, stride 2", 4, at::im2col(x, {2, 2}, {1, 1}, {1, 1}, {2, 2}));
  CASE("col2im", 3, at::col2im(x.repeat({1, 4, 1}), {x.size(2) + 1, 2}, {2, 2}, {1, 1}, {0, 0}, {1, 1}));
  CASE("unfold of windows", 4, at::constant_pad_nd(x, {1, 1, 1, 1}).unfold(2, 3, 1).unfold(3, 3, 1));
}

// ---- softmax, products, attention ------------------------------------------------------------------------

#if TORCH_VERSION_MAJOR >= 2
T attention(const T& q, const T& k, const T& v, const std::optional<T>& mask = std::nullopt,
            bool causal = false) {
  return at::scaled_dot_product_attention(q, k, v, mask, 0.0, causal);
}
#endif

T attention_by_hand(const T& q, const T& k, const T& v) {
  return at::softmax(at::matmul(q, k.transpose(-2, -1)) * 0.35, -1).matmul(v);
}

/// (N, L, C) through one product to the heads' q, k and v, (3, N, heads, L, 4).
T heads_of(const T& tokens) {
  const T qkv = at::linear(tokens, weight(tokens, {24, tokens.size(2)}));
  return qkv.reshape({tokens.size(0), tokens.size(1), 3, 2, 4}).permute({2, 0, 3, 1, 4});
}

void add_products(std::vector<Case>& list) {
  CASES("softmax of channels", ({2, 3, 4, 5}), at::softmax(x, 1));
  CASES("softmax of the last", ({3, 4}), at::softmax(x, -1));
  CASES("softmax of rows", ({4}), at::softmax(x, 2));
  CASES("softmax of the batch", ({3, 4}), at::softmax(x, 0));
  CASES("softmax of positions", ({4}), at::softmax(x.flatten(2), -1));
  CASES("log_softmax of channels", ({2, 3, 4, 5}), at::log_softmax(x, 1));
  CASES("log_softmax of the last", ({3, 4}), at::log_softmax(x, -1));
  CASES("log_softmax of rows", ({4}), at::log_softmax(x, 2));
  CASES("softmin", ({4}), at::softmax(-x, 1));

  CASES("linear", ({2, 3, 4}), at::linear(x, weight(x, {5, x.size(-1)}), weight(x, {5}, 5)));
  CASES("linear without bias", ({2, 3, 4}), at::linear(x, weight(x, {5, x.size(-1)})));
  CASE("flatten, linear", 4, at::linear(x.flatten(1), weight(x, {5, x[0].numel()}), weight(x, {5}, 5)));
  CASE("tokens, linear", 4,
       at::linear(x.flatten(2).transpose(1, 2), weight(x, {5, channels(x)}), weight(x, {5}, 5)));
  CASE("tokens by permute, linear, back", 4,
       at::linear(x.permute({0, 2, 3, 1}), weight(x, {5, channels(x)})).permute({0, 3, 1, 2}));
  CASE("mean, linear", 4, at::linear(x.mean(Sizes{2, 3}), weight(x, {5, channels(x)}), weight(x, {5}, 5)));
  CASES("matmul, weight right", ({2, 3, 4}), at::matmul(x, weight(x, {x.size(-1), 5})));
  CASES("matmul, weight left", ({2, 3, 4}), at::matmul(weight(x, {5, x.size(-2)}), x));
  CASES("matmul with itself", ({2, 3, 4}), at::matmul(x, x.transpose(-1, -2)));
  CASES("matmul transposed with itself", ({3, 4}), at::matmul(x.transpose(-1, -2), x));
  CASES("matmul with a vector", ({2, 3, 4}), at::matmul(x, weight(x, {x.size(-1)})));
  CASE("mm", 2, at::mm(x, weight(x, {x.size(1), 6})));
  CASE("addmm", 2, at::addmm(weight(x, {6}, 5), x, weight(x, {x.size(1), 6})));
  CASE("bmm", 3, at::bmm(x, weight(x, {x.size(0), x.size(2), 5})));
  CASE("bmm with itself", 3, at::bmm(x, x.transpose(1, 2)));
  CASE("baddbmm", 3, at::baddbmm(weight(x, {1, 1, 5}, 5), x, weight(x, {x.size(0), x.size(2), 5})));
  CASE("bilinear", 2, at::bilinear(x, x, weight(x, {4, x.size(1), x.size(1)}), weight(x, {4}, 5)));
  CASE("outer product", 2, x.unsqueeze(2) * x.unsqueeze(1));
  CASE("einsum nchw,oc->nohw", 4, at::einsum("nchw,oc->nohw", {x, weight(x, {5, channels(x)})}));
  CASE("einsum nchw,nchv->nhwv", 4, at::einsum("nchw,nchv->nhwv", {x, x}));
  CASE("einsum nchw,hk->nckw", 4, at::einsum("nchw,hk->nckw", {x, weight(x, {x.size(2), 5})}));
  CASE("einsum ncl,ndl->ncd", 3, at::einsum("ncl,ndl->ncd", {x, x}));
  CASE("einsum nlc,lm->nmc", 3, at::einsum("nlc,lm->nmc", {x, weight(x, {x.size(1), 5})}));
  CASE("einsum nc->n", 2, at::einsum("nc,c->n", {x, weight(x, {x.size(1)})}));

  CASES("attention by hand", ({3, 4}), attention_by_hand(x, x * 0.5, x));
  CASE("attention of heads, by hand", 3,
       attention_by_hand(heads_of(x)[0], heads_of(x)[1], heads_of(x)[2]).transpose(1, 2).flatten(2));
  CASE("attention of tokens, by hand", 4,
       attention_by_hand(x.flatten(2).transpose(1, 2), x.flatten(2).transpose(1, 2),
                         x.flatten(2).transpose(1, 2)));
  CASE("attention of channels, by hand", 4, attention_by_hand(x.flatten(2), x.flatten(2), x.flatten(2)));
  CASE("linear attention", 3,
       at::matmul(at::softmax(x, -1), at::matmul(at::softmax(x, 1).transpose(1, 2), x)));
#if TORCH_VERSION_MAJOR >= 2
  CASES("scaled_dot_product_attention", ({3, 4}), attention(x, x * 0.5, x));
  CASES("scaled_dot_product_attention, causal", ({4}), attention(x, x * 0.5, x, std::nullopt, true));
  CASES("scaled_dot_product_attention, mask", ({4}),
        attention(x, x * 0.5, x, weight(x, {1, 1, x.size(2), x.size(2)})));
  CASE("scaled_dot_product_attention of heads", 3,
       attention(heads_of(x)[0], heads_of(x)[1], heads_of(x)[2]).transpose(1, 2).flatten(2));
  CASE("scaled_dot_product_attention of tokens", 4,
       attention(x.flatten(2).transpose(1, 2).unsqueeze(1), x.flatten(2).transpose(1, 2).unsqueeze(1),
                 x.flatten(2).transpose(1, 2).unsqueeze(1)));
  CASE("scaled_dot_product_attention of transposed heads", 4,
       attention(x.transpose(1, 2), x.transpose(1, 2), x.transpose(1, 2)));
#endif
}

// ---- shapes ----------------------------------------------------------------------------------------------

/// (N, C, H, W) as windows of 2x2 positions, (windows, 4, C), padded to even sides, as Swin's.
T windows(const T& x) {
  const T even = at::constant_pad_nd(x, {0, x.size(3) % 2, 0, x.size(2) % 2}).permute({0, 2, 3, 1});
  return even.reshape({x.size(0), even.size(1) / 2, 2, even.size(2) / 2, 2, channels(x)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, 4, channels(x)});
}

T every_second(const T& x, std::int64_t row, std::int64_t column) {
  return x.slice(2, row, x.size(2), 2).slice(3, column, x.size(3), 2);
}

void add_shapes(std::vector<Case>& list) {
  CASES("cat of channels", ({2, 3, 4, 5}), at::cat({x, weight(x, x.sizes().vec()), x}, 1));
  CASES("cat of the last", ({3, 4}), at::cat({x, x * 2}, -1));
  CASES("cat of the batch", ({4}), at::cat({x, x * 2}, 0));
  CASE("cat of a class token", 3, at::cat({weight(x, {1, 1, x.size(2)}).expand({x.size(0), -1, -1}), x}, 1));
  CASES("stack", ({2, 4}), at::stack({x, x * 2}, 1));
  CASES("stack of the last", ({3, 4}), at::stack({x, x * 2}, -1));
  CASE("split", 4, at::cat({x.split(1 + channels(x) / 2, 1).back(), x.split(1 + channels(x) / 2, 1)[0]}, 1));
  CASE("chunk", 4, x.chunk(2, 1)[0] * 2 + x.chunk(2, 1).back().sum());
  CASE("chunk, the first alone", 4, x.chunk(2, 1)[0].clone());
  CASE("unbind", 4, at::stack(x.unbind(1), 2));
  CASES("roll", ({3, 4}), x.roll({1}, {-1}));
  CASE("roll of both", 4, x.roll({1, 2}, {2, 3}));
  CASES("flip", ({3, 4}), x.flip({-1}));
  CASE("flip of both", 4, x.flip({2, 3}));
  CASE("rot90", 4, at::rot90(x, 1, {2, 3}));
  CASE("permute 0231", 4, x.permute({0, 2, 3, 1}));
  CASE("permute 0312", 4, x.permute({0, 3, 1, 2}));
  CASE("permute 1023", 4, x.permute({1, 0, 2, 3}));
  CASE("permute 0231, contiguous", 4, x.permute({0, 2, 3, 1}).contiguous());
  CASES("transpose", ({2, 3, 4}), x.transpose(-1, -2));
  CASE("movedim", 4, x.movedim(1, -1));
  CASE("tokens", 4, x.flatten(2).transpose(1, 2));
  CASE("tokens, contiguous", 4, x.flatten(2).transpose(1, 2).contiguous());
  CASE("tokens and back", 4, x.flatten(2).transpose(1, 2).mul(2).transpose(1, 2).reshape(x.sizes()));
  CASES("flatten", ({3, 4, 5}), x.flatten(1));
  CASE("flatten of all", 4, x.flatten());
  CASE("reshape", 4, x.reshape({x.size(0), x.size(2), -1}));
  CASE("reshape over the batch", 4, x.reshape({-1, x.size(3)}));
  CASE("squeeze", 4, x.squeeze());
  CASES("unsqueeze", ({2, 3, 4}), x.unsqueeze(1));
  CASE("unflatten", 4, x.reshape({x.size(0), groups_of(x), -1, x.size(2), x.size(3)}));
  CASES("narrow", ({4}), x.narrow(1, channels(x) / 2, 1));
  CASE("select of the batch", 4, x.select(0, 0));
  CASES("select of the last", ({3, 4}), x.select(-1, 0));
  CASE("select of a class token", 3, x.select(1, 0));
  CASE("slice by steps", 4, every_second(x, 0, 0));
  CASE("focus", 4,
       at::cat({every_second(x.repeat({1, 1, 2, 2}), 0, 0), every_second(x.repeat({1, 1, 2, 2}), 1, 0),
                every_second(x.repeat({1, 1, 2, 2}), 0, 1), every_second(x.repeat({1, 1, 2, 2}), 1, 1)},
               1));
  CASE("windows", 4, windows(x));
  CASE("windows, linear", 4, at::linear(windows(x), weight(x, {5, channels(x)})));
  CASE("tensor unfold", 4, x.unfold(3, 1, 1));
  CASE("repeat", 4, x.repeat({1, 2, 1, 3}));
  CASE("repeat of the batch", 4, x.repeat({3, 1, 1, 1}));
  CASE("tile", 4, at::tile(x, {2, 1}));
  CASE("repeat_interleave", 4, x.repeat_interleave(2, 1));
  CASE("expand", 4, x.unsqueeze(2).expand({-1, -1, 3, -1, -1}));
  CASE("expand of a mean", 4, x.mean({2, 3}, true).expand_as(x));
  CASE("clone", 4, x.clone());
  CASE("clone, contiguous", 4, x.clone(at::MemoryFormat::Contiguous));
  CASE("contiguous", 4, x.contiguous());
  CASE("contiguous, channels-last", 4, x.contiguous(channels_last));
  CASE("contiguous, channels-last, relu", 4, at::relu(x.contiguous(channels_last)));
  CASE("contiguous, relu", 4, at::relu(x.contiguous()));
  CASE("contiguous, channels-last", 5, x.contiguous(at::MemoryFormat::ChannelsLast3d));
  CASE("to float64 and back", 4, x.to(at::kDouble).to(x.scalar_type()));
  CASE("to bfloat16 and back", 4, x.to(at::kBFloat16).to(x.scalar_type()));
  CASE("tril", 4, x.tril());
  CASE("triu", 4, x.triu());
  CASE("diagonal", 4, x.diagonal(0, 2, 3));
  CASE("trace of channels", 3, x.diagonal(0, 1, 2).sum({-1}));
  CASE("meshgrid of means", 4, x.mean({2}).unsqueeze(3) + x.mean({3}).unsqueeze(2));
}

// ---- reductions ------------------------------------------------------------------------------------------

void add_reductions(std::vector<Case>& list) {
  CASES("mean of all", ({4}), x.mean());
  CASES("sum of all", ({4}), x.sum());
  CASES("mean of positions", ({3, 4, 5}), x.mean(spatial(x)));
  CASES("mean of positions, kept", ({4, 5}), x.mean(spatial(x), true));
  CASES("mean of channels", ({2, 3, 4}), x.mean(Sizes{1}));
  CASES("mean of channels, kept", ({4}), x.mean(Sizes{1}, true));
  CASES("mean of the batch", ({4}), x.mean(Sizes{0}));
  CASES("mean of tokens", ({3}), x.mean(Sizes{1}));
  CASES("sum of positions", ({4}), x.sum(spatial(x)));
  CASES("sum of channels", ({2, 3, 4}), x.sum(Sizes{1}));
  CASES("amax of positions", ({3, 4}), x.amax(spatial(x)));
  CASES("amax of channels", ({3, 4}), x.amax(Sizes{1}, true));
  CASES("amin of positions", ({4}), x.amin(spatial(x)));
  CASES("max of all", ({4}), x.max());
  CASES("min of all", ({4}), x.min());
  CASES("max along channels", ({2, 3, 4}), std::get<0>(x.max(1)));
  CASES("max along the last", ({3, 4}), std::get<0>(x.max(-1)));
  CASES("min along rows", ({4}), std::get<0>(x.min(2)));
  CASES("median along channels", ({4}), std::get<0>(x.median(1)));
  CASES("kthvalue", ({4}), std::get<0>(x.kthvalue(1, 1)));
  CASES("topk", ({2, 4}), std::get<0>(x.topk(1, 1)));
  CASES("sort", ({3, 4}), std::get<0>(x.sort(1)));
  CASES("std of positions", ({3, 4}), x.std(spatial(x), false));
  CASES("std of channels, unbiased", ({4}), x.std(Sizes{1}, true, true));
  CASES("var of positions", ({4}), x.var(spatial(x), false));
  CASES("var of channels", ({4}), x.var(Sizes{1}, false, true));
  CASES("var of all", ({4}), x.var(false));
  CASES("var_mean", ({4}),
        (x - std::get<1>(at::var_mean(x, Sizes{1}, false, true))) *
            std::get<0>(at::var_mean(x, Sizes{1}, false, true)));
  CASES("norm of all", ({4}), x.norm());
  CASES("norm 1 of positions", ({4}), x.norm(1, spatial(x)));
  CASES("norm 2 of channels", ({2, 3, 4}), x.norm(2, Sizes{1}, true));
  CASES("norm 3 of channels", ({4}), x.norm(3, Sizes{1}));
  CASES("vector_norm inf", ({4}), at::linalg_vector_norm(x, INFINITY, Sizes{1}));
  CASES("vector_norm 2", ({4}), at::linalg_vector_norm(x, 2, Sizes{2, 3}));
  CASES("logsumexp of channels", ({2, 3, 4}), at::logsumexp(x, Sizes{1}));
  CASES("logsumexp of positions", ({4}), at::logsumexp(x, Sizes{2, 3}));
  CASES("prod", ({4}), x.prod(-1));
  CASES("nansum", ({4}), at::nansum(x, Sizes{1}));
  CASES("cumsum of channels", ({2, 3, 4}), x.cumsum(1));
  CASES("cumsum of the last", ({4}), x.cumsum(-1));
  CASES("cumprod", ({4}), x.cumprod(1));
  CASES("cummax", ({4}), std::get<0>(x.cummax(1)));
  CASES("logcumsumexp", ({4}), at::logcumsumexp(x, 1));
  CASES("gram", ({4}),
        at::matmul(x.flatten(2), x.flatten(2).transpose(1, 2)) / static_cast<double>(x.numel()));
}

// ---- element by element ----------------------------------------------------------------------------------

T gate(const T& x) { return at::sigmoid(x.mean(spatial(x), true)); }

void add_elementwise(std::vector<Case>& list) {
  CASES("add itself", ({4}), x + x);
  CASES("add channels", ({2, 3, 4, 5}), x + weight(x, per_channel(x)));
  CASES("add the same shape", ({2, 3, 4, 5}), x + weight(x, x.sizes().vec()));
  CASES("add the last", ({3, 4}), x + weight(x, {x.size(-1)}));
  CASES("add channels-last", ({4}), x + weight(x, x.sizes().vec()).contiguous(channels_last));
  CASES("add a mean of positions", ({4}), x + x.mean(spatial(x), true));
  CASES("add a mean of channels", ({4}), x + x.mean(Sizes{1}, true));
  CASES("add with alpha", ({4}), at::add(x, weight(x, x.sizes().vec()), 0.5));
  CASES("add of a scalar", ({4}), x + 0.5);
  CASES("add to a smaller one", ({4}), x.mean() + weight(x, x.sizes().vec()));
  CASES("sub", ({4}), weight(x, per_channel(x)) - x);
  CASES("rsub", ({4}), at::rsub(x, 1.0));
  CASES("mul channels", ({2, 3, 4, 5}), x * weight(x, per_channel(x)));
  CASES("mul the same shape", ({4}), x * weight(x, x.sizes().vec()));
  CASES("mul itself", ({4}), x * x);
  CASES("mul its mirror", ({4}), x * x.flip({3}));
  CASES("mul transposed", ({4}), x.unsqueeze(4) * x.unsqueeze(3));
  CASES("squeeze and excitation", ({4, 5}), x * gate(x));
  CASES("spatial attention", ({4}),
        x * at::sigmoid(at::cat({x.mean(Sizes{1}, true), x.amax(Sizes{1}, true)}, 1).sum(Sizes{1}, true)));
  CASES("layer scale and residual", ({3, 4}), x + x.tanh() * weight(x, {x.size(-1)}));
  CASES("div channels", ({4}), x / positive(x, per_channel(x)));
  CASES("div by itself", ({4}), weight(x, per_channel(x)) / (x.abs() + 1));
  CASES("pow of a tensor", ({4}), x.abs().pow(positive(x, per_channel(x))));
  CASES("maximum", ({4}), at::maximum(x, weight(x, per_channel(x), 11) * 1.001));
  CASES("minimum", ({4}), at::minimum(x, weight(x, per_channel(x), 11) * 1.001));
  CASES("atan2", ({4}), at::atan2(x, positive(x, per_channel(x))));
  CASES("hypot", ({4}), at::hypot(x, positive(x, per_channel(x))));
  CASES("fmod", ({4}), at::fmod(x, 0.7001));
  CASES("copysign", ({4}), at::copysign(x, weight(x, per_channel(x))));
  CASES("xlogy", ({4}), at::xlogy(x, positive(x, per_channel(x))));
  CASES("where", ({4}), at::where(weight(x, per_channel(x)).gt(0), x, x * 2));
  CASES("where, same shape", ({4}), at::where(weight(x, x.sizes().vec()).gt(0), x, weight(x, {1}, 12)));
  CASES("where by itself", ({4}), at::where(x.gt(0), x, x * 0.1));
  CASES("masked_fill", ({3, 4}), x.masked_fill(weight(x, x.sizes().vec()).gt(0), 0.5));
  CASES("lerp", ({4}), at::lerp(x, weight(x, x.sizes().vec()), 0.3));
  CASES("lerp of a tensor", ({4}), at::lerp(weight(x, x.sizes().vec()), x, positive(x, per_channel(x))));
  CASES("addcmul", ({4}), at::addcmul(x, x, weight(x, per_channel(x)), 0.5));
  CASES("addcdiv", ({4}), at::addcdiv(x, x, positive(x, per_channel(x)), 0.5));
  CASES("clamp by tensors", ({4}),
        at::clamp(x, -positive(x, per_channel(x)) * 1.001, positive(x, per_channel(x)) * 1.001));
  CASES("dropout eval", ({3, 4}), at::dropout(x, 0.5, false));
  CASES("feature_dropout eval", ({4}), at::feature_dropout(x, 0.5, false));
  CASES("alpha_dropout eval", ({4}), at::alpha_dropout(x, 0.5, false));
  CASES("native_dropout eval", ({4}), std::get<0>(at::native_dropout(x, 0.5, false)));
  CASES("cosine_similarity", ({3, 4}), at::cosine_similarity(x, weight(x, x.sizes().vec()), 1));
  CASE("pairwise_distance", 2, at::pairwise_distance(x, weight(x, x.sizes().vec())));
  CASE("cdist", 3, at::cdist(x, weight(x, {x.size(0), 3, x.size(2)})));
  CASES("smooth_l1", ({4}), at::smooth_l1_loss(x, weight(x, x.sizes().vec()), at::Reduction::None));
  CASES("huber", ({4}), at::huber_loss(x, weight(x, x.sizes().vec()), at::Reduction::None, 0.7));
  CASES("mse", ({4}), at::mse_loss(x, weight(x, x.sizes().vec()), at::Reduction::None));
  CASES("mse of all", ({4}), at::mse_loss(x, weight(x, x.sizes().vec())));
  CASES("binary cross entropy", ({4}),
        at::binary_cross_entropy_with_logits(x, weight(x, x.sizes().vec()).gt(0).to(x.scalar_type()), {}, {},
                                             at::Reduction::None));
  CASE("cross_entropy", 2,
       at::cross_entropy_loss(x, indices({x.size(0)}, x.size(1)), {}, at::Reduction::None));
  CASE("cross_entropy of pixels", 4,
       at::cross_entropy_loss(x, indices({x.size(0), x.size(2), x.size(3)}, channels(x)), {},
                              at::Reduction::None));
  CASE("nll_loss of pixels", 4,
       at::nll_loss_nd(x, indices({x.size(0), x.size(2), x.size(3)}, channels(x)), {}, at::Reduction::Mean));
}

// ---- sampling and gathering ------------------------------------------------------------------------------

/// Positions in and beside the picture, no two alike.
T grid(const T& x) {
  Sizes sizes{x.size(0), 3, 4, 2};
  if (x.dim() == 5) sizes = {x.size(0), 2, 3, 4, 3};
  return weight(x, sizes, 13) * 1.3;
}

T sample(const T& x, std::int64_t interpolation, std::int64_t padding, bool align) {
  return at::grid_sampler(x, grid(x), interpolation, padding, align);
}

void add_gathering(std::vector<Case>& list) {
  CASES("grid_sample bilinear, zeros", ({4, 5}), sample(x, 0, 0, false));
  CASES("grid_sample bilinear, border", ({4, 5}), sample(x, 0, 1, false));
  CASES("grid_sample bilinear, reflection", ({4, 5}), sample(x, 0, 2, false));
  CASES("grid_sample bilinear, corners aligned", ({4, 5}), sample(x, 0, 0, true));
  CASES("grid_sample nearest", ({4, 5}), sample(x, 1, 0, false));
  CASES("grid_sample nearest, border", ({4}), sample(x, 1, 1, true));
  CASES("grid_sample bicubic", ({4}), sample(x, 2, 0, false));
  CASES("grid_sample bicubic, reflection", ({4}), sample(x, 2, 2, true));
  CASE("grid_sample at its own positions", 4,
       at::grid_sampler(weight(x, {x.size(0), 3, 5, 6}),
                        x.narrow(1, 0, 2).permute({0, 2, 3, 1}).mul(0.3).tanh(), 0, 1, false));
  CASE("grid_sample, bicubic, at its own positions", 4,
       at::grid_sampler(weight(x, {x.size(0), 3, 5, 6}),
                        x.narrow(1, 0, 2).permute({0, 2, 3, 1}).mul(0.3).tanh(), 2, 1, false));
  CASE("affine_grid", 3,
       at::affine_grid_generator(x.reshape({x.size(0), -1}).narrow(1, 0, 6).reshape({x.size(0), 2, 3}),
                                 {x.size(0), 3, 4, 5}, false));
  CASE("spatial transformer", 4,
       at::grid_sampler(x,
                        at::affine_grid_generator(
                            x.mean({2, 3}).repeat({1, 6}).narrow(1, 0, 6).mul(0.2).reshape({x.size(0), 2, 3}),
                            {x.size(0), channels(x), 3, 4}, false),
                        0, 0, false));

  CASES("index_select of channels", ({2, 3, 4}), x.index_select(1, indices({5}, channels(x))));
  CASES("index_select of the last", ({4}), x.index_select(-1, indices({5}, x.size(-1))));
  CASES("gather of channels", ({2, 3, 4}), x.gather(1, indices(x.sizes().vec(), channels(x))));
  CASE("gather of tokens", 3,
       x.gather(1, indices({x.size(0), 2}, x.size(1)).unsqueeze(2).expand({-1, -1, x.size(2)})));
  CASES("take_along_dim", ({4}), at::take_along_dim(x, indices(x.sizes().vec(), x.size(-1)), -1));
  CASES("take_along_dim of a sort", ({3}), at::take_along_dim(x, std::get<1>(x.sort(1)), 1));
  CASES("index by a tensor", ({3, 4}), x.index({at::indexing::Slice(), indices({5}, channels(x))}));
  CASES("index by two tensors", ({4}),
        x.index({at::indexing::Slice(), at::indexing::Slice(), indices({5}, x.size(2)),
                 indices({5}, x.size(3))}));
  CASES("index by a mask", ({4}), x.index({weight(x, x.sizes().vec()).gt(0)}));
  CASES("masked_select", ({4}), x.masked_select(weight(x, x.sizes().vec()).gt(0)));
  CASES("take", ({4}), x.take(indices({7}, x.numel())));
  CASES("index_add", ({4}), weight(x, x.sizes().vec()).index_add(1, indices({channels(x)}, channels(x)), x));
  CASES("index_copy", ({3}),
        weight(x, x.sizes().vec()).index_copy(1, at::arange(channels(x), at::kLong).flip({0}), x));
  CASES("index_put", ({4}), weight(x, x.sizes().vec()).index_put({at::arange(x.size(0), at::kLong)}, x));
  CASES("index_fill", ({4}), x.index_fill(1, indices({2}, channels(x)), 0.5));
  CASES(
      "scatter", ({4}),
      weight(x, x.sizes().vec())
          .scatter(1, at::arange(channels(x), at::kLong).flip({0}).reshape(per_channel(x)).expand(x.sizes()),
                   x));
  CASES("scatter_add", ({4}),
        at::scatter_add(weight(x, x.sizes().vec()), 1, indices(x.sizes().vec(), channels(x)), x));
  CASES("masked_scatter", ({4}),
        weight(x, x.sizes().vec(), 14).masked_scatter(weight(x, x.sizes().vec()).gt(0), x));
  CASE("embedding", 2, at::embedding(x, indices({2, 5}, x.size(0))));
  CASE("embedding_bag", 2,
       std::get<0>(at::embedding_bag(x, indices({6}, x.size(0)), indices({3}, 1).cumsum(0))));
  CASE("relative position bias", 2,
       x.index({indices({9}, x.size(0))}).reshape({3, 3, -1}).permute({2, 0, 1}).unsqueeze(0));
  CASE("fft2 and back", 4,
       at::fft_irfft2(at::fft_rfft2(x) * weight(x, {1, 1, x.size(2), x.size(3) / 2 + 1}),
                      at::IntArrayRef{x.size(2), x.size(3)}));
  CASE("power spectrum", 4, at::fft_fft2(x).abs().square());
}

}  // namespace

std::vector<Case> cases() {
  std::vector<Case> list;
  add_convolutions(list);
  add_norms(list);
  add_activations(list);
  add_windows(list);
  add_products(list);
  add_shapes(list);
  add_reductions(list);
  add_elementwise(list);
  add_gathering(list);
  return list;
}

}  // namespace kernels
