// What the tensor tests share: tensors without LibTorch's big headers.
#pragma once

#include <ATen/core/Tensor.h>
#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

#include <salience/tensor/tensor.hpp>

// LibTorch 2.14 has one: a test that uses all names of ours must write salience::detail.
namespace detail {}

namespace support {

/// A float64 tensor of that shape with these values.
inline at::Tensor tensor(std::vector<double> values, std::vector<std::int64_t> sizes) {
  return salience::detail::vector_tensor<double>(values).reshape(sizes);
}

/// Standard normal values; the same for the same sizes and `salt`.
inline at::Tensor normal(std::vector<std::int64_t> sizes, at::ScalarType dtype = at::kDouble, int salt = 0) {
  at::Tensor values = salience::detail::empty(sizes, at::kDouble);
  std::uint64_t state = 88172645463325252ULL + static_cast<std::uint64_t>(salt) * 7919;
  double* data = values.data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    double sum = 0.0;  // twelve uniforms make a normal of variance 1
    for (int k = 0; k < 12; ++k) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      sum += static_cast<double>(state >> 11) * 0x1p-53;
    }
    data[i] = sum - 6.0;
  }
  return values.to(dtype);
}

/// Same type, shape and bits.
inline bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.equal(b);
}

/// How many results of four threads at once, `each` a thread, are those of one thread, bit for bit.
template <class Method>
int same_from_threads(const Method& method, const at::Tensor& input, int each) {
  const at::Tensor expected = method(input).values;
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < each; ++i) right += same(method(input).values, expected) ? 1 : 0;
      });
    }
  }
  return right;
}

/// The largest |a - b|.
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  return a.to(at::kDouble).sub(b.to(at::kDouble)).abs().max().item<double>();
}

/// The L2 norm of a - b over that of b.
inline double relative(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor reference = b.to(at::kDouble);
  return a.to(at::kDouble).sub(reference).norm().item<double>() / reference.norm().item<double>();
}

/// The message of the Exception that `call` throws; "nothing thrown" otherwise.
template <class Exception, class Call>
std::string message(const Call& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  return "nothing thrown";
}

/// A line of /proc/self/status, in KiB.
inline double memory(const std::string& what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(what)) return std::stod(line.substr(what.size()));
  }
  return 0.0;
}

inline double resident_memory() { return memory("VmRSS:"); }

/// The largest resident memory in KiB while `work` runs.
template <class Work>
double peak_memory(const Work& work) {
  // Every large block is given back at once, so that the peak is that of the work.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  std::ofstream("/proc/self/clear_refs") << 5;  // resets the peak
  work();
  return memory("VmHWM:");
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace support
