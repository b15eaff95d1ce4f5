// Are the ways around slow kernels of LibTorch (graph/kernels.hpp, graph/in_place.hpp) still worth it on this
// LibTorch and machine? Each pair of operators computes the same; forward and backward, in turn, on one
// thread.
//
//     kernels [ROUNDS]
//
// A way around can go when its pair is near 1 with every LibTorch and processor that is supported.
#include <torch/script.h>
#include <torch/version.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace {

using Operator = std::function<at::Tensor(const at::Tensor& input)>;

struct Pair {
  std::string name;
  at::Tensor input;
  Operator plain;   ///< what a model's author wrote
  Operator around;  ///< what Prepare::fast makes of it
};

double milliseconds(const Operator& one, const at::Tensor& input) {
  const at::Tensor leaf = input.detach().clone(at::MemoryFormat::Preserve).requires_grad_();
  const auto start = std::chrono::steady_clock::now();
  const at::Tensor output = one(leaf);
  output.backward(at::ones_like(output));
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

at::Tensor channels_last(at::IntArrayRef sizes, at::ScalarType dtype) {
  return at::randn(sizes).to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor convolved(const at::Tensor& x, const at::Tensor& weight, std::int64_t stride, std::int64_t padding,
                     std::int64_t dilation, std::int64_t groups) {
  const auto both = [](std::int64_t value) { return std::vector<std::int64_t>(2, value); };
  return at::conv2d(x, weight, at::Tensor(), both(stride), both(padding), both(dilation), groups);
}

std::string sizes(std::int64_t channels, std::int64_t size) {
  return std::to_string(channels) + " channels, " + std::to_string(size) + "x" + std::to_string(size);
}

/// A 1x1 convolution of ResNet-50, as it is and with the dilation that prefer_onednn gives it.
Pair pointwise(std::int64_t in, std::int64_t out, std::int64_t size) {
  const at::Tensor weight = channels_last({out, in, 1, 1}, at::kFloat);
  const auto dilated = [&weight](std::int64_t dilation) {
    return [weight, dilation](const at::Tensor& x) { return convolved(x, weight, 1, 0, dilation, 1); };
  };
  return {"prefer_onednn: 1x1 convolution of " + sizes(in, size),
          channels_last({1, in, size, size}, at::kFloat), dilated(1), dilated(2)};
}

/// A strided depthwise convolution of MobileNetV2 in bfloat16, as it is and between the casts of
/// widen_depthwise.
Pair depthwise(std::int64_t channels, std::int64_t size) {
  const at::Tensor weight = channels_last({channels, 1, 3, 3}, at::kBFloat16);
  const at::Tensor wide = weight.to(at::kFloat);
  return {"widen_depthwise: strided depthwise convolution in bfloat16 of " + sizes(channels, size),
          channels_last({1, channels, size, size}, at::kBFloat16),
          [weight, channels](const at::Tensor& x) { return convolved(x, weight, 2, 1, 1, channels); },
          [wide, channels](const at::Tensor& x) {
            return convolved(x.to(at::kFloat), wide, 2, 1, 1, channels).to(at::kBFloat16);
          }};
}

/// A ReLU6 of MobileNetV2 on a tensor that nothing else reads, in place and as choose_in_place has it.
Pair relu6(std::int64_t channels, std::int64_t size) {
  return {"choose_in_place: hardtanh of " + sizes(channels, size),
          channels_last({1, channels, size, size}, at::kFloat),
          [](const at::Tensor& x) {
            at::Tensor fresh = x.add(1.0);
            return at::hardtanh_(fresh, 0.0, 6.0);
          },
          [](const at::Tensor& x) { return at::hardtanh(x.add(1.0), 0.0, 6.0); }};
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 50;
  std::cout << "LibTorch " << TORCH_VERSION << ", one thread, forward and backward, medians of " << rounds
            << '\n'
            << std::fixed << std::setprecision(2);
  for (const Pair& pair : {pointwise(256, 64, 56), pointwise(512, 128, 28), pointwise(1024, 256, 14),
                           depthwise(96, 112), depthwise(192, 28), relu6(96, 112)}) {
    std::vector<double> plain, around;
    for (int round = -3; round < rounds; ++round) {
      const double one = milliseconds(pair.plain, pair.input);
      const double other = milliseconds(pair.around, pair.input);
      if (round < 0) continue;
      plain.push_back(one);
      around.push_back(other);
    }
    std::cout << pair.name << ": " << median(plain) << " ms as written, " << median(around)
              << " ms around it, " << median(plain) / median(around) << " times as fast\n";
  }
}
